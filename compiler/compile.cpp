#include "compiler/compile.h"

#include <utility>

#include <fmt/format.h>

#include <sinter/error.h>

#include "compiler/dump.h"
#include "compiler/pipeline.h"

namespace sinter::compiler {

namespace {

// The code itself as the stage after the last pass, beside the dumps of the passes.
void dump_code(const Executable& executable, const std::string& prefix, const Options& options) {
  if (options.dump_dir.empty()) return;
  const size_t number = passes().size() + 1;
  const std::string llvm_ir = executable.llvm_ir(), assembly = executable.assembly();
  if (!llvm_ir.empty()) {
    write_dump(options.dump_dir, prefix, number, "codegen", "ll", llvm_ir);
  }
  if (!assembly.empty()) {
    write_dump(options.dump_dir, prefix, number, "codegen", "s", assembly);
  }
}

}  // namespace

void Executable::run_kernel(const std::string& kernel, void* const*, int64_t) {
  SINTER_CHECK(false, "no compiled kernel {}", kernel);
}

std::unique_ptr<Executable> compile(const ir::Module& module, const std::string& func,
                                    const Options& options) {
  if (!module.find(func)) {
    std::vector<std::string_view> names;
    for (const ir::Func& f : module.funcs) names.push_back(f.name);
    throw Error(fmt::format("the module has no function {}", func))
        .help(names.empty() ? std::string("add the function first")
                            : fmt::format("it has {}", fmt::join(names, ", ")));
  }
  if (options.max_batch < 1) {
    throw Error(fmt::format("max_batch is {}", options.max_batch))
        .help("set it to the largest number of rows that one call has, at least 1");
  }
  const std::string prefix = dump_prefix(module);
  ir::Module compiled = module;
  run_pipeline(compiled, options);
  if (options.interpret) return make_interpreted(std::move(compiled), func, options);
  std::unique_ptr<Executable> executable = make_native(std::move(compiled), func, options);
  dump_code(*executable, prefix, options);
  return executable;
}

}  // namespace sinter::compiler
