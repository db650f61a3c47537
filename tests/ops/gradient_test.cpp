// Derivative rules against dual numbers: the graph that `differentiate` makes, run in f64, and the
// function itself, run forward in dual numbers, share the meaning of each op and nothing else.
#include <catch2/catch.hpp>
#include <sinter/functions.h>

#include <map>

#include "compiler/passes.h"
#include "ir/interpret.h"
#include "ir/op.h"
#include "ir/verify.h"
#include "tests/ops/op_cases.h"
#include "tests/ops/run_case.h"

namespace sinter::test {

namespace {

using ir::Array;
using ir::Dual;
using Arrays = std::vector<Array<double>>;

constexpr int64_t kRows = 5;

// Both ways take a few dozen roundings of 1e-16 for each element of a sum.
constexpr double kBound = 1e-11;

// sum(value * weights), where the weights are a new argument of the case.
Value weighted_sum(Case& c, const Value& value, std::vector<ir::Type>& weight_types) {
  detail::Recording& recording = *c.inputs.recording;
  const ir::Type type = recording.func().type(detail::Recorder::resolve(value).second);
  const ir::ValueId id = recording.add_argument({detail::Argument::Kind::input}, type,
                                                recording.func().unique_name("weights"));
  weight_types.push_back(type);
  return sum(value * detail::Recorder::make(c.inputs.recording, id));
}

void add_weights(Arrays& args, const std::vector<ir::Type>& types, int64_t n) {
  std::mt19937_64 rng(99);
  for (const ir::Type& type : types) {
    Array<double> w(type.dtype, type.dims(n));
    for (double& x : w.f) x = std::uniform_real_distribution<double>(0.5, 1.5)(rng);
    args.push_back(std::move(w));
  }
}

// d result[0] / d args[i], one forward run for each element.
Array<double> forward_derivative(const ir::Module& module, const Arrays& args, size_t i,
                                 int64_t n) {
  Array<double> out(args[i].dtype, args[i].dims);
  std::vector<Array<Dual>> duals = converted<Dual>(args), none;
  for (size_t k = 0; k < out.size(); ++k) {
    duals[i].f[k].d = 1;
    out.f[k] = ir::interpret<Dual>(module, module.funcs.front(), duals, none, n)[0].f[0].d;
    duals[i].f[k].d = 0;
  }
  return out;
}

bool all_zero(const Array<double>& a) {
  for (double x : a.f) {
    if (x != 0) return false;
  }
  return true;
}

void check_equal(const Array<double>& reverse, const Array<double>& forward) {
  REQUIRE(reverse.dims == forward.dims);
  double scale = 0, worst = 0;
  for (double x : forward.f) scale = std::max(scale, std::abs(x));
  for (size_t k = 0; k < forward.f.size(); ++k) {
    // Written so that NaN fails.
    const double error = std::abs(reverse.f[k] - forward.f[k]);
    worst = error <= worst ? worst : error;
  }
  INFO("error " << worst << ", scale " << scale);
  CHECK(worst <= kBound * scale);
}

std::vector<size_t> float_operands(const Case& c) {
  std::vector<size_t> out;
  for (size_t i = 0; i < c.inputs.values.size(); ++i) {
    if (is_float(c.inputs.values[i].dtype())) out.push_back(i);
  }
  return out;
}

bool is_differentiable(const Case& c) {
  if (!is_float(c.result.dtype()) || float_operands(c).empty()) return false;
  return ir::def(c.row->op).vjp.fn != nullptr;
}

ir::Module differentiated(const Case& c, const std::vector<Value>& results) {
  ir::Module module = module_for(*c.inputs.recording, results);
  compiler::differentiate(module, {});
  ir::verify(module);
  return module;
}

}  // namespace

TEST_CASE("the derivative of every op equals that of dual numbers") {
  std::map<ir::OpKind, int> checked;
  for (const Row& row : op_rows()) {
    for (const std::string& sample : row.samples) {
      Case c = make_case(row, sample);
      if (!is_differentiable(c)) continue;
      INFO(c.label);
      ++checked[row.op];
      std::vector<ir::Type> weights;
      const Value loss = weighted_sum(c, c.result, weights);
      std::vector<Value> gradients;
      for (size_t i : float_operands(c)) gradients.push_back(grad(loss, c.inputs[i]));
      const ir::Module forward = module_for(*c.inputs.recording, {loss});
      const ir::Module reverse = differentiated(c, gradients);

      Arrays args = draw(c, kRows, 1);
      add_weights(args, weights, kRows);
      const Arrays results = interpreted<double>(reverse, args, kRows);
      bool nothing = true;
      for (size_t k = 0; k < results.size(); ++k) {
        const size_t i = float_operands(c)[k];
        INFO("operand " << i);
        check_equal(results[k], forward_derivative(forward, args, i, kRows));
        nothing = nothing && all_zero(results[k]);
      }
      CHECK_FALSE(nothing);
    }
  }
  // A rule that no sample reaches would go unnoticed.
  for (const Row& row : op_rows()) {
    INFO(ir::def(row.op).name);
    if (ir::def(row.op).vjp.fn) CHECK(checked[row.op] >= 4);
  }
}

TEST_CASE("the gradient of a gradient equals that of dual numbers") {
  int checked = 0;
  for (const Row& row : op_rows()) {
    for (const std::string& sample : {row.samples.front(), row.samples.back()}) {
      Case c = make_case(row, sample);
      if (!is_differentiable(c)) continue;
      INFO(c.label);
      std::vector<ir::Type> weights;
      const Value loss = weighted_sum(c, c.result, weights);
      for (size_t i : float_operands(c)) {
        INFO("operand " << i);
        const Value slope = weighted_sum(c, grad(loss, c.inputs[i]), weights);
        Arrays args = draw(c, kRows, 2);
        add_weights(args, weights, kRows);
        const ir::Module first = differentiated(c, {slope});
        const Array<double> forward = forward_derivative(first, args, i, kRows);
        ir::Module second;
        try {
          second = differentiated(c, {grad(slope, c.inputs[i])});
        } catch (const Error& e) {
          // Linear in this operand: there is nothing to differentiate again.
          INFO(e.what());
          CHECK(all_zero(forward));
          continue;
        }
        ++checked;
        check_equal(interpreted<double>(second, args, kRows)[0], forward);
      }
    }
  }
  CHECK(checked > 40);
}

}  // namespace sinter::test
