// Compositions. Two things to mind: both branches of `where` are computed, and a branch that is not
// taken must stay finite, or its derivative, 0 times infinity, would be NaN; and comparisons are
// turned so that NaN takes the branch that keeps it.
#include <numbers>

#include <sinter/activations.h>
#include <sinter/error.h>

#include "frontend/functions/composite.h"
#include "ir/text/text.h"

namespace sinter {

using detail::Composite;

namespace {

// e^x - 1 for x <= 0, which keeps its digits near 0: tanh(x / 2) = (e^x - 1) / (e^x + 1).
Value expm1_of_negative(const Value& x) {
  const Value e = exp(x);
  return where(less(-0.5, x), tanh(0.5 * x) * (e + 1), e - 1);
}

}  // namespace

Value gelu(const Operand& x, GeluForm form) {
  if (form == GeluForm::tanh) return gelu(x);
  Composite c({&x});
  return c.done(0.5 * c[0] * (1 + erf(c[0] * std::numbers::sqrt2 / 2)), "gelu");
}

Value glu(const Operand& x, int64_t axis) {
  Composite c({&x});
  const int64_t axes = c[0].dim(), i = axis < 0 ? axis + axes : axis;
  if (i < 0 || i >= axes || c[0].size(i) < 2 || c[0].size(i) % 2 != 0) {
    throw Error("glu needs an axis with two halves, but got axis {} of {}", axis,
                ir::to_string(c.type(0)))
        .at(c.at())
        .help("make the layer before it twice as wide as what comes after it");
  }
  const std::vector<Value> halves = split(c[0], c[0].size(i) / 2, i);
  return c.done(halves[0] * sigmoid(halves[1]), "glu");
}

Value leaky_relu(const Operand& x, double slope) {
  Composite c({&x});
  return c.done(where(less(0, c[0]), c[0], slope * c[0]), "leaky_relu");
}

Value prelu(const Operand& x, const Operand& slope) {
  Composite c({&x, &slope});
  const ir::Type &in = c.type(0), &of = c.type(1);
  const bool one = of.numel(1) == 1 && of.rank() <= 1;
  if (!one && (of.rank() != 1 || in.rank() < 2 || of.shape[0] != in.shape[1])) {
    throw Error("prelu needs one slope, or one for each element of axis 1, but got {} and {}",
                ir::to_string(in), ir::to_string(of))
        .at(c.at())
        .help("make as many slopes as axis 1 is long, or one");
  }
  Value factor = c[1];
  if (!one) {
    Shape along(static_cast<size_t>(in.rank()) - 1, 1);
    along[0] = of.shape[0].scale;
    factor = reshape(factor, along);
  }
  return c.done(where(less(0, c[0]), c[0], factor * c[0]), "prelu");
}

Value elu(const Operand& x, double alpha) {
  Composite c({&x});
  const Value below = alpha * expm1_of_negative(minimum(c[0], 0));
  return c.done(where(less(0, c[0]), c[0], below), "elu");
}

Value selu(const Operand& x) {
  Composite c({&x});
  return c.done(1.0507009873554805 * elu(c[0], 1.6732632423543772), "selu");
}

Value celu(const Operand& x, double alpha) {
  Composite c({&x});
  const Value below = alpha * expm1_of_negative(minimum(c[0], 0) / alpha);
  return c.done(where(less(0, c[0]), c[0], below), "celu");
}

Value mish(const Operand& x) {
  Composite c({&x});
  return c.done(c[0] * tanh(softplus(c[0])), "mish");
}

Value hardtanh(const Operand& x, double low, double high) {
  Composite c({&x});
  const Value inner = where(less_equal(high, c[0]), high, c[0]);
  return c.done(where(less_equal(c[0], low), low, inner), "hardtanh");
}

Value relu6(const Operand& x) {
  Composite c({&x});
  return c.done(hardtanh(c[0], 0, 6), "relu6");
}

Value hardsigmoid(const Operand& x) {
  Composite c({&x});
  return c.done(relu6(c[0] + 3) / 6, "hardsigmoid");
}

Value hardswish(const Operand& x) {
  Composite c({&x});
  return c.done(c[0] * relu6(c[0] + 3) / 6, "hardswish");
}

Value softsign(const Operand& x) {
  Composite c({&x});
  const Value size = abs(c[0]), r = 1 / (1 + size);
  // x r has the derivative r - abs(x) r^2, which cancels where abs(x) is large; 1 - r is the same
  // there and has the derivative r^2.
  const Value far = where(less(c[0], 0), r - 1, 1 - r);
  return c.done(where(less(1, size), far, c[0] * r), "softsign");
}

Value tanhshrink(const Operand& x) {
  Composite c({&x});
  return c.done(c[0] - tanh(c[0]), "tanhshrink");
}

Value softshrink(const Operand& x, double lambda) {
  Composite c({&x});
  // 0 x rather than 0, for NaN.
  const Value inner = where(less(c[0], -lambda), c[0] + lambda, 0 * c[0]);
  return c.done(where(less(lambda, c[0]), c[0] - lambda, inner), "softshrink");
}

Value hardshrink(const Operand& x, double lambda) {
  Composite c({&x});
  return c.done(where(less_equal(abs(c[0]), lambda), 0, c[0]), "hardshrink");
}

Value softplus(const Operand& x, double beta) {
  Composite c({&x});
  return c.done(softplus(beta * c[0]) / beta, "softplus");
}

Value logsigmoid(const Operand& x) {
  Composite c({&x});
  return c.done(-softplus(-c[0]), "logsigmoid");
}

}  // namespace sinter
