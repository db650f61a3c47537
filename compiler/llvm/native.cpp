// Native code of a planned function, linked by ORC, and how it runs.
#include <algorithm>
#include <chrono>
#include <map>
#include <new>
#include <optional>

#include <llvm/ExecutionEngine/Orc/ExecutionUtils.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/Support/SmallVectorMemoryBuffer.h>

#include <sinter/error.h>
#include <sinter/thread_team.h>

#include "compiler/compile.h"
#include "compiler/forms/cost.h"
#include "compiler/llvm/generate_code.h"
#include "compiler/llvm/jit_symbols.h"
#include "compiler/llvm/kernel/emit_kernel.h"
#include "ir/op.h"
#include "runtime/float_mode.h"
#include "runtime/tensor/aligned_memory.h"
#include "runtime/threads/thread_choice.h"

namespace sinter::compiler {

namespace {

void check(llvm::Error error, std::string_view doing) {
  if (!error) return;
  const std::string text = llvm::toString(std::move(error));
  SINTER_CHECK(false, "{}: {}", doing, text);
}

template <class T>
T check(llvm::Expected<T> value, std::string_view doing) {
  check(value.takeError(), doing);
  return std::move(*value);
}

// Processors fetch ahead up to the end of a page: what belongs to one thread has pages of its own,
// or others would take its lines away before they are used.
constexpr size_t page_bytes = 4096;

size_t whole_pages(int64_t bytes) {
  return (static_cast<size_t>(std::max<int64_t>(bytes, 1)) + page_bytes - 1) / page_bytes *
         page_bytes;
}

detail::AlignedMemory allocate(size_t bytes) {
  detail::AlignedMemory memory = detail::allocate_aligned(bytes, page_bytes);
  if (!memory) throw std::bad_alloc();
  return memory;
}

class NativeExecutable final : public Executable {
 public:
  NativeExecutable(ir::Module module, const std::string& name, const Options& options)
      : module_(std::move(module)), func_name_(name) {
    const ir::Func* func = module_.find(name);
    SINTER_CHECK(func != nullptr, "no function @{}", name);
    max_batch_ = func->max_batch;
    slots_ = func->args.size() + module_.globals.size() + func->results.size();
    link(*func, options);
    choose_threads(*func, options);
    arena_ = allocate(whole_pages(func->arena_bytes));
    const size_t own_bytes = whole_pages(scratch_bytes_);
    scratch_ = allocate(own_bytes * static_cast<size_t>(threads_));
    scratch_bytes_ = static_cast<int64_t>(own_bytes);
    pointers_.resize(slots_ * static_cast<size_t>(threads_));
  }

  void run(void* const* buffers, int64_t n) override {
    timed(1, [&](int threads) {
      const sinter_call call = make_call(buffers, n, threads);
      on_team(threads, [&](int tid, int size) { entry_(&call, tid, size); });
    });
  }

  void run_steps(void* const* buffers, std::span<const int64_t> stride_bytes, int64_t count,
                 int64_t batch, int64_t last_rows) override {
    Steps steps{this, buffers, stride_bytes, 0, count, batch, last_rows};
    while (steps.first < count) {
      const int64_t runs =
          choice_ ? std::min(choice_->runs_left(), count - steps.first) : count - steps.first;
      steps.end = steps.first + runs;
      timed(runs, [&](int threads) {
        on_team(threads, [&](int tid, int size) { steps.run(tid, size); });
      });
      steps.first = steps.end;
    }
  }

  void run_kernel(const std::string& kernel, void* const* buffers, int64_t n) override {
    const ir::Func& func = *module_.find(func_name_);
    for (const ir::Op& op : func.body) {
      if (op.kind != ir::OpKind::kernel || op.attrs.text("name") != kernel) continue;
      const sinter_kernel*& code = kernels_[kernel];
      if (!code) code = linked_kernel(kernel_symbol(func, op));
      const int threads = op.attrs.flag("parallel") ? threads_ : 1;
      const sinter_call call = make_call(buffers, n, threads);
      on_team(threads, [&](int tid, int size) {
        const DenormalsAreZero mode;
        const sinter_thread thread{
            call.buffers, call.arena,  call.scratch + tid * call.scratch_bytes, call.n, tid,
            size,         call.barrier};
        sinter_run_kernel(code, &thread);
      });
      return;
    }
    SINTER_CHECK(false, "@{} has no kernel {}", func_name_, kernel);
  }

