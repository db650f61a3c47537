#include "compiler/llvm/emit_function.h"

#include <algorithm>
#include <functional>
#include <utility>

#include <llvm/IR/IntrinsicsAArch64.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <sinter/abi.h>

#include "compiler/llvm/batch/emit_batch.h"
#include "compiler/llvm/emit_kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using llvm::IRBuilder;
using llvm::Value;

namespace {

void if_true(IRBuilder<>& b, Value* condition, const std::function<void()>& body) {
  llvm::Function* function = b.GetInsertBlock()->getParent();
  auto* then = llvm::BasicBlock::Create(b.getContext(), "then", function);
  auto* after = llvm::BasicBlock::Create(b.getContext(), "after", function);
  b.CreateCondBr(condition, then, after);
  b.SetInsertPoint(then);
  body();
  b.CreateBr(after);
  b.SetInsertPoint(after);
}

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
      if_true(b_, changed_, [&] { load_x86(wanted); });
    } else if (arm_) {
      constexpr uint64_t flush_to_zero = uint64_t{1} << 24;
      saved_ = b_.CreateIntrinsic(llvm::Intrinsic::aarch64_get_fpcr, {}, {});
      b_.CreateIntrinsic(llvm::Intrinsic::aarch64_set_fpcr, {},
                         {b_.CreateOr(saved_, b_.getInt64(flush_to_zero))});
    }
  }
  void restore() {
    if (x86_) if_true(b_, changed_, [&] { load_x86(saved_); });
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
llvm::Function* emit_step(llvm::Module& out, const ir::Func& func, const Target& target) {
  llvm::LLVMContext& context = out.getContext();
  IRBuilder<> b(context);
  llvm::Type *word = b.getInt64Ty(), *pointer = b.getPtrTy(), *half = b.getInt32Ty();
  auto* type = llvm::FunctionType::get(half, {pointer, half, half}, false);
  auto* function = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, func.name, out);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  b.SetInsertPoint(llvm::BasicBlock::Create(context, "entry", function));
  auto* call_type =
      llvm::StructType::get(pointer, word, pointer, pointer, pointer, word);  // sinter_call
  const auto field = [&](llvm::Type* t, unsigned i) {
    return b.CreateLoad(t, b.CreateStructGEP(call_type, function->getArg(0), i));
  };
  Value* buffers = field(pointer, 0);
  Value* n = field(word, 1);
  Value* arena = field(pointer, 2);
  Value* barrier = field(pointer, 3);
  Value *tid = function->getArg(1), *threads = function->getArg(2);
  Value *tid64 = b.CreateSExt(tid, word), *threads64 = b.CreateSExt(threads, word);
  Value* scratch =
      b.CreateGEP(b.getInt8Ty(), field(pointer, 4), b.CreateMul(tid64, field(word, 5)));
  DenormalMode denormals(b, target);

  const auto wait = out.getOrInsertFunction(
      "sinter_barrier_wait", llvm::FunctionType::get(b.getVoidTy(), {pointer, half}, false));
  Value* first = b.CreateICmpEQ(tid, b.getInt32(0));
  Value* several = b.CreateICmpSGT(threads, b.getInt32(1));
  Value* shared = b.CreateSelect(several, barrier, llvm::ConstantPointerNull::get(b.getPtrTy()));
  int in_chunks = 0;  // kernels since the last barrier
  const auto wait_for_all = [&] {
    if_true(b, several, [&] { b.CreateCall(wait, {barrier, tid}); });
    in_chunks = 0;
  };
  const std::vector<Value*> arguments{buffers, arena, scratch, n, tid64, threads64, shared};
  for (const ir::Op& op : func.body) {
    if (op.kind == ir::OpKind::barrier) {
      wait_for_all();
    } else if (op.kind == ir::OpKind::kernel) {
      const auto kernel = out.getOrInsertFunction(kernel_symbol(func, op), kernel_type(context));
      const auto run = [&] { b.CreateCall(kernel, arguments); };
      if (op.attrs.flag("parallel") && batch_in_lanes(op)) {
        run();
        wait_for_all();
        const auto tail = out.getOrInsertFunction(tail_symbol(func, op), kernel_type(context));
        if_true(b, first, [&] { b.CreateCall(tail, arguments); });
      } else if (op.attrs.flag("parallel")) {
        if (op.attrs.flag("in_chunks")) {
          if (in_chunks == sinter_open_runs) wait_for_all();
          ++in_chunks;
        }
        run();
      } else {
        if_true(b, first, run);
      }
    }
  }
  denormals.restore();
  b.CreateRet(b.getInt32(0));
  return function;
}

}  // namespace

EmittedFunction emit_function(llvm::LLVMContext& context, const ir::Module& module,
                              const ir::Func& func, const Target& target, const Share& share) {
  SINTER_CHECK(func.planned(), "@{} has no memory plan", func.name);
  auto out = std::make_unique<llvm::Module>(func.name, context);
  out->setDataLayout(target.machine->createDataLayout());
  out->setTargetTriple(target.machine->getTargetTriple().str());

  ProductParts parts(*out, target);
  FunctionContext shared{module, func, target, *out, parts, ir::definitions(func), {}, {}};
  for (const ir::Op& op : func.body) shared.stored.insert(op.outputs.begin(), op.outputs.end());
  std::vector<const ir::Op*> by_batch, by_features;
  for (const ir::Op& op : func.body) {
    if (op.kind != ir::OpKind::kernel) continue;
    (batch_in_lanes(op) ? by_batch : by_features).push_back(&op);
    TouchedValues touched = touched_values(func, shared.defs, shared.stored, op);
    touched.reads.merge(touched.writes);
    for (ir::ValueId v : touched.reads) ++shared.touched_by[v];
  }
  EmittedFunction emitted;
  KernelSet set(shared, by_features, share);
  for (const ir::Op* kernel : by_batch) BatchEmitter(shared, *kernel).emit();
  set.emit_common();
  for (llvm::Function& f : *out) {
    if (!f.isDeclaration()) emitted.common.push_back({&f, set.share_of(f)});
  }
  set.emit_own();
  emitted.scratch_bytes = set.scratch_bytes();
  emitted.common.push_back({emit_step(*out, func, target), Share::any});

  // Without these LLVM cuts 512-bit vectors in half.
  const std::string width = std::to_string(target.vector_bytes * 8);
  for (llvm::Function& f : *out) {
    if (f.isDeclaration()) continue;
    f.addFnAttr("min-legal-vector-width", width);
    f.addFnAttr("prefer-vector-width", width);
  }
  emitted.module = std::move(out);
  return emitted;
}

}  // namespace sinter::compiler
