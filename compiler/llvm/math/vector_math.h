// Transcendentals as vector IR: polynomials of our own, inlined where they are used, so that no
// call spills the vector registers and ahead-of-time output needs no libm. f32 only; f64 calls
// libm. Each takes a float or a vector of floats. Denormal results count as zero.
#pragma once

#include <llvm/IR/IRBuilder.h>

namespace sinter::compiler {

// What the processor can do with lanes beyond plain arithmetic.
struct LaneFeatures {
  bool fma = false;
  bool avx512 = false;
};

// a * b + c, in one rounding where the target has it.
llvm::Value* emit_fma(llvm::IRBuilder<>& b, bool fused, llvm::Value* a, llvm::Value* x,
                      llvm::Value* c);
llvm::Value* emit_exp(llvm::IRBuilder<>& b, LaneFeatures has, llvm::Value* x);
llvm::Value* emit_log(llvm::IRBuilder<>& b, LaneFeatures has, llvm::Value* x);
// log(1 + x).
llvm::Value* emit_log1p(llvm::IRBuilder<>& b, LaneFeatures has, llvm::Value* x);
llvm::Value* emit_tanh(llvm::IRBuilder<>& b, LaneFeatures has, llvm::Value* x);
llvm::Value* emit_erf(llvm::IRBuilder<>& b, LaneFeatures has, llvm::Value* x);
// Of radians, as exact for the largest float as for small ones.
llvm::Value* emit_sin(llvm::IRBuilder<>& b, LaneFeatures has, llvm::Value* x);
llvm::Value* emit_cos(llvm::IRBuilder<>& b, LaneFeatures has, llvm::Value* x);
llvm::Value* emit_pow(llvm::IRBuilder<>& b, LaneFeatures has, llvm::Value* x, llvm::Value* y);

// Exact, and for doubles too. To the nearest integer, halves to the even one; and downwards.
llvm::Value* emit_round(llvm::IRBuilder<>& b, LaneFeatures has, llvm::Value* x);
llvm::Value* emit_floor(llvm::IRBuilder<>& b, LaneFeatures has, llvm::Value* x);

}  // namespace sinter::compiler
