// A case of the table under a loss, sum(result * weights), with the gradients of that loss.
#pragma once

#include <vector>

#include "tests/ops/op_cases.h"

namespace sinter::test {

class GradientCase {
 public:
  explicit GradientCase(const Row& row, const std::string& sample) : c(make_case(row, sample)) {}

  // Whether there is anything to differentiate: a float result and a float operand.
  bool exists() const;
  // The operands that get a gradient.
  std::vector<size_t> operands() const;
  // sum(value * weights), where the weights are a new argument.
  Value loss_of(const Value& value);
  // Data for all arguments, the weights included.
  std::vector<ir::Array<double>> draw_all(int64_t n, uint64_t seed) const;
  // What computes these values; `gradient` ops are still in it.
  ir::Module module(const std::vector<Value>& results) const {
    return module_for(*c.inputs.recording, results);
  }

  Case c;

 private:
  std::vector<ir::Type> weights_;
};

}  // namespace sinter::test
