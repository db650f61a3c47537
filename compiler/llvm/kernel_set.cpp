#include "compiler/llvm/kernel_set.h"

#include <algorithm>

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
      group.bodies.push_back(emit_movable(first, group.first_places));
      continue;
    }
    KernelEmitter emitter(context_, first);
    emitter.emit();
    scratch_bytes_ = std::max(scratch_bytes_, emitter.scratch_bytes());
  }
}

void KernelSet::emit_own() {
  for (auto& [key, group] : groups_) {
    if (group.kernels.size() == 1 || group.share != share_.number) continue;
    for (const ir::Op* kernel : group.kernels) {
      KernelEmitter::Places places = group.first_places;
      llvm::Function* body = group.bodies[0];
      if (kernel != group.kernels[0]) body = among(group.bodies, emit_movable(*kernel, places));
      call_with(places, body, kernel_symbol(context_.func, *kernel));
    }
  }
}

llvm::Function* KernelSet::emit_movable(const ir::Op& kernel, KernelEmitter::Places& places) {
  KernelEmitter emitter(context_, kernel);
  llvm::Function* body = emitter.emit_movable(places);
  scratch_bytes_ = std::max(scratch_bytes_, emitter.scratch_bytes());
  return body;
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

// The kernel itself: its body at its places.
void KernelSet::call_with(const KernelEmitter::Places& places, llvm::Function* body,
                          const std::string& name) {
  llvm::LLVMContext& context = context_.out.getContext();
  const std::vector<uint64_t> words(places.begin(), places.end());
  llvm::Constant* values = llvm::ConstantDataArray::get(context, words);
  auto* table =
      new llvm::GlobalVariable(context_.out, values->getType(), true,
                               llvm::GlobalValue::InternalLinkage, values, name + ".places");
  auto* function = llvm::Function::Create(kernel_type(context), llvm::GlobalValue::ExternalLinkage,
                                          name, context_.out);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "entry", function));
  std::vector<llvm::Value*> arguments;
  for (llvm::Argument& a : function->args()) arguments.push_back(&a);
  arguments.push_back(table);
  b.CreateCall(body, arguments)->setTailCall();
  b.CreateRetVoid();
}

}  // namespace sinter::compiler
