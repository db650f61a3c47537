// What a reduction starts with and how it takes in one more element; scalars and vectors alike.
#pragma once

#include <llvm/IR/IRBuilder.h>

#include "ir/op.h"

namespace sinter::compiler {

// Of sum 0, of prod 1, of max and argmax the least number of the type: -infinity for floats.
llvm::Constant* neutral_element(ir::OpKind reduction, llvm::Type* type);

// state + x or state * x.
llvm::Value* fold_in(llvm::IRBuilder<>& b, ir::OpKind sum_or_prod, llvm::Value* state,
                     llvm::Value* x);

// Whether max and argmax, having seen `best`, go on with `x`: NaN wins over every number, and of
// equals the first stays.
llvm::Value* displaces(llvm::IRBuilder<>& b, llvm::Value* x, llvm::Value* best);

}  // namespace sinter::compiler
