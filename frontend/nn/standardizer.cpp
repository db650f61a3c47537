#include <algorithm>

#include <sinter/error.h>
#include <sinter/functions.h>
#include <sinter/standardizer.h>

namespace sinter {

Standardizer::Standardizer(const Tensor& rows, const std::source_location& at) {
  if (rows.dim() < 1 || rows.numel() == 0 || !is_float(rows.dtype())) {
    throw Error("a Standardizer needs rows of floats but got {}", rows.type_string())
        .at(SourceLoc::from(at))
        .help("convert integers with .to(DType::f32)");
  }
  const Value x = rows.to(DType::f64);
  const Value center = sinter::mean(x, 0);
  const Value spread = sqrt(sinter::mean(pow(x - center, 2), 0));
  const std::vector<Tensor> got = eval({center, where(equal(spread, 0), 1, spread)});
  mean_ = got[0];
  deviation_ = got[1];
}

void Standardizer::check(const Tensor& rows) const {
  const Shape& want = mean_.shape();
  if (rows.dim() == mean_.dim() + 1 && is_float(rows.dtype()) &&
      std::equal(want.begin(), want.end(), rows.shape().begin() + 1))
    return;
  throw Error("rows of shape {} were standardized but these are {}", shape_to_string(want),
              rows.type_string())
      .help("pass rows with the same columns");
}

Tensor Standardizer::operator()(const Tensor& rows) const {
  check(rows);
  return eval((Value(rows.to(DType::f64)) - mean_) / deviation_).to(rows.dtype());
}

Tensor Standardizer::inverse(const Tensor& rows) const {
  check(rows);
  return eval(Value(rows.to(DType::f64)) * deviation_ + mean_).to(rows.dtype());
}

}  // namespace sinter
