#include "tests/ops/gradient_case.h"

#include <sinter/functions.h>

#include "ir/op.h"

namespace sinter::test {

bool GradientCase::exists() const {
  return is_float(c.result.dtype()) && !operands().empty() && ir::def(c.row->op).vjp.fn != nullptr;
}

std::vector<size_t> GradientCase::operands() const {
  std::vector<size_t> out;
  for (size_t i = 0; i < c.inputs.values.size(); ++i) {
    if (is_float(c.inputs[i].dtype())) out.push_back(i);
  }
  return out;
}

Value GradientCase::loss_of(const Value& value) {
  detail::Recording& recording = *c.inputs.recording;
  const ir::Type type = recording.func().type(detail::Recorder::resolve(value).second);
  const ir::ValueId id = recording.add_argument({detail::Argument::Kind::input}, type,
                                                recording.func().unique_name("weights"));
  weights_.push_back(type);
  return sum(value * detail::Recorder::make(c.inputs.recording, id));
}

std::vector<ir::Array<double>> GradientCase::draw_all(int64_t n, uint64_t seed) const {
  std::vector<ir::Array<double>> out = draw(c, n, seed);
  std::mt19937_64 rng(seed + 99);
  for (const ir::Type& type : weights_) {
    ir::Array<double> w(type.dtype, type.dims(n));
    for (double& x : w.f) {
      x = static_cast<float>(std::uniform_real_distribution<double>(0.5, 1.5)(rng));
    }
    out.push_back(std::move(w));
  }
  return out;
}

}  // namespace sinter::test
