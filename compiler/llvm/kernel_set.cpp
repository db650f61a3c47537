#include "compiler/llvm/kernel_set.h"

#include <algorithm>
#include <array>
#include <bit>

#include <llvm/IR/Constants.h>

#include "compiler/llvm/batch/emit_batch.h"

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
    if (batch_in_lanes(*kernel)) {
      by_batch_.push_back(kernel);
      if (kernel->attrs.flag("in_chunks")) movable_.insert(kernel);
    } else {
      groups_[twin_key(context.func, *kernel)].kernels.push_back(kernel);
    }
  }
  int next = 0;
  for (auto& [key, group] : groups_) {
    const bool twins = group.kernels.size() > 1;
    if (twins) group.share = next++ % share.of;
    for (const ir::Op* kernel : group.kernels) {
      if (twins || kernel->attrs.flag("in_chunks")) movable_.insert(kernel);
    }
  }
}

void KernelSet::emit_common() {
  // Functions that several modules have are taken out of all but one, what describes them is not.
  const auto describe_once = [&](const ir::Op& kernel, const Body& body) {
    if (share_.number == 0) describe(kernel, body);
  };
  for (const ir::Op* kernel : by_batch_) {
    BatchEmitter emitter(context_, *kernel);
    Body body{.function = emitter.emit()};
    if (is_movable(*kernel)) body.chunks = emitter.chunks();
    describe_once(*kernel, body);
  }
  for (auto& [key, group] : groups_) {
    const ir::Op& first = *group.kernels[0];
    if (group.kernels.size() > 1) {
      group.first = emit_movable(first);
      group.bodies.push_back(group.first.function);
    } else if (is_movable(first)) {
      describe_once(first, emit_movable(first));
    } else {
      KernelEmitter emitter(context_, first);
      describe_once(first, {.function = emitter.emit()});
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
      describe(*kernel, body);
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

// A sinter_kernel as a constant.
void KernelSet::describe(const ir::Op& kernel, const Body& body) {
  llvm::LLVMContext& context = context_.out.getContext();
  const std::string name = kernel_symbol(context_.func, kernel);
  const auto constant = [&](llvm::Constant* value, const std::string& symbol, auto linkage) {
    return new llvm::GlobalVariable(context_.out, value->getType(), true, linkage, value, symbol);
  };
  const auto table = [&](const auto& words, const char* what) -> llvm::Constant* {
    const std::vector<uint64_t> unsigned_words(words.begin(), words.end());
    return constant(llvm::ConstantDataArray::get(context, unsigned_words), name + what,
                    llvm::GlobalValue::InternalLinkage);
  };
  llvm::Constant *places = llvm::ConstantPointerNull::get(llvm::PointerType::getUnqual(context)),
                 *chunks = places;
  if (!body.places.empty()) places = table(body.places, ".places");
  if (body.chunks) {
    using Words = std::array<int64_t, sizeof(sinter_chunk_plan) / sizeof(int64_t)>;
    chunks = table(std::bit_cast<Words>(*body.chunks), ".chunks");
  }
  if (body.function->getName() != name) {  // a twin's: debuggers find the kernel by name
    llvm::GlobalAlias::create(body.function->getValueType(), 0, llvm::GlobalValue::ExternalLinkage,
                              name, body.function, &context_.out);
  }
  constant(llvm::ConstantStruct::getAnon({body.function, places, chunks}), descriptor_symbol(name),
           llvm::GlobalValue::ExternalLinkage);
}

}  // namespace sinter::compiler
