// The whole step as one LLVM function that runs the planned kernels in order.
#pragma once

#include <llvm/IR/Module.h>

#include <memory>

#include "compiler/llvm/target.h"
#include "ir/graph.h"

namespace sinter::compiler {

// Emits `func`, planned, as `int32_t NAME(const sinter_call*, int32_t tid, int32_t threads)`.
std::unique_ptr<llvm::Module> emit_function(llvm::LLVMContext& context, const ir::Module& module,
                                            const ir::Func& func, const Target& target);

}  // namespace sinter::compiler
