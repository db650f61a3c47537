// Compiled code against the f64 interpreter.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "compiler/pipeline.h"
#include "ir/interpret.h"
#include "ir/text/print.h"
#include "tools/sinter/buffer.h"
#include "tools/sinter/check.h"
#include "tools/sinter/command.h"

namespace sinter::command {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// Largest difference relative to the largest element of what is expected.
double relative_error(const ir::Array<double>& actual, const ir::Array<double>& expected) {
  if (!expected.floats()) return actual.i == expected.i ? 0 : infinity;
  // A tensor of values that nearly cancel is not held to its own size.
  double largest = 0, scale = 1e-3;
  for (size_t i = 0; i < expected.f.size(); ++i) {
    const double a = actual.f[i], e = expected.f[i];
    if (a == e || (std::isnan(a) && std::isnan(e))) continue;
    const double difference = std::abs(a - e);
    largest = std::isnan(difference) ? infinity : std::max(largest, difference);
    if (std::isfinite(e)) scale = std::max(scale, std::abs(e));
  }
  return largest / scale;
}

double tolerance_of(DType dtype) {
  if (!is_float(dtype)) return 0;
  return dtype == DType::f32 ? 1e-4 : 1e-10;
}

std::vector<bool> assigned_globals(const ir::Module& module, const ir::Func& func) {
  std::vector<bool> out(module.globals.size(), false);
  ir::for_each_op(func.body, [&](const ir::Op& op) {
    if (op.kind == ir::OpKind::assign) out[static_cast<size_t>(func[op.operands[0]].index)] = true;
  });
  return out;
}

}  // namespace

struct CodeCheck::State {
  std::unique_ptr<compiler::Executable> executable;
  ir::Module module;  // expanded
  const ir::Func* func = nullptr;
  std::vector<bool> assigned;
  std::vector<Finding> findings;
};

CodeCheck::CodeCheck(const ir::Module& module, const std::string& func,
                     const compiler::Options& options)
    : state_(std::make_unique<State>()) {
  state_->executable = compile_native(module, func, options);
  state_->module = module;
  if (!is_planned(module)) {
    const compiler::Pass* const list[] = {compiler::find_pass("differentiate"),
                                          compiler::find_pass("expand")};
    compiler::run_passes(state_->module, list, options);
  }
  state_->func = state_->module.find(func);
  state_->assigned = assigned_globals(state_->module, *state_->func);
  const ir::Printer printer(state_->module, *state_->func);
  for (size_t i = 0; i < state_->func->results.size(); ++i) {
    const ir::ValueId v = state_->func->results[i];
    const ir::Type& type = state_->func->type(v);
    state_->findings.push_back(
        {fmt::format("result {} {} : {}", i, printer.value(v), to_string(type)),
         tolerance_of(type.dtype)});
  }
  for (size_t i = 0; i < state_->assigned.size(); ++i) {
    const ir::Global& g = state_->module.globals[i];
    if (!state_->assigned[i]) continue;
    state_->findings.push_back(
        {fmt::format("global @{} : {}", g.name, to_string(g.type)), tolerance_of(g.type.dtype)});
  }
}

CodeCheck::~CodeCheck() = default;
CodeCheck::CodeCheck(CodeCheck&&) noexcept = default;

const std::vector<Finding>& CodeCheck::findings() const { return state_->findings; }

bool CodeCheck::is_defined(const Inputs& inputs, int64_t n) {
  std::vector<ir::Array<double>> globals = inputs.globals;
  std::vector<ir::Array<double>> all =
      ir::interpret<double>(state_->module, *state_->func, inputs.args, globals, n);
  all.insert(all.end(), globals.begin(), globals.end());
  return std::all_of(all.begin(), all.end(), [](const ir::Array<double>& array) {
    return std::none_of(array.f.begin(), array.f.end(), [](double v) { return std::isnan(v); });
  });
}

void CodeCheck::run(const Inputs& inputs, int64_t n) {
  const ir::Func& func = *state_->func;
  std::vector<Buffer> buffers;
  for (size_t i = 0; i < inputs.args.size(); ++i) {
    buffers.emplace_back(func.type(func.args[i]), n).write(inputs.args[i]);
  }
  for (size_t i = 0; i < inputs.globals.size(); ++i) {
    buffers.emplace_back(state_->module.globals[i].type, n).write(inputs.globals[i]);
  }
  for (ir::ValueId v : func.results) buffers.emplace_back(func.type(v), n);
  std::vector<void*> pointers;
  for (const Buffer& b : buffers) pointers.push_back(b.data());
  state_->executable->run(pointers.data(), n);

  std::vector<ir::Array<double>> globals = inputs.globals;
  const std::vector<ir::Array<double>> results =
      ir::interpret<double>(state_->module, func, inputs.args, globals, n);
  const size_t first_global = inputs.args.size(), first_result = first_global + globals.size();
  size_t at = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    state_->findings[at++].add(relative_error(buffers[first_result + i].read(), results[i]), n);
  }
  for (size_t i = 0; i < globals.size(); ++i) {
    if (!state_->assigned[i]) continue;
    state_->findings[at++].add(relative_error(buffers[first_global + i].read(), globals[i]), n);
  }
}

}  // namespace sinter::command
