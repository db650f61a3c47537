#include "compiler/llvm/generate_code.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

#include <llvm/IR/Instructions.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

#include <sinter/error.h>
#include <sinter/thread_team.h>

#include "compiler/compile.h"
#include "compiler/llvm/emit_function.h"
#include "compiler/llvm/target.h"
#include "runtime/threads/on_threads.h"

namespace sinter::compiler {

namespace {

// One thread compiles one share of the function. Shares have nothing in common: every thread emits
// the whole function, which takes little time, and keeps what is its own.
struct Job {
  Share share;
  ReadyCode ready;
  CodePart out = {};
  std::exception_ptr failure = {};
};

// What a function takes to compile, roughly: LLVM looks for long how a shuffle is best done.
unsigned cost(const llvm::Function& f) {
  constexpr unsigned of_shuffle = 6;
  unsigned out = f.getInstructionCount();
  for (const llvm::BasicBlock& block : f) {
    for (const llvm::Instruction& i : block) {
      out += llvm::isa<llvm::ShuffleVectorInst>(i) ? of_shuffle : 0;
    }
  }
  return out;
}

// Leaves declarations of what belongs to other shares. Shares take about equally long to compile;
// every thread comes to the same ones.
void keep_share(const EmittedFunction& emitted, const Share& share) {
  std::vector<unsigned> load(static_cast<size_t>(share.of), 0);
  std::vector<std::pair<unsigned, llvm::Function*>> free;
  for (const auto& [f, of] : emitted.common) {
    if (of == Share::any) {
      free.emplace_back(cost(*f), f);
      continue;
    }
    load[static_cast<size_t>(of)] += cost(*f);
    if (of != share.number) f->deleteBody();
  }
  std::stable_sort(free.begin(), free.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [cost, f] : free) {
    const auto lightest = std::min_element(load.begin(), load.end());
    *lightest += cost;
    if (lightest - load.begin() != share.number) f->deleteBody();
  }
}

void compile_share(Job& job, const ir::Module& module, const ir::Func& func,
                   const Options& options) try {
  const Target target = make_target(options.cpu, options.triple);
  llvm::LLVMContext context;
  std::vector<ReadyPart> ready;
  if (job.ready == ReadyCode::linked) ready = ready_parts_for(target);
  const auto emit = [&] {
    EmittedFunction out = emit_function(context, module, func, target, job.share, ready);
    keep_share(out, job.share);
    return out;
  };
  const EmittedFunction emitted = emit();
  llvm::Module* const code = emitted.module.get();
  job.out.scratch_bytes = emitted.scratch_bytes;
  std::copy_if(ready.begin(), ready.end(), std::back_inserter(job.out.ready),
               [&](const ReadyPart& r) { return code->getFunction(r.name) != nullptr; });
  if (options.verify) {
    std::string message;
    llvm::raw_string_ostream stream(message);
    SINTER_CHECK(!llvm::verifyModule(*code, &stream), "@{} is malformed: {}", func.name,
                 stream.str());
  }
  if (options.keep_code_text) {
    llvm::raw_string_ostream stream(job.out.llvm_ir);
    code->print(stream, nullptr);
    const auto text = compiled(target, *emit().module, llvm::CodeGenFileType::AssemblyFile);
    job.out.assembly.assign(text.begin(), text.end());
  }
  if (options.triple.empty()) {
    job.out.object = compiled(target, *code, llvm::CodeGenFileType::ObjectFile);
  }
} catch (...) {
  job.failure = std::current_exception();
}

}  // namespace

std::vector<CodePart> generate_code(const ir::Module& module, const ir::Func& func,
                                    const Options& options, ReadyCode ready) {
  const auto kernels = std::count_if(func.body.begin(), func.body.end(), [](const ir::Op& op) {
    return op.kind == ir::OpKind::kernel;
  });
  const int compilers = kernels > 1 ? std::min(ThreadTeam::available_cores(), 2) : 1;
  std::vector<Job> jobs;
  for (int i = 0; i < compilers; ++i) jobs.push_back({.share = {i, compilers}, .ready = ready});
  sinter::detail::on_threads(compilers, [&](int i) {
    compile_share(jobs[static_cast<size_t>(i)], module, func, options);
  });
  std::vector<CodePart> out;
  for (Job& job : jobs) {
    if (job.failure) std::rethrow_exception(job.failure);
    out.push_back(std::move(job.out));
  }
  return out;
}

CodeText code_text(const ir::Module& module, const std::string& name, const Options& options) {
  const ir::Func* func = module.find(name);
  SINTER_CHECK(func != nullptr, "no function @{}", name);
  Options with_text = options;
  with_text.keep_code_text = true;
  CodeText out;
  for (const CodePart& part : generate_code(module, *func, with_text, ReadyCode::compiled)) {
    out.llvm_ir += part.llvm_ir;
    out.assembly += part.assembly;
  }
  return out;
}

}  // namespace sinter::compiler
