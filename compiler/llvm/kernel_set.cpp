#include "compiler/llvm/kernel_set.h"

#include <algorithm>
#include <array>
#include <bit>

#include <llvm/IR/IRBuilder.h>

namespace sinter::compiler {

namespace {

// Kernels that seem to do the same to other buffers: those of one key. What they are made of is in
// a kernel's name, behind its number.
std::string twin_key(const ir::Func& func, const ir::Op& kernel) {
  const std::string& name = kernel.attrs.text("name");
  std::string key = name.substr(std::min(name.find('_'), name.size()));
  for (const ir::Op& op : kernel.body) {
    for (ir::ValueId v : op.operands) key += ' ' + ir::to_string(func.type(v));
  }
  return key;
}

}  // namespace

KernelSet::KernelSet(const FunctionContext& context, const std::vector<const ir::Op*>& kernels,
                     const Share& share)
    : context_(context), share_(share) {
  for (const ir::Op* kernel : kernels) {
    groups_[twin_key(context.func, *kernel)].kernels.push_back(kernel);
  }
  int next = 0;
  for (auto& [key, group] : groups_) {
    if (group.kernels.size() > 1) group.share = next++ % share.of;
  }
}

void KernelSet::emit_common() {
  for (auto& [key, group] : groups_) {
    const ir::Op& first = *group.kernels[0];
    if (group.kernels.size() > 1) {
      group.first = emit_movable(first);
      group.bodies.push_back(group.first.function);
    } else if (first.attrs.flag("in_chunks")) {
      call(emit_movable(first), kernel_symbol(context_.func, first));
    } else {
      KernelEmitter emitter(context_, first);
      emitter.emit();
      scratch_bytes_ = std::max(scratch_bytes_, emitter.scratch_bytes());
    }
  }
}

void KernelSet::emit_own() {
  for (auto& [key, group] : groups_) {
    if (group.kernels.size() == 1 || group.share != share_.number) continue;
    for (const ir::Op* kernel : group.kernels) {
      Body body = group.first;
      if (kernel != group.kernels[0]) {
        body = emit_movable(*kernel);
        body.function = among(group.bodies, body.function);
      }
      call(body, kernel_symbol(context_.func, *kernel));
    }
  }
}

KernelSet::Body KernelSet::emit_movable(const ir::Op& kernel) {
  KernelEmitter emitter(context_, kernel);
  Body out;
  out.function = emitter.emit_movable(out.places);
  out.chunks = emitter.chunks();
  scratch_bytes_ = std::max(scratch_bytes_, emitter.scratch_bytes());
  return out;
}

// The body that equals this one, which then goes; or this one, as one more.
llvm::Function* KernelSet::among(std::vector<llvm::Function*>& bodies, llvm::Function* body) {
  for (llvm::Function* other : bodies) {
    if (llvm::FunctionComparator(other, body, &globals_).compare() != 0) continue;
    body->eraseFromParent();
    return other;
  }
  bodies.push_back(body);
  return body;
}

int KernelSet::share_of(const llvm::Function& f) const {
  for (const auto& [key, group] : groups_) {
    if (!group.bodies.empty() && group.bodies[0] == &f) return group.share;
  }
  return Share::any;
}

// The kernel itself: its body at its places, in chunks if it wants to.
void KernelSet::call(const Body& body, const std::string& name) {
  llvm::LLVMContext& context = context_.out.getContext();
  const auto table = [&](const std::vector<int64_t>& words, const char* what) {
    const std::vector<uint64_t> unsigned_words(words.begin(), words.end());
    llvm::Constant* values = llvm::ConstantDataArray::get(context, unsigned_words);
    return new llvm::GlobalVariable(context_.out, values->getType(), true,
                                    llvm::GlobalValue::InternalLinkage, values, name + what);
  };
  auto* function = llvm::Function::Create(kernel_type(context), llvm::GlobalValue::ExternalLinkage,
                                          name, context_.out);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "entry", function));
  std::vector<llvm::Value*> arguments;
  llvm::FunctionCallee callee = body.function;
  if (body.chunks) {
    using Words = std::array<int64_t, sizeof(sinter_chunk_plan) / sizeof(int64_t)>;
    const auto plan = std::bit_cast<Words>(*body.chunks);
    arguments = {table({plan.begin(), plan.end()}, ".chunks"), body.function};
    std::vector<llvm::Type*> types(2, b.getPtrTy());
    for (llvm::Argument& a : function->args()) types.push_back(a.getType());
    types.push_back(b.getPtrTy());
    callee = context_.out.getOrInsertFunction("sinter_run_chunks",
                                              llvm::FunctionType::get(b.getVoidTy(), types, false));
  }
  for (llvm::Argument& a : function->args()) arguments.push_back(&a);
  arguments.push_back(table(body.places, ".places"));
  b.CreateCall(callee, arguments)->setTailCall();
  b.CreateRetVoid();
}

}  // namespace sinter::compiler
