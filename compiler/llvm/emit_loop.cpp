#include "compiler/llvm/emit_loop.h"

#include <llvm/IR/Constants.h>

namespace sinter::compiler {

using llvm::BasicBlock;
using llvm::Value;

namespace {

bool known_to_be(Value* condition, bool what) {
  const auto* known = llvm::dyn_cast<llvm::ConstantInt>(condition);
  return known && known->isOne() == what;
}

}  // namespace

Value* emit_loop(llvm::IRBuilder<>& b, Value* begin, Value* end, Value* step, Carried& carried,
                 const std::function<void(Value*, Carried&)>& body, bool surely) {
  Value* last = b.CreateSub(end, step);  // that i may begin at
  Value* enter = surely ? b.getTrue() : b.CreateICmpSLE(begin, last);
  if (known_to_be(enter, false)) return begin;
  surely = known_to_be(enter, true);
  if (llvm::isa<llvm::ConstantInt>(begin) && llvm::isa<llvm::ConstantInt>(last)) {
    Value* second = b.CreateAdd(begin, step);
    if (known_to_be(b.CreateICmpSLE(second, last), false)) {
      body(begin, carried);
      return second;
    }
  }
  llvm::Function* function = b.GetInsertBlock()->getParent();
  BasicBlock* before = b.GetInsertBlock();
  BasicBlock* inside = BasicBlock::Create(b.getContext(), "loop", function);
  BasicBlock* after = BasicBlock::Create(b.getContext(), "after", function);
  if (surely) {
    b.CreateBr(inside);
  } else {
    b.CreateCondBr(enter, inside, after);
  }
  b.SetInsertPoint(inside);
  const auto phi_of = [&](Value* first) {
    auto* phi = b.CreatePHI(first->getType(), 2);
    phi->addIncoming(first, before);
    return phi;
  };
  llvm::PHINode* i = phi_of(begin);
  std::vector<llvm::PHINode*> phis;
  for (Value* v : carried) phis.push_back(phi_of(v));
  Carried values(phis.begin(), phis.end());
  body(i, values);
  Value* next = b.CreateAdd(i, step);
  BasicBlock* latch = b.GetInsertBlock();
  b.CreateCondBr(b.CreateICmpSLE(next, last), inside, after);
  i->addIncoming(next, latch);
  for (size_t k = 0; k < phis.size(); ++k) phis[k]->addIncoming(values[k], latch);
  b.SetInsertPoint(after);
  if (surely) {
    carried = values;
    // Where all are known, so is what is left.
    auto *from = llvm::dyn_cast<llvm::ConstantInt>(begin),
         *to = llvm::dyn_cast<llvm::ConstantInt>(end),
         *by = llvm::dyn_cast<llvm::ConstantInt>(step);
    if (!from || !to || !by) return next;
    const int64_t first = from->getSExtValue(), stride = by->getSExtValue();
    return b.getInt64(
        static_cast<uint64_t>(first + (to->getSExtValue() - first) / stride * stride));
  }
  const auto merged = [&](Value* skipped, Value* result) {
    auto* phi = b.CreatePHI(skipped->getType(), 2);
    phi->addIncoming(skipped, before);
    phi->addIncoming(result, latch);
    return phi;
  };
  Value* left = merged(begin, next);
  for (size_t k = 0; k < carried.size(); ++k) carried[k] = merged(carried[k], values[k]);
  return left;
}

void emit_if(llvm::IRBuilder<>& b, Value* condition, const std::function<void()>& body) {
  if (known_to_be(condition, false)) return;
  if (known_to_be(condition, true)) return body();
  llvm::Function* function = b.GetInsertBlock()->getParent();
  BasicBlock* then = BasicBlock::Create(b.getContext(), "then", function);
  BasicBlock* after = BasicBlock::Create(b.getContext(), "after", function);
  b.CreateCondBr(condition, then, after);
  b.SetInsertPoint(then);
  body();
  b.CreateBr(after);
  b.SetInsertPoint(after);
}

}  // namespace sinter::compiler
