#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <sinter/dropout.h>
#include <sinter/indexing.h>
#include <sinter/products.h>
#include <sinter/reductions.h>
#include <sinter/shapes.h>
#include <sinter/value.h>

namespace sinter {

// Every function throws Error with the shapes and the caller's line if its operands do not fit.

// Element by element; functions of several operands broadcast them as NumPy does. Where floats are
// asked for, f32 and f64.

/// abs(x); its derivative at 0 is 0. Numbers.
Value abs(const Operand& x);
/// 1, -1 or 0 by the sign of x; 0 of NaN, as in PyTorch. Numbers; the derivative is 0.
Value sign(const Operand& x);
/// The largest integer that is not above x, and the smallest that is not below. Floats; the
/// derivative is 0.
Value floor(const Operand& x);
Value ceil(const Operand& x);
/// The nearest integer, of two the even one (0.5 becomes 0, 1.5 becomes 2). Floats; the derivative
/// is 0.
Value round(const Operand& x);
/// e^x; floats.
Value exp(const Operand& x);
/// Natural logarithm; floats.
Value log(const Operand& x);
/// Square root; floats.
Value sqrt(const Operand& x);
/// 1 / sqrt(x); floats.
Value rsqrt(const Operand& x);
/// x to a power that is computed too, as C's pow: NaN where x < 0 and the exponent is no integer, 1
/// where the exponent is 0. Floats.
Value pow(const Operand& x, const Operand& exponent);
/// x to a constant power. Integers up to 64 (negative ones too) multiply, 0.5 is sqrt, anything
/// else is pow of two values.
Value pow(const Operand& x, double exponent);
/// Sine and cosine of x radians; floats.
Value sin(const Operand& x);
Value cos(const Operand& x);
/// 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x; floats.
Value erf(const Operand& x);
/// Hyperbolic tangent; floats.
Value tanh(const Operand& x);
/// 1 / (1 + exp(-x)); floats.
Value sigmoid(const Operand& x);
/// log(1 + e^x), which does not overflow before x does; floats.
Value softplus(const Operand& x);
/// x where x > 0, else 0; NaN stays NaN and the derivative at 0 is 0. Floats.
Value relu(const Operand& x);
/// x * sigmoid(x). Source: Elfwing, Uchibe, Doya 2018 (SiLU).
Value silu(const Operand& x);
/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Source: Hendrycks, Gimpel 2016, tanh form.
Value gelu(const Operand& x);
/// The larger of two, elementwise with broadcasting; NaN if either is. Among equals the gradient
/// goes to `a`.
Value maximum(const Operand& a, const Operand& b);
/// The smaller of two; as maximum.
Value minimum(const Operand& a, const Operand& b);
/// x held between low and high: minimum(maximum(x, low), high). On the bounds x has the gradient.
Value clamp(const Operand& x, const Operand& low, const Operand& high);

/// Elementwise comparisons with broadcasting; operands of one dtype, the result is bool.
Value equal(const Operand& a, const Operand& b);
Value less(const Operand& a, const Operand& b);
Value less_equal(const Operand& a, const Operand& b);
/// b < a and b <= a.
Value greater(const Operand& a, const Operand& b);
Value greater_equal(const Operand& a, const Operand& b);
/// Whether they differ, as NaN does from itself.
Value not_equal(const Operand& a, const Operand& b);
/// Logic on bools, with broadcasting; of numbers, 0 is false and all others are true.
Value logical_not(const Operand& x);
Value logical_and(const Operand& a, const Operand& b);
Value logical_or(const Operand& a, const Operand& b);
Value logical_xor(const Operand& a, const Operand& b);
/// a where the condition (bool) holds, else b; all three broadcast.
Value where(const Operand& condition, const Operand& a, const Operand& b);
/// The name of `where` in the IR.
Value select(const Operand& condition, const Operand& a, const Operand& b);
/// The same values in another dtype; floats truncate towards zero into integers.
Value cast(const Operand& x, DType dtype);

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
  /// A factor for each class, [classes] of the dtype of the logits: rows count with that of their
  /// label, in the mean too, which is divided by the sum of these factors.
  std::optional<Tensor> class_weights{};
  /// The target is 1 - label_smoothing for the label plus label_smoothing / classes for each class.
  /// Source: Szegedy et al. 2016.
  double label_smoothing = 0;
};

/// -log softmax(logits)[label], by default its mean over the rows whose label is not ignore_index.
/// logits: floats [n, classes], Error for the result of softmax; labels: integers [n] from 0 to
/// classes - 1, checked before a step runs where they are an input of it.
Value cross_entropy(const Operand& logits, const Operand& labels);
Value cross_entropy(const Operand& logits, const Operand& labels, CrossEntropyOptions options);

/// Share of rows of logits [n, classes] whose largest element is at the label [n]; f32, no
/// gradient.
Value accuracy(const Operand& logits, const Operand& labels);

/// d loss / d wrt, with the shape of wrt. Differentiable again. Error unless loss is a scalar that
/// depends on wrt through differentiable ops, and for a frozen parameter.
Value grad(const Operand& loss, const Operand& wrt);
std::vector<Value> grad(const Operand& loss, const std::vector<Value>& wrt,
                        const std::source_location& at = std::source_location::current());

}  // namespace sinter
