// Derivatives against two more witnesses: differences of the function itself, which know nothing of
// duals either, and, for the third order of elementwise ops, compiled code against dual numbers on
// the graph of the second.
#include <algorithm>
#include <cmath>

#include <catch2/catch.hpp>

#include <sinter/functions.h>

#include "compiler/passes/passes.h"
#include "ir/interpret.h"
#include "ir/op.h"
#include "tests/ops/gradient_case.h"
#include "tests/ops/run_case.h"

namespace sinter::test {

namespace {

using ir::Array;
using ir::Dual;
using Arrays = std::vector<Array<double>>;

constexpr int64_t kRows = 3;
constexpr double kStep = 2e-6;

ir::Module differentiated(ir::Module module) {
  compiler::differentiate(module, {});
  return module;
}

double largest(const Array<double>& a) {
  double out = 0;
  for (double x : a.f) out = std::max(out, std::abs(x));
  return out;
}

// Relative to the largest element; NaN stays.
double difference(const Array<double>& a, const Array<double>& b) {
  double worst = 0;
  for (size_t k = 0; k < a.f.size(); ++k) {
    const double error = std::abs(a.f[k] - b.f[k]);
    worst = error <= worst ? worst : error;
  }
  const double scale = largest(b);
  return scale == 0 ? worst : worst / scale;
}

// (f(x + h) - f(x - h)) / 2h, element by element: off by h^2, and by what rounding makes of 1/h.
// NaN where the two sides differ, as at a step of floor or between two largest elements.
Array<double> central_difference(const ir::Module& module, Arrays args, size_t i) {
  constexpr double smooth = 1e-3;
  Array<double> out(args[i].dtype, args[i].dims);
  const auto value = [&] { return interpreted<double>(module, args, kRows)[0].f[0]; };
  const double here = value();
  for (size_t k = 0; k < out.size(); ++k) {
    double& x = args[i].f[k];
    const double middle = x, above = x + kStep, below = x - kStep;
    x = above;
    const double up = value();
    x = below;
    const double down = value();
    x = middle;
    const double right = (up - here) / (above - middle), left = (here - down) / (middle - below);
    out.f[k] = std::abs(right - left) <= smooth * (1 + std::abs(right))
                   ? (up - down) / (above - below)
                   : std::nan("");
  }
  return out;
}

Array<double> dual_derivative(const ir::Module& module, const Arrays& args, size_t i) {
  Array<double> out(args[i].dtype, args[i].dims);
  std::vector<Array<Dual>> duals = converted<Dual>(args), none;
  for (size_t k = 0; k < out.size(); ++k) {
    duals[i].f[k].d = 1;
    out.f[k] = ir::interpret<Dual>(module, module.funcs.front(), duals, none, kRows)[0].f[0].d;
    duals[i].f[k].d = 0;
  }
  return out;
}

}  // namespace

TEST_CASE("the derivative of every op equals a difference of its values") {
  constexpr double bound = 1e-6;
  int checked = 0, elements = 0, kinks = 0;
  for (const Row& row : op_rows()) {
    GradientCase g(row, row.samples.front());
    if (!g.exists()) continue;
    INFO(g.c.label);
    const Value loss = g.loss_of(g.c.result);
    const std::vector<size_t> operands = g.operands();
    std::vector<Value> gradients;
    for (size_t i : operands) gradients.push_back(grad(loss, g.c.inputs[i]));
    const ir::Module forward = g.module({loss});
    const Arrays args = g.draw_all(kRows, 3);
    const Arrays reverse = interpreted<double>(differentiated(g.module(gradients)), args, kRows);
    const double noise =
        0x1p-52 * std::abs(interpreted<double>(forward, args, kRows)[0].f[0]) / kStep;
    for (size_t k = 0; k < operands.size(); ++k) {
      INFO("operand " << operands[k]);
      Array<double> steps = central_difference(forward, args, operands[k]);
      for (size_t e = 0; e < steps.f.size(); ++e) {
        ++elements;
        if (!std::isnan(steps.f[e])) continue;
        ++kinks;
        steps.f[e] = reverse[k].f[e];
      }
      // A function of steps, or a sum that cancels, leaves the rounding of the differences.
      if (largest(steps) < bound) {
        CHECK(largest(reverse[k]) < bound);
        continue;
      }
      // Of numbers so large that their rounding hides the difference nothing can be said.
      if (noise > bound * largest(steps)) continue;
      CHECK(difference(reverse[k], steps) <= bound);
      ++checked;
    }
  }
  CHECK(checked > 100);
  CHECK(kinks * 10 < elements);
}

TEST_CASE("compiled third derivatives of elementwise ops equal those of dual numbers") {
  int checked = 0;
  for (const Row& row : op_rows()) {
    if (!ir::def(row.op).is(ir::Trait::elementwise)) continue;
    const auto f64 = std::find_if(row.samples.begin(), row.samples.end(),
                                  [](const std::string& s) { return s.find("f64") == 0; });
    const bool wide = f64 != row.samples.end();
    GradientCase g(row, wide ? *f64 : row.samples.front());
    if (!g.exists()) continue;
    INFO(g.c.label);
    for (size_t i : g.operands()) {
      INFO("operand " << i);
      const Value x = g.c.inputs[i];
      const Value first = g.loss_of(grad(g.loss_of(g.c.result), x));
      const Value second = g.loss_of(grad(first, x));
      const Value third = grad(second, x);
      const Arrays args = g.draw_all(kRows, 4);
      Array<double> want;
      try {
        want = dual_derivative(differentiated(g.module({second})), args, i);
        differentiated(g.module({third}));
      } catch (const Error&) {
        // Of first or second degree in this operand: there is no third derivative to compare.
        continue;
      }
      CompiledCase compiled(g.module({third}), {.max_batch = kRows, .threads = 1});
      CHECK(difference(compiled(args, kRows)[0], want) <= (wide ? 1e-11 : 1e-4));
      checked += largest(want) > 0;
    }
  }
  // exp, log, sqrt, pow twice, sin, cos, erf, tanh, sigmoid, softplus, div at the least.
  CHECK(checked >= 12);
}

}  // namespace sinter::test
