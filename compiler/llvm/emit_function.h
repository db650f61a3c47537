// The whole step as one LLVM function that runs the planned kernels in order.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <llvm/IR/Module.h>

#include "compiler/llvm/kernel_set.h"
#include "compiler/llvm/product/ready_parts.h"
#include "compiler/llvm/target.h"
#include "ir/graph.h"

namespace sinter::compiler {

struct EmittedFunction {
  struct Common {
    llvm::Function* function;
    int share;  // to which it belongs, or Share::any
  };

  std::unique_ptr<llvm::Module> module;
  int64_t scratch_bytes = 0;  // that its kernels need for each thread
  // What is in the modules for all shares, in the same order. The rest belongs to this one.
  std::vector<Common> common;
};

// Emits the kernels of `func`, equal ones once, and the function that runs them in order:
// `int32_t NAME(const sinter_call*, int32_t tid, int32_t threads)`. Of parts that are ready it has
// declarations.
EmittedFunction emit_function(llvm::LLVMContext& context, const ir::Module& module,
                              const ir::Func& func, const Target& target, const Share& share,
                              std::span<const ReadyPart> ready);

}  // namespace sinter::compiler