  const ir::Module& module() const override { return module_; }
  int64_t max_batch() const override { return max_batch_; }
  int threads() const override { return threads_; }
  std::vector<CompiledKernel> kernels() const override {
    std::vector<CompiledKernel> out;
    const ir::Func& func = *module_.find(func_name_);
    for (const ir::Op& op : func.body) {
      if (op.kind != ir::OpKind::kernel) continue;
      const std::string symbol = kernel_symbol(func, op);
      out.push_back({symbol, linked_kernel(symbol), scratch_bytes_});
    }
    return out;
  }
  std::string llvm_ir() const override { return llvm_ir_; }
  std::string assembly() const override { return assembly_; }

 private:
  const sinter_kernel* linked_kernel(const std::string& symbol) const {
    return check(jit_->lookup(descriptor_symbol(symbol)), "linking a kernel")
        .toPtr<const sinter_kernel*>();
  }

  // run(tid, threads) on this thread alone or on each of the team.
  template <class Run>
  void on_team(int threads, const Run& run) {
    if (threads == 1) return run(0, 1);
    team_->run(
        [](void* opaque, int tid, int size) { (*static_cast<const Run*>(opaque))(tid, size); },
        const_cast<Run*>(&run));
  }

  // `runs` runs by run_on(threads), on as many threads as are quickest, or all if that is settled.
  template <class RunOn>
  void timed(int64_t runs, RunOn&& run_on) {
    using Clock = std::chrono::steady_clock;
    if (!choice_) return run_on(threads_);
    if (!choice_->measures()) {
      run_on(choice_->threads());
      choice_->took(runs, 0);
      return;
    }
    const Clock::time_point begin = Clock::now();
    run_on(choice_->threads());
    choice_->took(runs, std::chrono::duration<double, std::nano>(Clock::now() - begin).count());
  }

  sinter_call make_call(void* const* buffers, int64_t n, int threads) const {
    sinter_barrier* const barrier = threads > 1 ? team_->barrier() : nullptr;
    return {buffers, n, arena_.get(), barrier, scratch_.get(), scratch_bytes_};
  }

  // Several steps in one call: each thread keeps its own copy of the pointers and moves it on.
  struct Steps {
    NativeExecutable* self;
    void* const* buffers;
    std::span<const int64_t> stride_bytes;
    int64_t first, count, batch, last_rows;  // steps from `first` to `end` of `count`
    int64_t end = count;

    void run(int tid, int threads) const {
      void** own = &self->pointers_[static_cast<size_t>(tid) * self->slots_];
      std::copy(buffers, buffers + self->slots_, own);
      for (size_t i = 0; i < stride_bytes.size(); ++i) {
        own[i] = static_cast<char*>(own[i]) + first * stride_bytes[i];
      }
      const DenormalsAreZero mode;
      for (int64_t step = first; step < end; ++step) {
        const int64_t n = step + 1 < count ? batch : last_rows;
        const sinter_call call = self->make_call(own, n, threads);
        self->entry_(&call, tid, threads);
        for (size_t i = 0; i < stride_bytes.size(); ++i) {
          own[i] = static_cast<char*>(own[i]) + stride_bytes[i];
        }
        if (threads > 1) sinter_barrier_wait(call.barrier, tid);
      }
    }
  };

