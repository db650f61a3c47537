#include "compiler/llvm/reduction.h"

#include <sinter/error.h>

namespace sinter::compiler {

using ir::OpKind;
using llvm::Value;

llvm::Constant* neutral_element(OpKind reduction, llvm::Type* type) {
  const bool real = type->isFPOrFPVectorTy();
  switch (reduction) {
    case OpKind::sum:
      return llvm::Constant::getNullValue(type);
    case OpKind::prod:
      return real ? llvm::ConstantFP::get(type, 1.0) : llvm::ConstantInt::get(type, 1);
    case OpKind::max:
    case OpKind::argmax:
      return real ? llvm::ConstantFP::getInfinity(type, true)
                  : llvm::ConstantInt::get(
                        type, llvm::APInt::getSignedMinValue(type->getScalarSizeInBits()));
    default:
      SINTER_CHECK(false, "{} is no reduction that starts with a number", def(reduction).name);
  }
}

Value* fold_in(llvm::IRBuilder<>& b, OpKind sum_or_prod, Value* state, Value* x) {
  const bool real = x->getType()->isFPOrFPVectorTy();
  if (sum_or_prod == OpKind::sum) return real ? b.CreateFAdd(state, x) : b.CreateAdd(state, x);
  SINTER_CHECK(sum_or_prod == OpKind::prod, "{} folds no numbers into one another",
               def(sum_or_prod).name);
  return real ? b.CreateFMul(state, x) : b.CreateMul(state, x);
}

Value* displaces(llvm::IRBuilder<>& b, Value* x, Value* best) {
  if (!x->getType()->isFPOrFPVectorTy()) return b.CreateICmpSGT(x, best);
  return b.CreateAnd(b.CreateFCmpUGT(x, best), b.CreateFCmpORD(best, best));
}

}  // namespace sinter::compiler
