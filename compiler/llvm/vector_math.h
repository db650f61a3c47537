// Transcendentals as vector IR: polynomials of our own, inlined where they are used, so that no call
// spills the vector registers and ahead-of-time output needs no libm. f32 only; f64 calls libm.
// Each takes a float or a vector of floats. Denormal results count as zero.
#pragma once

#include <llvm/IR/IRBuilder.h>

namespace sinter::compiler {

// a * b + c, in one rounding where the target has it.
llvm::Value* emit_fma(llvm::IRBuilder<>& b, bool fused, llvm::Value* a, llvm::Value* x,
                      llvm::Value* c);
llvm::Value* emit_exp(llvm::IRBuilder<>& b, bool fused, llvm::Value* x);
llvm::Value* emit_log(llvm::IRBuilder<>& b, bool fused, llvm::Value* x);
llvm::Value* emit_tanh(llvm::IRBuilder<>& b, bool fused, llvm::Value* x);

}  // namespace sinter::compiler