  void link(const ir::Func& func, const Options& options) {
    // Text that is kept is of all code, and code for a named processor is of its features alone.
    const bool whole = options.keep_code_text || !options.cpu.empty();
    std::vector<CodePart> parts =
        generate_code(module_, func, options, whole ? ReadyCode::compiled : ReadyCode::linked);
    jit_ = check(llvm::orc::LLJITBuilder().create(), "starting the JIT");
    show_symbols(*jit_, options.perf_map);
    llvm::orc::JITDylib& library = jit_->getMainJITDylib();
    llvm::orc::SymbolMap symbols;
    const auto add = [&](const char* name, auto* function) {
      symbols[jit_->mangleAndIntern(name)] = {llvm::orc::ExecutorAddr::fromPtr(function),
                                              llvm::JITSymbolFlags::Exported};
    };
    add("sinter_barrier_wait", &sinter_barrier_wait);
    add("sinter_run_kernel", &sinter_run_kernel);
    for (const CodePart& part : parts) {
      for (const ReadyPart& ready : part.ready) add(ready.name, ready.code);
    }
    check(library.define(llvm::orc::absoluteSymbols(std::move(symbols))), "defining symbols");
    // libm, for f64 transcendentals.
    library.addGenerator(check(llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
                                   jit_->getDataLayout().getGlobalPrefix()),
                               "looking up the C library"));
    for (CodePart& part : parts) {
      scratch_bytes_ = std::max(scratch_bytes_, part.scratch_bytes);
      llvm_ir_ += part.llvm_ir;
      assembly_ += part.assembly;
      check(jit_->addObjectFile(std::make_unique<llvm::SmallVectorMemoryBuffer>(
                std::move(part.object), func.name, false)),
            "adding the compiled code");
    }
    entry_ = check(jit_->lookup(func.name), "linking the compiled code").toPtr<sinter_function>();
  }

  void choose_threads(const ir::Func& func, const Options& options) {
    bool parallel = false;
    for (const ir::Op& op : func.body) {
      parallel |= op.kind == ir::OpKind::kernel && op.attrs.flag("parallel");
    }
    const int cores = ThreadTeam::available_cores();
    int wanted = options.threads > 0 ? options.threads : cores;
    if (!options.oversubscribe) wanted = std::min(wanted, cores);
    if (!parallel || wanted <= 1) return;
    team_ = &ThreadTeam::process_default(wanted);
    if (team_->size() != wanted) {
      own_team_ = std::make_unique<ThreadTeam>(wanted);
      team_ = own_team_.get();
    }
    threads_ = wanted;
    // Where a step is long all threads are surely quicker, and where the user has said how many,
    // that is how many.
    constexpr double least_certain_us = 5e3;
    if (options.threads == 0 && expected_us(func) < least_certain_us) choice_.emplace(threads_);
  }

  double expected_us(const ir::Func& func) const {
    const StoredValues values(func);
    double us = 0;
    for (const ir::Op& op : func.body) {
      if (op.kind != ir::OpKind::kernel) continue;
      us += kernel_cost(module_, func, values, op, func.max_batch).us;
    }
    return us;
  }

  const ir::Module module_;
  const std::string func_name_;
  std::map<std::string, const sinter_kernel*> kernels_;  // that have been called alone
  int64_t max_batch_ = 0;
  size_t slots_ = 0;
  std::unique_ptr<llvm::orc::LLJIT> jit_;
  sinter_function entry_ = nullptr;
  detail::AlignedMemory arena_, scratch_;
  int64_t scratch_bytes_ = 0;  // for each thread
  std::unique_ptr<ThreadTeam> own_team_;
  ThreadTeam* team_ = nullptr;
  int threads_ = 1;
  std::optional<ThreadChoice> choice_;
  std::vector<void*> pointers_;
  std::string llvm_ir_, assembly_;
};

}  // namespace

std::unique_ptr<Executable> make_native(ir::Module module, const std::string& func,
                                        const Options& options) {
  if (!options.triple.empty()) {
    throw Error(fmt::format("code for {} cannot run here", options.triple))
        .help("leave the triple out, or read the code with sinter dump --stage=asm");
  }
  return std::make_unique<NativeExecutable>(std::move(module), func, options);
}

}  // namespace sinter::compiler
