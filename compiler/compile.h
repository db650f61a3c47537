// From a recorded module to something that runs: the pipeline, then native code (or the reference
// interpreter under options.interpret).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <sinter/abi.h>

#include "compiler/options.h"
#include "ir/graph.h"

namespace sinter::compiler {

// One kernel of a compiled function, for sinter_run_kernel.
struct CompiledKernel {
  // As debuggers know it, "train_step.k0_contraction_add_relu": kernels that share their code have
  // a symbol each at one address.
  std::string symbol;
  const sinter_kernel* code;
  int64_t scratch_bytes;  // at most, for each thread
};

// One function, ready to run. Buffers are one array of pointers: the function's arguments in order,
// then all globals of the module in order, then the results in order; each points to contiguous
// row-major elements of its type for n rows. Not safe for concurrent calls on one object.
class Executable {
 public:
  virtual ~Executable() = default;

  // Runs once on n rows, 1 <= n <= max_batch (checked by the caller).
  virtual void run(void* const* buffers, int64_t n) = 0;

  // Runs `count` times inside one call. Step i reads buffer j at buffers[j] + i * stride_bytes[j];
  // it has `batch` rows, the last step `last_rows`.
  virtual void run_steps(void* const* buffers, std::span<const int64_t> stride_bytes, int64_t count,
                         int64_t batch, int64_t last_rows) = 0;

  // Runs one kernel of the planned function alone, by its name, on all threads if it is parallel.
  // For measuring: it reads what the last run left in the arena. Interpreted functions have none.
  virtual void run_kernel(const std::string& kernel, void* const* buffers, int64_t n);

  virtual const ir::Module& module() const = 0;  // after the whole pipeline
  virtual int64_t max_batch() const = 0;
  virtual int threads() const { return 1; }  // that run its parallel kernels
  // The kernels in the order of the plan, for who runs them one by one on memory of his own, as the
  // tests of the plan do, under DenormalsAreZero; empty if interpreted. They are valid as long as
  // this object.
  virtual std::vector<CompiledKernel> kernels() const { return {}; }
  // Empty unless options.keep_code_text (and compiled).
  virtual std::string llvm_ir() const { return {}; }
  virtual std::string assembly() const { return {}; }
};

// Runs the pipeline on a copy of `module` and makes its function `func` executable.
std::unique_ptr<Executable> compile(const ir::Module& module, const std::string& func,
                                    const Options& options);

// The two back ends, for a module on which the pipeline has run.
std::unique_ptr<Executable> make_interpreted(ir::Module module, const std::string& func,
                                             const Options& options);
std::unique_ptr<Executable> make_native(ir::Module module, const std::string& func,
                                        const Options& options);

// What make_native would run, as text. With options.triple it may be for a processor of another
// architecture. Throws Error where LLVM cannot generate code for it.
struct CodeText {
  std::string llvm_ir, assembly;
};
CodeText code_text(const ir::Module& module, const std::string& func, const Options& options);

}  // namespace sinter::compiler
