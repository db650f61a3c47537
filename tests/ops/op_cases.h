// The table of op cases: what an op is tried on. One row or more for each op of ir/ops.def; the
// tests beside it (coverage, reference values, gradients, compiled code) loop over the table and
// name no op.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <sinter/value.h>

#include "frontend/recording.h"
#include "ir/eval.h"
#include "ir/graph.h"

namespace sinter::test {

// Where the elements of an operand are drawn from. All are exact in f32.
struct Domain {
  enum class Kind : uint8_t { real, nonzero, distinct, integer, flag, index };
  Kind kind = Kind::real;
  double low = 0, high = 1;
  int operand = 0;  // index: up to the size of axis `axis` of this operand
  int axis = 0;
  std::optional<int64_t> ignored{};  // index: every third element is this
};

Domain real(double low, double high);     // uniform
Domain nonzero(double low, double high);  // the size is uniform, the sign random
Domain distinct();                        // no two are closer than 0.1
Domain integers(int64_t low, int64_t high);
Domain flags();
Domain index_into(int operand, int axis, std::optional<int64_t> ignored = std::nullopt);

// What a row builds on: its operands as values of one recording.
struct Inputs {
  std::vector<Value> values;
  std::vector<ir::Type> types;  // of the sample: those of the operands, then the declared one
  std::shared_ptr<detail::Recording> recording;

  const Value& operator[](size_t i) const { return values[i]; }
  const ir::Type& declared() const { return types.back(); }
  // An op that no function of the frontend stands for.
  Value record(ir::OpKind kind, ir::Attrs attrs,
               const std::optional<ir::Type>& declared = std::nullopt) const;
};
using Build = std::function<Value(const Inputs&)>;

struct Row {
  ir::OpKind op;
  std::vector<Domain> domains;  // one for each operand
  // Types as the IR writes them, f32 where no dtype is written: "[n, 7], [7]". After the operands
  // may come the type that the result is declared.
  std::vector<std::string> samples;
  Build build;
};

const std::vector<Row>& op_rows();

// Ops that have no row, with the reason.
struct Exemption {
  ir::OpKind op;
  std::string reason;
};
const std::vector<Exemption>& exempt_ops();

// A sample of a row as a module with one function @case, from the operands to the op's result.
struct Case {
  const Row* row;
  std::string label;  // "add on [n, 7], [7]"
  Inputs inputs;
  Value result;
  ir::Module module;
  const ir::Func& func() const { return module.funcs.front(); }
  bool follows_batch() const;
};
Case make_case(const Row& row, const std::string& sample);

// The function of `recording` reduced to what `results` need; all arguments stay.
ir::Module module_for(const detail::Recording& recording, const std::vector<Value>& results);

// Elements for every argument of the case, for n rows; a function of the seed alone.
std::vector<ir::Array<double>> draw(const Case& c, int64_t n, uint64_t seed);

}  // namespace sinter::test
