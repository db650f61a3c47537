// The whole step as one LLVM function that runs the planned kernels in order.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <llvm/IR/Module.h>

#include "compiler/llvm/target.h"
#include "ir/graph.h"

namespace sinter::compiler {

// The kernels of a planned function, dealt to `parts` modules that take about equally long to
// compile. Kernels that appear in none are not there.
std::vector<std::vector<const ir::Op*>> deal_kernels(const ir::Func& func, int parts);

// Emits `kernels`, one LLVM function each, and if `with_step` the function that calls all kernels
// of `func`: `int32_t NAME(const sinter_call*, int32_t tid, int32_t threads)`.
struct EmittedPart {
  std::unique_ptr<llvm::Module> module;
  int64_t scratch_bytes = 0;  // that its kernels need for each thread
};
EmittedPart emit_part(llvm::LLVMContext& context, const ir::Module& module, const ir::Func& func,
                      const Target& target, const std::vector<const ir::Op*>& kernels,
                      bool with_step);

}  // namespace sinter::compiler
