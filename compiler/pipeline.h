// The pass list and its runner.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/options.h"
#include "ir/graph.h"

namespace sinter::compiler {

struct Pass {
  std::string_view name;     // also the dump file, the test folder and the name in --passes
  std::string_view summary;  // one line for --list-passes
  void (*run)(ir::Module&, const Options&);
  bool required;  // cannot be switched off
};

// All passes in order.
std::span<const Pass> passes();
const Pass* find_pass(std::string_view name);

// Called with the module as recorded ("forward") and after each pass.
using Observer =
    std::function<void(std::string_view stage, const ir::Module& module, bool changed)>;

// Runs `list` on the module: verifies before and after each pass, times, dumps the stages that
// changed to options.dump_dir, and turns any exception of a pass into an InternalError that names
// the pass, shows the IR around the op, and names a reproducer file with the command to replay it.
void run_passes(ir::Module& module, std::span<const Pass* const> list, const Options& options,
                const Observer& observer = {});
// The whole list, less options.off.
void run_pipeline(ir::Module& module, const Options& options, const Observer& observer = {});

}  // namespace sinter::compiler
