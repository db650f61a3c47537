// A planned function emitted as LLVM modules and compiled by their TargetMachines, without an
// optimization pipeline: the emitted IR is already what we want.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <llvm/ADT/SmallVector.h>

#include "compiler/llvm/product/ready_parts.h"
#include "compiler/options.h"
#include "ir/graph.h"

namespace sinter::compiler {

// One module of the function. All are linked together.
struct CodePart {
  int64_t scratch_bytes = 0;          // that its kernels need for each thread
  llvm::SmallVector<char, 0> object;  // empty if options.triple is given: it could not run
  std::vector<ReadyPart> ready;       // that it calls and lacks
  std::string llvm_ir, assembly;      // empty unless options.keep_code_text
};

// Whether parts of products that are ready (product/ready_parts.h) are compiled all the same, so
// that the code is whole, or left to be linked to it.
enum class ReadyCode { compiled, linked };

// Throws Error where LLVM does not know what options ask for.
std::vector<CodePart> generate_code(const ir::Module& module, const ir::Func& func,
                                    const Options& options, ReadyCode ready);

}  // namespace sinter::compiler
