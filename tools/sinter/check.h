// The two comparisons of `sinter check`, on random inputs.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "compiler/options.h"
#include "ir/eval.h"
#include "ir/graph.h"

namespace sinter::command {

// What a function runs on: values of its arguments and of the module's globals, in order. Values
// of f32 tensors are exact in f32.
struct Inputs {
  std::vector<ir::Array<double>> args;
  std::vector<ir::Array<double>> globals;
};

struct InputRange {
  double low = -1, high = 1;  // of floats
  int64_t integers = 2;       // integers and bools go from 0 to one less
};

Inputs random_inputs(const ir::Module& module, const ir::Func& func, int64_t n,
                     const InputRange& range, std::mt19937_64& random);

// One line of the report: the largest error seen of a result, a global or a gradient.
struct Finding {
  std::string what;
  double tolerance = 0;
  double error = 0;  // relative to the largest element; infinite where only one side is NaN
  int64_t worst_n = 0;

  void add(double relative_error, int64_t n);
  bool good() const { return error <= tolerance; }
};

// Compiled code against the f64 interpreter, on the expanded module or, for one that is planned, on
// the plan itself. One finding for each result,
// then one for each global that the function assigns.
class CodeCheck {
 public:
  CodeCheck(const ir::Module& module, const std::string& func, const compiler::Options& options);
  ~CodeCheck();
  CodeCheck(CodeCheck&&) noexcept;

  // Whether the interpreter's answers are free of NaN, which would hide differences.
  bool is_defined(const Inputs& inputs, int64_t n);
  void run(const Inputs& inputs, int64_t n);
  const std::vector<Finding>& findings() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Every `gradient` op of the function as recorded against forward-mode differentiation in dual
// numbers, both in f64: each element for up to 64, else along random directions.
class GradientCheck {
 public:
  GradientCheck(const ir::Module& module, const std::string& func);

  void run(const Inputs& inputs, int64_t n, std::mt19937_64& random);
  const std::vector<Finding>& findings() const { return findings_; }

 private:
  void compare(size_t which, const ir::Array<double>& gradient, const Inputs& inputs, int64_t n,
               std::mt19937_64& random);

  std::string func_;
  ir::Module backward_;                // results: all gradients
  std::vector<ir::Module> perturbed_;  // one a gradient; last argument: what is added to x
  std::vector<Finding> findings_;
};

}  // namespace sinter::command
