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
  for (const ir::Op* kernel : kernels) ++group_of(*kernel).kernels;
  int next = 0;
  for (auto& [key, group] : groups_) {
    if (group.kernels > 1) group.share = next++ % share.of;
  }
}

int64_t KernelSet::emit_common(const ir::Op& kernel) {
  Group& group = group_of(kernel);
  if (!group.bodies.empty()) return 0;
  KernelEmitter emitter(context_, kernel);
  if (group.kernels == 1) {
    emitter.emit();
  } else {
    group.bodies.push_back(emitter.emit_movable(group.first_places));
  }
  return emitter.scratch_bytes();
}

int64_t KernelSet::emit_own(const ir::Op& kernel) {
  Group& group = group_of(kernel);
  if (group.kernels == 1 || group.share != share_.number) return 0;
  const std::string name = kernel_symbol(context_.func, kernel);
  if (!group.first_called) {
    call_with(group.first_places, group.bodies[0], name);
    group.first_called = true;
    return 0;
  }
  KernelEmitter emitter(context_, kernel);
  KernelEmitter::Places places;
  llvm::Function* body = emitter.emit_movable(places);
  const auto equal =
      std::find_if(group.bodies.begin(), group.bodies.end(), [&](llvm::Function* other) {
        return llvm::FunctionComparator(other, body, &globals_).compare() == 0;
      });
  if (equal == group.bodies.end()) {
    group.bodies.push_back(body);
  } else {
    body->eraseFromParent();
    body = *equal;
  }
  call_with(places, body, name);
  return emitter.scratch_bytes();
}

int KernelSet::share_of(const llvm::Function& f) const {
  for (const auto& [key, group] : groups_) {
    if (!group.bodies.empty() && group.bodies[0] == &f) return group.share;
  }
  return Share::any;
}

KernelSet::Group& KernelSet::group_of(const ir::Op& kernel) {
  return groups_[twin_key(context_.func, kernel)];
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
