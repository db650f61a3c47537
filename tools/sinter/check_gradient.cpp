// Gradients against forward-mode differentiation in dual numbers.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "compiler/pipeline.h"
#include "ir/interpret.h"
#include "ir/text/print.h"
#include "tools/sinter/check.h"

namespace sinter::command {

namespace {

using ir::Dual;

constexpr double tolerance = 1e-11;
// Up to this many elements each is perturbed alone; beyond it, all together along directions.
constexpr size_t elementwise_limit = 64;
constexpr int directions = 3;

void run_pass(ir::Module& module, std::string_view name) {
  const compiler::Pass* const list[] = {compiler::find_pass(name)};
  compiler::run_passes(module, list, compiler::Options{});
}

bool has_gradient(const ir::Func& func) {
  bool found = false;
  ir::for_each_op(func.body,
                  [&](const ir::Op& op) { found = found || op.kind == ir::OpKind::gradient; });
  return found;
}

// A module of `func` alone that only computes `results`.
ir::Module only(const ir::Module& module, const std::string& func,
                std::vector<ir::ValueId> results) {
  ir::Module out;
  out.globals = module.globals;
  out.funcs.push_back(*module.find(func));
  ir::Func& f = out.funcs[0];
  std::erase_if(f.body, [](const ir::Op& op) { return op.kind == ir::OpKind::assign; });
  f.results = std::move(results);
  return out;
}

// Leaves out what the results do not need, and differentiates what they do.
void lower_gradients(ir::Module& module) {
  run_pass(module, "dce");
  if (has_gradient(module.funcs[0])) run_pass(module, "differentiate");
}

// Adds a last argument to `func` and lets everything that reads x read x plus it.
void perturb(ir::Func& func, ir::ValueId x) {
  const ir::ValueId change = func.add_argument(func.type(x), func.unique_name("change"));
  const ir::ValueId sum = func.add_value(func.type(x), "", ir::ValueDef::op);
  ir::replace_uses(func, {{x, sum}});
  const auto defines = [&](const ir::Op& op) { return op.result == x; };
  auto at = std::find_if(func.body.begin(), func.body.end(), defines);
  // An argument or a global is there from the beginning.
  at = at == func.body.end() ? func.body.begin() : at + 1;
  func.body.insert(at, ir::Op{.kind = ir::OpKind::add, .operands = {x, change}, .result = sum});
}

std::vector<ir::Array<Dual>> constants(const std::vector<ir::Array<double>>& values) {
  std::vector<ir::Array<Dual>> out;
  for (const ir::Array<double>& v : values) {
    ir::Array<Dual>& to = out.emplace_back(v.dtype, v.dims);
    std::copy(v.f.begin(), v.f.end(), to.f.begin());
    to.i = v.i;
  }
  return out;
}

}  // namespace

GradientCheck::GradientCheck(const ir::Module& module, const std::string& func) : func_(func) {
  const ir::Func& recorded = *module.find(func);
  const ir::Printer printer(module, recorded);
  std::vector<ir::ValueId> gradients;
  for (const ir::Op& op : recorded.body) {
    if (op.kind != ir::OpKind::gradient) continue;
    const ir::ValueId loss = op.operands[0], x = op.operands[1];
    gradients.push_back(op.result);
    findings_.push_back({fmt::format("gradient of {} by {} : {}", printer.value(loss),
                                     printer.value(x), to_string(recorded.type(x))),
                         tolerance});
    ir::Module& to = perturbed_.emplace_back(only(module, func, {loss}));
    perturb(to.funcs[0], x);
    lower_gradients(to);
  }
  if (gradients.empty()) return;
  backward_ = only(module, func, std::move(gradients));
  lower_gradients(backward_);
}

void GradientCheck::run(const Inputs& inputs, int64_t n, std::mt19937_64& random) {
  if (findings_.empty()) return;
  std::vector<ir::Array<double>> globals = inputs.globals;
  const std::vector<ir::Array<double>> gradients =
      ir::interpret<double>(backward_, backward_.funcs[0], inputs.args, globals, n);
  for (size_t i = 0; i < gradients.size(); ++i) compare(i, gradients[i], inputs, n, random);
}

void GradientCheck::compare(size_t which, const ir::Array<double>& gradient, const Inputs& inputs,
                            int64_t n, std::mt19937_64& random) {
  const ir::Module& module = perturbed_[which];
  const size_t count = gradient.f.size();
  std::vector<ir::Array<Dual>> args = constants(inputs.args);
  args.emplace_back(gradient.dtype, gradient.dims);
  std::vector<Dual>& change = args.back().f;
  const auto derivative = [&] {
    std::vector<ir::Array<Dual>> globals = constants(inputs.globals);
    return ir::interpret<Dual>(module, module.funcs[0], args, globals, n)[0].f[0].d;
  };
  const auto compare_one = [&](double actual, double expected, double scale) {
    if (std::isnan(actual) && std::isnan(expected)) return;
    const double error = std::abs(actual - expected) / std::max(scale, 1.0);
    findings_[which].add(std::isnan(error) ? std::numeric_limits<double>::infinity() : error, n);
  };
  if (count <= elementwise_limit) {
    double largest = 0;
    for (double g : gradient.f) largest = std::max(largest, std::abs(g));
    for (size_t i = 0; i < count; ++i) {
      change[i] = {0, 1};
      compare_one(gradient.f[i], derivative(), largest);
      change[i] = {};
    }
    return;
  }
  std::normal_distribution<double> normal;
  for (int k = 0; k < directions; ++k) {
    double along = 0, scale = 0;
    for (size_t i = 0; i < count; ++i) {
      change[i] = {0, normal(random)};
      along += gradient.f[i] * change[i].d;
      scale += std::abs(gradient.f[i] * change[i].d);
    }
    compare_one(along, derivative(), scale);
  }
}

}  // namespace sinter::command
