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

// Runs body for i = begin, if `enter`, and for what it returns while `again` holds of that; returns
// the i that is left.
Value* emit_phis(llvm::IRBuilder<>& b, Value* begin, Value* enter, Carried& carried,
                 const std::function<Value*(Value*, Carried&)>& body,
                 const std::function<Value*(Value*)>& again) {
  const bool surely = known_to_be(enter, true);
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
  Value* next = body(i, values);
  BasicBlock* latch = b.GetInsertBlock();
  b.CreateCondBr(again(next), inside, after);
  i->addIncoming(next, latch);
  for (size_t k = 0; k < phis.size(); ++k) phis[k]->addIncoming(values[k], latch);
  b.SetInsertPoint(after);
  const auto merged = [&](Value* skipped, Value* result) {
    if (surely) return result;
    llvm::PHINode* phi = phi_of(skipped);
    phi->addIncoming(result, latch);
    return static_cast<Value*>(phi);
  };
  Value* left = merged(begin, next);
  for (size_t k = 0; k < carried.size(); ++k) carried[k] = merged(carried[k], values[k]);
  return left;
}

}  // namespace

Value* emit_loop(llvm::IRBuilder<>& b, Value* begin, Value* end, Value* step, Carried& carried,
                 const std::function<void(Value*, Carried&)>& body, bool surely) {
  Value* last = b.CreateSub(end, step);  // that i may begin at
  const auto fits = [&](Value* i) { return b.CreateICmpSLE(i, last); };
  Value* enter = surely ? b.getTrue() : fits(begin);
  if (known_to_be(enter, false)) return begin;
  auto *from = llvm::dyn_cast<llvm::ConstantInt>(begin),
       *to = llvm::dyn_cast<llvm::ConstantInt>(end), *by = llvm::dyn_cast<llvm::ConstantInt>(step);
  const bool known = from && to && by;
  if (known) {
    Value* second = b.CreateAdd(begin, step);
    if (known_to_be(fits(second), false)) {
      body(begin, carried);
      return second;
    }
  }
  const auto step_of = [&](Value* i, Carried& inner) {
    body(i, inner);
    return b.CreateAdd(i, step);
  };
  Value* left = emit_phis(b, begin, enter, carried, step_of, fits);
  if (!known) return left;
  const int64_t first = from->getSExtValue(), stride = by->getSExtValue();
  return b.getInt64(static_cast<uint64_t>(first + (to->getSExtValue() - first) / stride * stride));
}

void emit_while(llvm::IRBuilder<>& b, Value* begin, Value* end, Carried& carried,
                const std::function<Value*(Value*, Carried&)>& body) {
  const auto before = [&](Value* i) { return b.CreateICmpSLT(i, end); };
  emit_phis(b, begin, before(begin), carried, body, before);
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
