// What `run` and `diff` run a function on: .npy files, and random numbers where no file is given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/eval.h"
#include "ir/graph.h"

namespace CLI {
class App;
}

namespace sinter::command {

struct ProgramInputs {
  // FILE for the next argument in order, or NAME=FILE for an argument or a global.
  std::vector<std::string> files;
  int64_t rows = 0;  // 0: as many as the files have, or 4
  uint64_t seed = 1;
  int64_t integers = 4;

  void add_to(CLI::App& app);
};

struct Loaded {
  std::vector<ir::Array<double>> args, globals;
  int64_t n = 1;
};

// Error where a file does not fit its argument, names none, or files disagree about n.
Loaded load_inputs(const ProgramInputs& inputs, const ir::Module& module, const ir::Func& func);

// The elements of a .npy file.
ir::Array<double> load_array(const std::string& path);
// "[3, 4]": the index of element `at` of an array with these dimensions.
std::string index_text(size_t at, const std::vector<int64_t>& dims);

}  // namespace sinter::command
