// Derivative rules against dual numbers: the graph that `differentiate` makes, run in f64, and the
// function itself, run forward in dual numbers, share the meaning of each op and nothing else.
#include <map>

#include <catch2/catch.hpp>

#include <sinter/functions.h>

#include "compiler/passes/passes.h"
#include "ir/interpret.h"
#include "ir/op.h"
#include "ir/verify.h"
#include "tests/ops/gradient_case.h"
#include "tests/ops/run_case.h"

namespace sinter::test {

namespace {

using ir::Array;
using ir::Dual;
using Arrays = std::vector<Array<double>>;

constexpr int64_t kRows = 5;

// Both ways take a few dozen roundings of 1e-16 for each element of a sum.
constexpr double kBound = 1e-11;

// d result[0] / d args[i], one forward run for each element.
Array<double> forward_derivative(const ir::Module& module, const Arrays& args, size_t i) {
  Array<double> out(args[i].dtype, args[i].dims);
  std::vector<Array<Dual>> duals = converted<Dual>(args), none;
  for (size_t k = 0; k < out.size(); ++k) {
    duals[i].f[k].d = 1;
    out.f[k] = ir::interpret<Dual>(module, module.funcs.front(), duals, none, kRows)[0].f[0].d;
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
    // Written so that NaN stays.
    const double error = std::abs(reverse.f[k] - forward.f[k]);
    worst = error <= worst ? worst : error;
  }
  INFO("error " << worst << ", scale " << scale);
  CHECK(worst <= kBound * scale);
}

ir::Module differentiated(ir::Module module) {
  compiler::differentiate(module, {});
  ir::verify(module);
  return module;
}

}  // namespace

TEST_CASE("the derivative of every op equals that of dual numbers") {
  std::map<ir::OpKind, int> checked;
  for (const Row& row : op_rows()) {
    // Small samples may have none, as relu on one negative number; all samples of a row may not.
    std::map<size_t, bool> has_gradient;
    for (const std::string& sample : row.samples) {
      GradientCase g(row, sample);
      if (!g.exists()) continue;
      INFO(g.c.label);
      ++checked[row.op];
      const Value loss = g.loss_of(g.c.result);
      const std::vector<size_t> operands = g.operands();
      std::vector<Value> gradients;
      for (size_t i : operands) gradients.push_back(grad(loss, g.c.inputs[i]));
      const ir::Module forward = g.module({loss});
      const Arrays args = g.draw_all(kRows, 1);
      const Arrays reverse = interpreted<double>(differentiated(g.module(gradients)), args, kRows);
      for (size_t k = 0; k < operands.size(); ++k) {
        INFO("operand " << operands[k]);
        check_equal(reverse[k], forward_derivative(forward, args, operands[k]));
        has_gradient[operands[k]] |= !all_zero(reverse[k]);
      }
    }
    for (const auto& [operand, found] : has_gradient) {
      INFO(ir::def(row.op).name << " on " << row.samples.front() << ", operand " << operand);
      CHECK(found);
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
      GradientCase g(row, sample);
      if (!g.exists()) continue;
      INFO(g.c.label);
      const Value loss = g.loss_of(g.c.result);
      for (size_t i : g.operands()) {
        INFO("operand " << i);
        const Value slope = g.loss_of(grad(loss, g.c.inputs[i]));
        const Arrays args = g.draw_all(kRows, 2);
        const Array<double> forward =
            forward_derivative(differentiated(g.module({slope})), args, i);
        ir::Module second;
        try {
          second = differentiated(g.module({grad(slope, g.c.inputs[i])}));
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
