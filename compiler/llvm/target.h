// What code generation has to know about the processor. Results depend on it (vector width, fused
// multiply-add), and on nothing that is measured.
#pragma once

#include <memory>
#include <string>

#include <llvm/Target/TargetMachine.h>

namespace sinter::compiler {

struct Target {
  std::unique_ptr<llvm::TargetMachine> machine;
  int vector_bytes = 16;
  int registers = 16;  // vector registers
  bool fma = false;
  bool x86 = false;

  // Elements of `bytes` each in one vector.
  int lanes(int bytes) const { return vector_bytes / bytes; }
  // Accumulators a tile may hold, leaving room for operands.
  int accumulators() const { return registers >= 32 ? 24 : 12; }
};

// `cpu` as LLVM names it; empty for the machine at hand, with the features that it reports.
Target make_target(const std::string& cpu);

}  // namespace sinter::compiler
