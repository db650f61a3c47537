#pragma once

#include <cstdint>
#include <source_location>

#include <sinter/tensor.h>

namespace sinter {

/// One row of a data set: what goes into the net, and what should come out.
struct Sample {
  Tensor x, y;
};

/// A source of samples. A class of yours reads a file, computes or augments in get():
///
///     struct Squares : Dataset {
///       int64_t size() const override { return 1000; }
///       Sample get(int64_t i) const override {
///         return {Tensor{float(i)}, Tensor{float(i * i)}};
///       }
///     };
class Dataset {
 public:
  virtual ~Dataset() = default;

  /// Number of samples; asked once, when a loader is made.
  virtual int64_t size() const = 0;
  /// Sample `index`, 0 <= index < size(). All have the same shapes and dtypes. A DataLoader with
  /// workers calls it from several threads at once. For results that do not depend on the workers,
  /// random numbers should be a function of the index (see random_block).
  virtual Sample get(int64_t index) const = 0;
};

/// The rows of two tensors: sample i is x[i], y[i]. Shares their buffers if their elements lie one
/// after the other, else copies.
class TensorDataset final : public Dataset {
 public:
  /// x [n, ...] and y [n, ...] of any dtypes. Error if their numbers of rows differ.
  TensorDataset(const Tensor& x, const Tensor& y,
                const std::source_location& at = std::source_location::current());

  int64_t size() const override { return x_.shape()[0]; }
  /// Views of both.
  Sample get(int64_t index) const override { return {x_.select(0, index), y_.select(0, index)}; }

  const Tensor& x() const { return x_; }
  const Tensor& y() const { return y_; }

 private:
  Tensor x_, y_;
};

}  // namespace sinter
