#include "compiler/llvm/emit_function.h"

#include <algorithm>
#include <functional>
#include <utility>

#include <llvm/IR/IntrinsicsAArch64.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <sinter/abi.h>

#include "compiler/llvm/batch/emit_batch.h"
#include "compiler/llvm/emit_loop.h"
#include "compiler/llvm/kernel/emit_kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using llvm::IRBuilder;
using llvm::Value;

namespace {

// Denormals count as zero inside compiled code, and the caller's setting comes back afterwards.
// Where it is like that already nothing is written: on some processors that costs as much as a
// small step.
class DenormalMode {
 public:
  DenormalMode(IRBuilder<>& b, const Target& target)
      : b_(b), x86_(target.x86), arm_(target.machine->getTargetTriple().isAArch64()) {
    if (x86_) {
      constexpr uint32_t flush_to_zero = 0x8000, denormals_are_zero = 0x0040;
      slot_ = b_.CreateAlloca(b_.getInt32Ty());
      b_.CreateIntrinsic(llvm::Intrinsic::x86_sse_stmxcsr, {}, {slot_});
      saved_ = b_.CreateLoad(b_.getInt32Ty(), slot_);
      Value* wanted = b_.CreateOr(saved_, b_.getInt32(flush_to_zero | denormals_are_zero));
      changed_ = b_.CreateICmpNE(saved_, wanted);
      emit_if(b_, changed_, [&] { load_x86(wanted); });
    } else if (arm_) {
      constexpr uint64_t flush_to_zero = uint64_t{1} << 24;
      saved_ = b_.CreateIntrinsic(llvm::Intrinsic::aarch64_get_fpcr, {}, {});
      b_.CreateIntrinsic(llvm::Intrinsic::aarch64_set_fpcr, {},
                         {b_.CreateOr(saved_, b_.getInt64(flush_to_zero))});
    }
  }
  void restore() {
    if (x86_) emit_if(b_, changed_, [&] { load_x86(saved_); });
    if (arm_) b_.CreateIntrinsic(llvm::Intrinsic::aarch64_set_fpcr, {}, {saved_});
  }

 private:
  void load_x86(Value* mode) {
    b_.CreateStore(mode, slot_);
    b_.CreateIntrinsic(llvm::Intrinsic::x86_sse_ldmxcsr, {}, {slot_});
  }
  IRBuilder<>& b_;
  bool x86_, arm_;
  Value *slot_ = nullptr, *saved_ = nullptr, *changed_ = nullptr;
};

// Emits the function that runs the kernels in order.
class StepEmitter {
 public:
  StepEmitter(llvm::Module& out, const ir::Func& func, const Target& target, const KernelSet& set)
      : out_(out), func_(func), target_(target), set_(set), b_(out.getContext()) {}

  llvm::Function* emit() {
    auto* type = llvm::FunctionType::get(half_, {pointer_, half_, half_}, false);
    auto* function =
        llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, func_.name, out_);
    function->addFnAttr(llvm::Attribute::NoUnwind);
    b_.SetInsertPoint(llvm::BasicBlock::Create(b_.getContext(), "entry", function));
    read_call(function->getArg(0), function->getArg(1), function->getArg(2));
    DenormalMode denormals(b_, target_);
    for (const ir::Op& op : func_.body) {
      if (op.kind == ir::OpKind::barrier) wait_for_all();
      if (op.kind == ir::OpKind::kernel) run_kernel(op);
    }
    denormals.restore();
    b_.CreateRet(b_.getInt32(0));
    return function;
  }

 private:
  void read_call(Value* call, Value* tid, Value* threads) {
    auto* call_type =
        llvm::StructType::get(pointer_, word_, pointer_, pointer_, pointer_, word_);  // sinter_call
    const auto field = [&](llvm::Type* t, unsigned i) {
      return b_.CreateLoad(t, b_.CreateStructGEP(call_type, call, i));
    };
    Value *buffers = field(pointer_, 0), *n = field(word_, 1), *arena = field(pointer_, 2);
    Value *tid64 = b_.CreateSExt(tid, word_), *threads64 = b_.CreateSExt(threads, word_);
    Value* scratch =
        b_.CreateGEP(b_.getInt8Ty(), field(pointer_, 4), b_.CreateMul(tid64, field(word_, 5)));
    tid_ = tid;
    threads_ = threads;
    barrier_ = field(pointer_, 3);
    first_ = b_.CreateICmpEQ(tid, b_.getInt32(0));
    arguments_ = {buffers, arena, scratch, n, tid64, threads64};

    const auto movable = [&](const ir::Op& op) {
      return op.kind == ir::OpKind::kernel && set_.is_movable(op);
    };
    if (std::none_of(func_.body.begin(), func_.body.end(), movable)) return;
    auto* thread_type = llvm::StructType::get(pointer_, pointer_, pointer_, word_, word_, word_,
                                              pointer_);  // sinter_thread
    thread_ = b_.CreateAlloca(thread_type);
    std::vector<Value*> fields = arguments_;
    fields.push_back(barrier_);
    for (unsigned i = 0; i < fields.size(); ++i) {
      b_.CreateStore(fields[i], b_.CreateStructGEP(thread_type, thread_, i));
    }
  }

