// Runs a ScalarProgram as IR on scalars or whole vectors.
#pragma once

#include <functional>
#include <vector>

#include <llvm/IR/IRBuilder.h>

#include "compiler/llvm/math/vector_math.h"
#include "ir/scalar.h"

namespace sinter::compiler {

// The LLVM type of one element in registers; bool is i1 there and one byte in memory.
llvm::Type* element_type(llvm::LLVMContext& context, DType dtype);
llvm::Type* memory_type(llvm::LLVMContext& context, DType dtype);

inline constexpr int64_t cache_line = 64;  // bytes

// Asks for the lines of `bytes` from `first` on, which will be read, or written as well.
void emit_prefetch(llvm::IRBuilder<>& b, llvm::Value* first, int64_t bytes, bool written);

struct ScalarContext {
  std::vector<llvm::Value*> operands;  // all scalars, or all vectors of `lanes`
  int lanes = 0;                       // 0: scalars
  LaneFeatures has;
  std::function<llvm::Value*(int)> index;  // i64 (vector), along an axis of the result
  std::function<llvm::Value*()> linear_index;
  llvm::Value* rows = nullptr;  // n, i64
};

llvm::Value* emit_scalar_program(llvm::IRBuilder<>& b, const ir::ScalarProgram& program,
                                 const ScalarContext& context);

}  // namespace sinter::compiler
