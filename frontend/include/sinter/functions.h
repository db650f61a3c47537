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

// Every function throws Error with the shapes and the caller's line if its operands do not fit.

/// e^x, elementwise; floats.
Value exp(const Operand& x);
/// Natural logarithm, elementwise; floats.
Value log(const Operand& x);
/// Square root, elementwise; floats.
Value sqrt(const Operand& x);
/// Hyperbolic tangent, elementwise; floats.
Value tanh(const Operand& x);
/// 1 / (1 + exp(-x)), elementwise; floats.
Value sigmoid(const Operand& x);
/// x where x > 0, else 0; NaN stays NaN and the derivative at 0 is 0. Floats.
Value relu(const Operand& x);
/// x * sigmoid(x). Source: Elfwing, Uchibe, Doya 2018 (SiLU).
Value silu(const Operand& x);
/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Source: Hendrycks, Gimpel 2016, tanh form.
Value gelu(const Operand& x);
/// log(1 + e^x) as max(x, 0) + log(1 + e^-abs(x)), which does not overflow.
Value softplus(const Operand& x);
/// abs(x), elementwise; its derivative at 0 is 0.
Value abs(const Operand& x);
/// The larger of two, elementwise with broadcasting; NaN if either is. Among equals the gradient
/// goes to `a`.
Value maximum(const Operand& a, const Operand& b);
/// The smaller of two; as maximum.
Value minimum(const Operand& a, const Operand& b);
/// x to a constant power. Integers up to 64 (negative ones too) multiply, 0.5 is sqrt, anything
/// else is exp(exponent log(x)), which is NaN for x < 0.
Value pow(const Operand& x, double exponent);

/// Elementwise comparisons with broadcasting; operands of one dtype, the result is bool.
Value equal(const Operand& a, const Operand& b);
Value less(const Operand& a, const Operand& b);
Value less_equal(const Operand& a, const Operand& b);
/// b < a and b <= a.
Value greater(const Operand& a, const Operand& b);
Value greater_equal(const Operand& a, const Operand& b);
/// a where the condition (bool) holds, else b; all three broadcast.
Value where(const Operand& condition, const Operand& a, const Operand& b);
/// The name of `where` in the IR.
Value select(const Operand& condition, const Operand& a, const Operand& b);
/// The same values in another dtype; floats truncate towards zero into integers.
Value cast(const Operand& x, DType dtype);

/// The same elements in row-major order under another shape. One size may be -1; it is the one that
/// follows the batch if x does.
Value reshape(const Operand& x, Shape shape);
/// Axes in another order: result axis i is axis permutation[i] of x.
Value permute(const Operand& x, std::vector<int64_t> permutation);
/// Two axes exchanged.
Value transpose(const Operand& x, int64_t a, int64_t b);
/// The transposed matrix; x has two axes.
Value t(const Operand& x);
/// Repeats along axes of size 1 and new leading axes; -1 keeps the size of x.
Value broadcast_to(const Operand& x, Shape shape);
/// A new axis of size 1 before `axis`; -1 appends.
Value unsqueeze(const Operand& x, int64_t axis);
/// Without the axis, which must have size 1.
Value squeeze(const Operand& x, int64_t axis);

/// Sum over all axes, or over some; keepdims leaves them with size 1. Numbers.
Value sum(const Operand& x);
Value sum(const Operand& x, const Axes& axes, bool keepdims = false);
/// Mean over all axes, or over some; along the batch over the real rows. Floats.
Value mean(const Operand& x);
Value mean(const Operand& x, const Axes& axes, bool keepdims = false);
/// Largest element of all, or along an axis; NaN if there is one.
Value max(const Operand& x);
Value max(const Operand& x, int64_t axis, bool keepdims = false);
/// Index (i64) of the largest element along an axis, the first of equals. No gradient.
Value argmax(const Operand& x, int64_t axis, bool keepdims = false);

/// [.., m, k] x [k, n] -> [.., m, n], or [b, m, k] x [b, k, n] -> [b, m, n]; floats.
Value matmul(const Operand& a, const Operand& b);
/// x W^T + bias for x [..., in], weight [out, in] and bias [out] -> [..., out] (PyTorch's layout).
Value linear(const Operand& x, const Operand& weight, const Operand& bias);
/// x W^T.
Value linear(const Operand& x, const Operand& weight);
/// Rows of a table [rows, width] at integer indices [n], as [n, width].
Value gather(const Operand& table, const Operand& indices);
/// Adds `updates` [n, width] to the rows of `base` [rows, width] at integer indices [n], in order.
Value scatter_add(const Operand& base, const Operand& indices, const Operand& updates);

/// exp(x) / sum(exp(x)) along an axis that does not follow the batch, shifted by the maximum.
Value softmax(const Operand& x, int64_t axis = -1);
/// log(softmax(x)) without the loss of small probabilities.
Value log_softmax(const Operand& x, int64_t axis = -1);

enum class Reduction : uint8_t { mean, sum, none };

struct LossOptions {
  Reduction reduction = Reduction::mean;
};

/// (prediction - target)^2, by default its mean over all elements. Both have one shape and dtype:
/// (n, 1) against (n) is an Error, never a broadcast.
Value mse_loss(const Operand& prediction, const Operand& target);
Value mse_loss(const Operand& prediction, const Operand& target, LossOptions options);

struct CrossEntropyOptions {
  Reduction reduction = Reduction::mean;
  /// Rows with this label count neither in the sum nor in the mean.
  int64_t ignore_index = -100;
};

/// -log softmax(logits)[label], by default its mean over the rows whose label is not ignore_index.
/// logits: floats [n, classes], Error for the result of softmax; labels: integers [n] from 0 to classes - 1,
/// checked before a step runs where they are an input of it.
Value cross_entropy(const Operand& logits, const Operand& labels);
Value cross_entropy(const Operand& logits, const Operand& labels, CrossEntropyOptions options);

/// Share of rows of logits [n, classes] whose largest element is at the label [n]; f32, no
/// gradient.
Value accuracy(const Operand& logits, const Operand& labels);

/// d loss / d wrt, with the shape of wrt. Differentiable again. Error unless loss is a scalar that
/// depends on wrt through differentiable ops.
Value grad(const Operand& loss, const Operand& wrt);
std::vector<Value> grad(const Operand& loss, const std::vector<Value>& wrt,
                        const std::source_location& at = std::source_location::current());

}  // namespace sinter
