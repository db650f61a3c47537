// Loops and branches of LLVM's IR.
#pragma once

#include <functional>
#include <vector>

#include <llvm/IR/IRBuilder.h>

namespace sinter::compiler {

using Carried = std::vector<llvm::Value*>;  // values that each iteration hands to the next

// Runs body for i = begin, begin + step, ... while a whole step fits before `end`; returns the
// first i left. `surely`: it is known to run. A loop that is known not to run, or to run once, is
// none.
llvm::Value* emit_loop(llvm::IRBuilder<>& b, llvm::Value* begin, llvm::Value* end,
                       llvm::Value* step, Carried& carried,
                       const std::function<void(llvm::Value* i, Carried& carried)>& body,
                       bool surely = false);

// Runs body for i = begin and then for what it returns, while that is before `end`.
void emit_while(llvm::IRBuilder<>& b, llvm::Value* begin, llvm::Value* end, Carried& carried,
                const std::function<llvm::Value*(llvm::Value* i, Carried& carried)>& body);

// Runs body where the condition holds: without a branch if that is known.
void emit_if(llvm::IRBuilder<>& b, llvm::Value* condition, const std::function<void()>& body);

}  // namespace sinter::compiler
