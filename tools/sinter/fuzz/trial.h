// One experiment: a program, the rows of each of its steps, where its inputs come from, and how it
// is compiled. Everything that a replay needs, and nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/options.h"
#include "compiler/pipeline.h"
#include "ir/eval.h"
#include "ir/graph.h"

namespace sinter::fuzz {

// Where the elements of inputs come from: a function of the seed, the name of the input and the
// step, so that dropping one input leaves the others as they are.
struct InputRule {
  uint64_t seed = 1;
  // Integers go from 0 to one less; bools are 0 and 1.
  int64_t integers = 4;
  // Floats lie in [-1, 1): multiples of 2^-23, or of 1/grid where that is not 0. A coarse grid
  // makes many sums and products exact, and elements equal.
  int64_t grid = 0;
};

// All values are exact in f32.
ir::Array<double> draw(const InputRule& rule, std::string_view name, const ir::Type& type,
                       int64_t n, int64_t step);
// All arguments of a function at one step, and all globals before the first.
std::vector<ir::Array<double>> draw_arguments(const InputRule& rule, const ir::Func& func,
                                              int64_t n, int64_t step);
std::vector<ir::Array<double>> draw_globals(const InputRule& rule, const ir::Module& module);

struct Trial {
  ir::Module module;  // as recorded
  std::string func;
  std::vector<int64_t> rows;  // of each step; none above options.max_batch
  InputRule inputs;
  compiler::Options options;
  std::vector<std::string> passes;  // in this order; empty for the pipeline less options.off
};

// The passes of a trial.
std::vector<const compiler::Pass*> pass_list(const Trial& trial);
// `sinter check FILE --rounding ...`: what replays a trial once its module is in `file`.
std::string replay_command(const Trial& trial, const std::string& file);

}  // namespace sinter::fuzz
