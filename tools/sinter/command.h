// What the subcommands share: files in and out, switches of the pipeline, exit codes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/compile.h"
#include "compiler/options.h"
#include "compiler/pipeline.h"
#include "ir/graph.h"

namespace CLI {
class App;
}

namespace sinter::command {

// 0 good, 1 the answer is no (a difference, a bad file), 2 usage, 70 a bug of sinter.
inline constexpr int exit_good = 0, exit_no = 1, exit_usage = 2, exit_bug = 70;

// Each adds its subcommand; parsing one sets `run` to what it does.
using Run = std::function<int()>;
void add_dump(CLI::App& app, Run& run);
void add_opt(CLI::App& app, Run& run);
void add_check(CLI::App& app, Run& run);
void add_inspect(CLI::App& app, Run& run);
void add_bench(CLI::App& app, Run& run);
void add_run(CLI::App& app, Run& run);
void add_diff(CLI::App& app, Run& run);
void add_fuzz(CLI::App& app, Run& run);
void add_reduce(CLI::App& app, Run& run);

// Switches that every subcommand with a pipeline has; they win over the environment.
struct PipelineSwitches {
  std::optional<int64_t> max_batch;
  std::optional<int> threads;
  std::optional<std::string> cpu;
  std::vector<std::string> off;

  void add_to(CLI::App& app);
  // The environment's options with these switches.
  compiler::Options options() const;
};

// A path, or "-" for stdin or stdout.
ir::Module read_module(const std::string& path);
void write_text(const std::string& path, const std::string& text);

// The function of that name, or Error with a close name.
const ir::Func& find_func(const ir::Module& module, const std::string& name);

// The pass of that name, or Error with the names there are.
const compiler::Pass* find_pass(const std::string& name);

// The passes of the pipeline up to and including `last`, less those that are off and not required.
std::vector<const compiler::Pass*> passes_until(std::string_view last,
                                                const compiler::Options& options);

// Whether every function is planned: the pipeline has run. Error where one has kernels but no plan.
bool is_planned(const ir::Module& module);

// Native code of a function of a module as recorded or as planned; a planned function brings its
// own max_batch.
std::unique_ptr<compiler::Executable> compile_native(const ir::Module& module,
                                                     const std::string& func,
                                                     compiler::Options options);

}  // namespace sinter::command
