#pragma once

#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include <sinter/value.h>

namespace sinter {

/// Axes to fold: one, or a braced list; a negative axis counts from the back.
class Axes {
 public:
  Axes(int64_t axis) : list_{axis} {}                          // NOLINT
  Axes(std::initializer_list<int64_t> axes) : list_(axes) {}   // NOLINT
  Axes(std::vector<int64_t> axes) : list_(std::move(axes)) {}  // NOLINT
  const std::vector<int64_t>& list() const { return list_; }

 private:
  std::vector<int64_t> list_;
};

// All of these fold all axes, or some, which keepdims leaves with size 1; along the batch they run
// over the real rows. Error for an axis that does not exist or is named twice.

/// Sum; numbers.
Value sum(const Operand& x);
Value sum(const Operand& x, const Axes& axes, bool keepdims = false);
/// Mean; floats.
Value mean(const Operand& x);
Value mean(const Operand& x, const Axes& axes, bool keepdims = false);
/// Product; numbers. Its gradient is right at zeros too; it takes the square of the number of
/// elements that fold into one, in operations though not in memory.
Value prod(const Operand& x);
Value prod(const Operand& x, const Axes& axes, bool keepdims = false);
/// Largest element; numbers. NaN if there is one; the gradient goes to the first of equals in
/// row-major order.
Value max(const Operand& x);
Value max(const Operand& x, const Axes& axes, bool keepdims = false);
/// Smallest element; as max.
Value min(const Operand& x);
Value min(const Operand& x, const Axes& axes, bool keepdims = false);

struct VarOptions {
  /// Subtracted from the number of elements in the divisor: 1 for a sample, 0 for all there is.
  int64_t correction = 1;
  bool keepdims = false;
};
/// Mean squared distance from the mean, in two passes; floats. NaN where the divisor is 0.
Value var(const Operand& x);
Value var(const Operand& x, const Axes& axes, VarOptions options = {});
/// Square root of var (std in PyTorch); its gradient is not finite where var is 0.
Value stddev(const Operand& x);
Value stddev(const Operand& x, const Axes& axes, VarOptions options = {});
/// log(sum(exp(x))), shifted by the maximum so that it does not overflow; floats. -inf where all
/// elements are.
Value logsumexp(const Operand& x);
Value logsumexp(const Operand& x, const Axes& axes, bool keepdims = false);

/// Index (i64) of the largest element, the first of equals or the first NaN: in row-major order of
/// all, or along an axis. Numbers; no gradient.
Value argmax(const Operand& x);
Value argmax(const Operand& x, int64_t axis, bool keepdims = false);
/// Index of the smallest element; as argmax.
Value argmin(const Operand& x);
Value argmin(const Operand& x, int64_t axis, bool keepdims = false);

/// Sum of the elements up to and including each one along an axis, in x's shape; numbers. Error
/// along the batch.
Value cumsum(const Operand& x, int64_t axis);

}  // namespace sinter
