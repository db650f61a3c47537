#include <ostream>

#include <fmt/format.h>

#include <sinter/error.h>
#include <sinter/functions.h>
#include <sinter/nn.h>
#include <sinter/value.h>

#include "compiler/compile.h"
#include "frontend/program.h"
#include "frontend/recording.h"
#include "ir/ops/family.h"
#include "ir/text/text.h"

namespace sinter {

using detail::Recorder;

namespace {

const ir::Type& type_of(const Value& value) {
  const auto [recording, id] = Recorder::resolve(value);
  return recording->func().type(id);
}

// The recorded function that computes `values`, all in one recording.
detail::Recorded function_of(std::span<const Value> values, const SourceLoc& at) {
  SINTER_CHECK(!values.empty());
  Value all = values.front();
  for (const Value& v : values.subspan(1)) {
    const Operand a(all), b(v);
    Recorder joined({&a, &b});
  }
  const auto recording = Recorder::resolve(all).first;
  if (recording->primary) {
    throw Error("this value belongs to a training step, which has no batch at hand")
        .at(at)
        .help("call trainer.predict(x), or return it from the step as a metric");
  }
  std::vector<ir::ValueId> results;
  for (const Value& v : values) results.push_back(Recorder::resolve(v).second);
  return detail::slice(*recording, results);
}

}  // namespace

Value::Value(const Tensor& tensor, const std::source_location& at) {
  const Operand operand(tensor, at);
  Recorder r({&operand});
  *this = r.done(r[0]);
}

DType Value::dtype() const { return type_of(*this).dtype; }

int64_t Value::dim() const { return type_of(*this).rank(); }

int64_t Value::size(int64_t axis) const {
  const ir::Type& type = type_of(*this);
  const ir::Dim dim = type.shape[static_cast<size_t>(ir::checked_axis(axis, type))];
  return dim.batch ? -1 : dim.scale;
}

std::string Value::type_string() const { return ir::to_string(type_of(*this)); }

std::string Value::to_string() const {
  if (!recording_) return "empty value";
  const auto [recording, id] = Recorder::resolve(*this);
  const std::string& name = recording->func()[id].name;
  return fmt::format("value{}{} : {}", name.empty() ? "" : " ", name, type_string());
}

std::ostream& operator<<(std::ostream& out, const Value& value) { return out << value.to_string(); }

Value& Value::operator+=(const Operand& other) {
  return *this = Operand(*this, other.at()) + other;
}
Value& Value::operator-=(const Operand& other) {
  return *this = Operand(*this, other.at()) - other;
}
Value& Value::operator*=(const Operand& other) {
  return *this = Operand(*this, other.at()) * other;
}
Value& Value::operator/=(const Operand& other) {
  return *this = Operand(*this, other.at()) / other;
}

Operand::Operand(const nn::Parameter& parameter, const Location& at)
    : parameter_(std::make_shared<nn::Parameter>(parameter)), at_(at), kind_(Kind::parameter) {}

std::vector<Tensor> eval(std::span<const Value> values, const std::source_location& at) {
  if (values.empty()) return {};
  const SourceLoc loc = SourceLoc::from(at);
  detail::Recorded recorded =
      detail::located({loc.file, loc.line, {}}, [&] { return function_of(values, loc); });
  compiler::Options options = compiler::Options::from_environment();
  // A dump shows the training step; the few ops computed on data beforehand would overwrite it.
  options.dump_dir.clear();
  options.max_batch = 1;
  detail::Program program(std::move(recorded), options);
  std::vector<Tensor> results;
  for (ir::ValueId id : program.recorded().func().results) {
    const ir::Type& type = program.recorded().func().type(id);
    results.push_back(Tensor::empty(type.dims(1), type.dtype));
    program.set_result(results.size() - 1, results.back().raw());
  }
  for (const detail::LabelCheck& check : program.recorded().checks) {
    const Tensor labels = program.recorded().arguments[check.argument].tensor.contiguous();
    const int64_t row = detail::first_bad_label(check, labels);
    if (row >= 0) {
      detail::refuse_label(check, labels, row, check.ignore ? "labels" : "indices", loc);
    }
  }
  program.run(1);
  return results;
}

std::vector<Tensor> eval(std::initializer_list<Value> values, const std::source_location& at) {
  return eval(std::span<const Value>(values.begin(), values.size()), at);
}

Tensor eval(const Value& value, const std::source_location& at) {
  return eval(std::span<const Value>(&value, 1), at).front();
}

std::string ir_text(const Value& value) {
  return ir::print(function_of({&value, 1}, SourceLoc{}).module);
}

}  // namespace sinter
