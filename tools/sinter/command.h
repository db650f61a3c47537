// What the subcommands share: files in and out, switches of the pipeline, exit codes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/compile.h"
#include "compiler/options.h"
#include "compiler/pipeline.h"
#include "ir/graph.h"
#include "tools/sinter/command_line.h"

namespace sinter::command {

// 0 good, 1 the answer is no (a difference, a bad file), 2 usage, 70 a bug of sinter.
inline constexpr int exit_good = 0, exit_no = 1, exit_usage = 2, exit_bug = 70;

// Each adds its subcommand.
void add_dump(CommandLine& program);
void add_opt(CommandLine& program);
void add_check(CommandLine& program);
void add_inspect(CommandLine& program);
void add_bench(CommandLine& program);
void add_run(CommandLine& program);
void add_diff(CommandLine& program);
void add_fuzz(CommandLine& program);
void add_reduce(CommandLine& program);
void add_ulp(CommandLine& program);

// Switches that every subcommand with a pipeline has; they win over the environment.
struct PipelineSwitches {
  std::optional<int64_t> max_batch;
  std::optional<int> threads;
  std::optional<std::string> cpu;
  std::vector<std::string> off;

  void add_to(CommandLine& line);
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
