#pragma once

#include <source_location>

#include <sinter/tensor.h>

namespace sinter {

/// Brings columns to mean 0 and standard deviation 1 by the statistics of some rows, those that a
/// net is trained on: other rows are then scaled alike.
class Standardizer {
 public:
  /// rows: floats [n, ...]; mean and standard deviation (of the population, divided by n) of each
  /// column, computed in f64. A column that is constant is only shifted.
  explicit Standardizer(const Tensor& rows,
                        const std::source_location& at = std::source_location::current());

  /// (rows - mean) / deviation, in the dtype of `rows`.
  Tensor operator()(const Tensor& rows) const;
  /// rows * deviation + mean.
  Tensor inverse(const Tensor& rows) const;

  /// f64, the shape of one row.
  const Tensor& mean() const { return mean_; }
  const Tensor& deviation() const { return deviation_; }

 private:
  void check(const Tensor& rows) const;
  Tensor mean_, deviation_;
};

}  // namespace sinter
