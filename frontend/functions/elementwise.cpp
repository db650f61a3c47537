// Functions that work element by element. An op stands behind those whose derivative or digits a
// composition would lose; the others are compositions, which fuse and differentiate as well.
#include <cmath>

#include <sinter/functions.h>

#include "frontend/recording.h"
#include "ir/op.h"

namespace sinter {

using detail::Recorder;
using ir::Expr;
using ir::OpKind;

namespace {

Value unary(OpKind kind, const Operand& x, std::string_view suffix = {}) {
  Recorder r({&x});
  return r.done(r.builder().apply(kind, {r[0]}), suffix);
}

Value binary(OpKind kind, const Operand& a, const Operand& b) {
  Recorder r({&a, &b});
  const Expr left = r[0], right = r[1];
  return r.done(r.builder().apply(kind, {left, right}));
}

// b where it is larger (or smaller) than a or where it is NaN, and a where that is NaN.
Expr extreme(Expr a, Expr b, bool largest) {
  const Expr keep = largest ? less_equal(b, a) : less_equal(a, b);
  return select(keep, a, select(equal(a, a), b, a));
}

// x^exponent by squaring; exponent >= 1.
Expr whole_power(Expr x, int64_t exponent) {
  Expr result = x;
  int64_t top = 1;
  while (top * 2 <= exponent) top *= 2;
  for (int64_t bit = top / 2; bit > 0; bit /= 2) {
    result = result * result;
    if (exponent & bit) result = result * x;
  }
  return result;
}

// The logic of bools is their order, false < true: not a = (a == false), a and b = (not a < b),
// a or b = (not a <= b).
Expr truth(Expr x) { return cast(x, DType::boolean); }
Expr negation(Expr x) { return equal(truth(x), x.builder().scalar(0, DType::boolean)); }

}  // namespace

Value operator+(const Operand& a, const Operand& b) { return binary(OpKind::add, a, b); }
Value operator-(const Operand& a, const Operand& b) { return binary(OpKind::sub, a, b); }
Value operator*(const Operand& a, const Operand& b) { return binary(OpKind::mul, a, b); }
Value operator/(const Operand& a, const Operand& b) { return binary(OpKind::div, a, b); }
Value operator-(const Operand& x) { return unary(OpKind::neg, x); }

Value abs(const Operand& x) { return unary(OpKind::abs, x); }
Value sign(const Operand& x) { return unary(OpKind::sign, x); }
Value floor(const Operand& x) { return unary(OpKind::floor, x); }
Value round(const Operand& x) { return unary(OpKind::round, x); }

Value ceil(const Operand& x) {
  Recorder r({&x});
  return r.done(-floor(-r[0]));
}

Value exp(const Operand& x) { return unary(OpKind::exp, x); }
Value log(const Operand& x) { return unary(OpKind::log, x); }
Value sqrt(const Operand& x) { return unary(OpKind::sqrt, x); }
Value sin(const Operand& x) { return unary(OpKind::sin, x); }
Value cos(const Operand& x) { return unary(OpKind::cos, x); }
Value erf(const Operand& x) { return unary(OpKind::erf, x); }
Value tanh(const Operand& x) { return unary(OpKind::tanh, x, "tanh"); }
Value sigmoid(const Operand& x) { return unary(OpKind::sigmoid, x, "sigmoid"); }
Value softplus(const Operand& x) { return unary(OpKind::softplus, x, "softplus"); }
Value relu(const Operand& x) { return unary(OpKind::relu, x, "relu"); }

Value rsqrt(const Operand& x) {
  Recorder r({&x});
  return r.done(1.0 / sqrt(r[0]));
}

Value pow(const Operand& x, const Operand& exponent) { return binary(OpKind::pow, x, exponent); }

Value pow(const Operand& x, double exponent) {
  Recorder r({&x});
  const Expr v = r[0];
  const double size = std::abs(exponent);
  if (size == 0) return r.done(r.builder().constant(1, v.type()));
  if (size == std::floor(size) && size <= 64) {
    const Expr whole = whole_power(v, static_cast<int64_t>(size));
    return r.done(exponent < 0 ? 1.0 / whole : whole);
  }
  if (size == 0.5) {
    const Expr root = sqrt(v);
    return r.done(exponent < 0 ? 1.0 / root : root);
  }
  return r.done(pow(v, r.builder().scalar(exponent, v.type().dtype)));
}

Value maximum(const Operand& a, const Operand& b) {
  Recorder r({&a, &b});
  const Expr x = r[0], y = r[1];
  return r.done(extreme(x, y, true));
}

Value minimum(const Operand& a, const Operand& b) {
  Recorder r({&a, &b});
  const Expr x = r[0], y = r[1];
  return r.done(extreme(x, y, false));
}

Value clamp(const Operand& x, const Operand& low, const Operand& high) {
  Recorder r({&x, &low, &high});
  const Expr v = r[0], least = r[1], most = r[2];
  return r.done(extreme(extreme(v, least, true), most, false));
}

Value equal(const Operand& a, const Operand& b) { return binary(OpKind::equal, a, b); }
Value less(const Operand& a, const Operand& b) { return binary(OpKind::less, a, b); }
Value less_equal(const Operand& a, const Operand& b) { return binary(OpKind::less_equal, a, b); }
Value greater(const Operand& a, const Operand& b) { return less(b, a); }
Value greater_equal(const Operand& a, const Operand& b) { return less_equal(b, a); }

Value not_equal(const Operand& a, const Operand& b) {
  Recorder r({&a, &b});
  const Expr x = r[0], y = r[1];
  return r.done(negation(equal(x, y)));
}

Value logical_not(const Operand& x) {
  Recorder r({&x});
  return r.done(negation(r[0]));
}

Value logical_and(const Operand& a, const Operand& b) {
  Recorder r({&a, &b});
  const Expr x = r[0], y = r[1];
  return r.done(less(negation(x), truth(y)));
}

Value logical_or(const Operand& a, const Operand& b) {
  Recorder r({&a, &b});
  const Expr x = r[0], y = r[1];
  return r.done(less_equal(negation(x), truth(y)));
}

Value logical_xor(const Operand& a, const Operand& b) {
  Recorder r({&a, &b});
  const Expr x = r[0], y = r[1];
  return r.done(negation(equal(truth(x), truth(y))));
}

Value where(const Operand& condition, const Operand& a, const Operand& b) {
  Recorder r({&condition, &a, &b});
  const Expr c = r[0], x = r[1], y = r[2];
  return r.done(select(c, x, y));
}

Value select(const Operand& condition, const Operand& a, const Operand& b) {
  return where(condition, a, b);
}

Value cast(const Operand& x, DType dtype) {
  Recorder r({&x});
  return r.done(cast(r[0], dtype));
}

}  // namespace sinter