  void wait_for_all() {
    call("sinter_barrier_wait", runtime_type({pointer_, half_}), {barrier_, tid_});
    in_chunks_ = 0;
  }

  void run_kernel(const ir::Op& op) {
    const bool parallel = op.attrs.flag("parallel");
    if (op.attrs.flag("in_chunks")) {
      if (in_chunks_ == sinter_open_runs) wait_for_all();
      ++in_chunks_;
    }
    const std::string symbol = kernel_symbol(func_, op);
    const auto run = [&] {
      if (set_.is_movable(op)) {
        llvm::Constant* kernel = out_.getOrInsertGlobal(descriptor_symbol(symbol), pointer_);
        call("sinter_run_kernel", runtime_type({pointer_, pointer_}), {kernel, thread_});
      } else {
        call_body(symbol);  // a step of a narrow net is one such call: nothing is looked up
      }
    };
    if (!parallel) {
      emit_if(b_, is_thread(op.attrs.integer("thread")), run);
      return;
    }
    run();
    if (batch_in_lanes(op)) {
      wait_for_all();
      emit_if(b_, first_, [&] { call_body(tail_symbol(func_, op)); });
    }
  }

  // Whether this is the thread of that number, which starts again from 0 where there are fewer.
  Value* is_thread(int64_t number) {
    if (number == 0) return first_;
    return b_.CreateICmpEQ(tid_,
                           b_.CreateURem(b_.getInt32(static_cast<uint32_t>(number)), threads_));
  }

  llvm::FunctionType* runtime_type(llvm::ArrayRef<llvm::Type*> arguments) {
    return llvm::FunctionType::get(b_.getVoidTy(), arguments, false);
  }

  void call_body(const std::string& symbol) {
    Value* none = llvm::ConstantPointerNull::get(b_.getPtrTy());
    std::vector<Value*> arguments = arguments_;
    arguments.insert(arguments.end(), {none, none});  // no chunk, no places
    call(symbol, kernel_type(b_.getContext()), arguments);
  }

  void call(const std::string& symbol, llvm::FunctionType* type,
            const std::vector<Value*>& arguments) {
    b_.CreateCall(out_.getOrInsertFunction(symbol, type), arguments);
  }

  llvm::Module& out_;
  const ir::Func& func_;
  const Target& target_;
  const KernelSet& set_;
  IRBuilder<> b_;
  llvm::Type *const word_ = b_.getInt64Ty(), *const pointer_ = b_.getPtrTy(),
                    *const half_ = b_.getInt32Ty();
  Value *tid_ = nullptr, *threads_ = nullptr, *barrier_ = nullptr;
  Value* first_ = nullptr;         // whether this is thread 0
  std::vector<Value*> arguments_;  // of bodies, but chunk and places
  Value* thread_ = nullptr;        // a sinter_thread
  int in_chunks_ = 0;              // kernels since the last barrier
};

}  // namespace

EmittedFunction emit_function(llvm::LLVMContext& context, const ir::Module& module,
                              const ir::Func& func, const Target& target, const Share& share,
                              std::span<const ReadyPart> ready) {
  SINTER_CHECK(func.planned(), "@{} has no memory plan", func.name);
  auto out = make_module(func.name, context, target);
  ProductParts parts(*out, target, ready);
  FunctionContext shared{module, func, target, *out, parts, StoredValues(func), {}};
  std::vector<const ir::Op*> kernels;
  for (const ir::Op& op : func.body) {
    if (op.kind != ir::OpKind::kernel) continue;
    kernels.push_back(&op);
    TouchedValues touched = touched_values(func, shared.values, op);
    touched.reads.merge(touched.writes);
    for (ir::ValueId v : touched.reads) ++shared.touched_by[v];
  }
  EmittedFunction emitted;
  KernelSet set(shared, kernels, share);
  set.emit_common();
  for (llvm::Function& f : *out) {
    if (!f.isDeclaration()) emitted.common.push_back({&f, set.share_of(f)});
  }
  set.emit_own();
  emitted.scratch_bytes = set.scratch_bytes();
  emitted.common.push_back({StepEmitter(*out, func, target, set).emit(), Share::any});

  for (llvm::Function& f : *out) {
    if (!f.isDeclaration()) use_whole_vectors(f, target);
  }
  emitted.module = std::move(out);
  return emitted;
}

}  // namespace sinter::compiler
