// What `run` and `diff` run a function on: .npy files, and random numbers where no file is given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sinter/tensor.h>

#include "ir/eval.h"
#include "ir/graph.h"
#include "tools/sinter/command_line.h"

namespace sinter::command {

struct ProgramInputs {
  // FILE for the next argument in order, or NAME=FILE for an argument or a global.
  std::vector<std::string> files;
  int64_t rows = 0;  // 0: as many as the files have, or 4
  uint64_t seed = 1;
  int64_t integers = 4;

  void add_to(CommandLine& line);
};

struct Loaded {
  std::vector<ir::Array<double>> args, globals;
  int64_t n = 1;
};

// Error where a file does not fit its argument, names none, or files disagree about n.
Loaded load_inputs(const ProgramInputs& inputs, const ir::Module& module, const ir::Func& func);

// The elements of a .npy file, and back.
ir::Array<double> load_array(const std::string& path);
void save_array(const std::string& path, const ir::Array<double>& array);
Tensor to_tensor(const ir::Array<double>& array);
// "[3, 4]": the index of element `at` of an array with these dimensions.
std::string index_text(size_t at, const std::vector<int64_t>& dims);

}  // namespace sinter::command
