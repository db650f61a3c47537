#include <algorithm>

#include <fmt/format.h>

#include <sinter/error.h>
#include <sinter/summary.h>

#include "compiler/passes/passes.h"
#include "frontend/recording.h"
#include "ir/op.h"

namespace sinter {

namespace {

// Floating-point operations of one op: a product counts its additions too.
int64_t flops(const ir::Func& func, const ir::Op& op) {
  if (!op.result.valid() || !is_float(func.type(op.result).dtype)) return 0;
  const int64_t out = func.type(op.result).numel(1);
  if (op.kind == ir::OpKind::contraction) {
    int64_t depth = 1;
    const ir::Shape& a = func.type(op.operands[0]).shape;
    for (int64_t axis : op.attrs.integers("a")) depth *= a[static_cast<size_t>(axis)].at(1);
    return 2 * out * depth;
  }
  if (ir::def(op).is(ir::Trait::elementwise)) return out;
  if (ir::def(op).is(ir::Trait::reduction)) return func.type(op.operands[0]).numel(1);
  return 0;
}

// 1234567 as 1,234,567.
std::string grouped(int64_t number) {
  const std::string digits = fmt::format("{}", number);
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

struct Row {
  std::string layer, output;
  int64_t params = 0, flops = 0, bytes = 0;
};

bool below(const std::string& scope, const std::string& path) {
  return path.empty() || scope == path || scope.rfind(path + ".", 0) == 0;
}

}  // namespace

std::string summary(nn::Module& net, const Shape& input, const std::source_location& at) {
  auto recording = std::make_shared<detail::Recording>("forward");
  recording->primary = true;
  ir::Type type{DType::f32, {}};
  for (int64_t size : input) type.shape.emplace_back(size);
  const ir::ValueId x = recording->add_argument({detail::Argument::Kind::input}, type, "x");
  const Value result = net(Operand(detail::Recorder::make(recording, x), at));
  recording->func().results = {detail::Recorder::resolve(result).second};
  const std::vector<detail::Call> calls = recording->calls;
  // After `expand` only products, elementwise ops and reductions are left.
  ir::Module module = recording->module;
  compiler::expand(module, {});
  const ir::Func& func = module.funcs.front();

  std::vector<Row> rows;
  for (size_t i = 0; i < calls.size(); ++i) {
    const detail::Call& call = calls[i];
    // A module that is called twice has one row, for all its calls.
    const auto same = [&](const detail::Call& c) { return c.path == call.path; };
    if (std::any_of(calls.begin(), calls.begin() + static_cast<ptrdiff_t>(i), same)) continue;
    Row row;
    const size_t dot = call.path.rfind('.');
    const std::string name = call.path.substr(dot == std::string::npos ? 0 : dot + 1);
    row.layer = fmt::format("{:{}}{}{}", "", 2 * call.depth, call.class_name,
                            name.empty() ? "" : " (" + name + ")");
    if (call.output) row.output = ir::to_string(call.output->shape);
    for (const nn::Parameter& p : call.parameters) {
      row.params += p.value().numel();
      row.bytes += static_cast<int64_t>(p.value().nbytes());
    }
    for (const ir::Op& op : func.body) {
      if (below(op.loc.scope, call.path)) row.flops += flops(func, op);
    }
    rows.push_back(std::move(row));
  }

  size_t layer = 5, output = 6;
  for (const Row& row : rows) {
    layer = std::max(layer, row.layer.size());
    output = std::max(output, row.output.size());
  }
  std::string out = fmt::format("{:<{}}  {:<{}}  {:>12}  {:>14}  {:>12}\n", "Layer", layer,
                                "Output", output, "Params", "FLOPs", "Bytes");
  const std::string line(layer + output + 46, '-');
  out += line + "\n";
  for (const Row& row : rows) {
    out += fmt::format("{:<{}}  {:<{}}  {:>12}  {:>14}  {:>12}\n", row.layer, layer, row.output,
                       output, grouped(row.params), grouped(row.flops), grouped(row.bytes));
  }
  int64_t trainable = 0;
  for (const nn::Parameter& p : net.parameters()) {
    if (p.requires_grad()) trainable += p.value().numel();
  }
  const Row& total = rows.front();
  out += line + "\n";
  out += fmt::format("Total params: {} ({} trainable), {} bytes\n", grouped(total.params),
                     grouped(trainable), grouped(total.bytes));
  out += fmt::format("Total FLOPs: {} forward\n", grouped(total.flops));
  return out;
}

}  // namespace sinter
