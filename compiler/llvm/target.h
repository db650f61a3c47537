// What code generation has to know about the processor. Results depend on it (vector width, fused
// multiply-add), and on nothing that is measured.
#pragma once

#include <memory>
#include <string>

#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include "compiler/llvm/math/vector_math.h"

namespace sinter::compiler {

struct Target {
  std::unique_ptr<llvm::TargetMachine> machine;
  int vector_bytes = 16;
  int registers = 16;  // vector registers
  bool fma = false;
  bool x86 = false;
  bool by_element = false;  // multiplies a vector by one element of another

  LaneFeatures lane_features() const { return {.fma = fma, .avx512 = x86 && vector_bytes == 64}; }
  // Elements of `bytes` each in one vector.
  int lanes(int bytes) const { return vector_bytes / bytes; }
  // Accumulators a tile may hold, leaving room for operands.
  int accumulators() const { return registers >= 32 ? 24 : 12; }
};

// `triple` and `cpu` as LLVM names them. No triple stands for this machine, and no `cpu` then for
// its processor with the features that it reports; else for a plain one. Throws Error where LLVM
// knows no such processor, or has no code generator.
Target make_target(const std::string& cpu, const std::string& triple);

// An empty module for this target.
std::unique_ptr<llvm::Module> make_module(const std::string& name, llvm::LLVMContext& context,
                                          const Target& target);
// Tells LLVM, which would cut 512-bit vectors in half, that a function takes whole ones.
void use_whole_vectors(llvm::Function& function, const Target& target);
// The bytes of a file of this kind.
llvm::SmallVector<char, 0> compiled(const Target& target, llvm::Module& module,
                                    llvm::CodeGenFileType kind);

}  // namespace sinter::compiler
