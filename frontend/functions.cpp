// Every function records ops through one Recorder, so that all of them carry the caller's line.
#include <algorithm>
#include <cmath>

#include <sinter/error.h>
#include <sinter/functions.h>

#include "frontend/function_parts.h"
#include "frontend/losses.h"
#include "frontend/recording.h"
#include "ir/op.h"
#include "ir/ops/family.h"

namespace sinter {

using detail::axis_of;
using detail::check_rows;
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

std::string_view name_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::mean:
      return "mean";
    case Reduction::sum:
      return "sum";
    case Reduction::none:
      return "none";
  }
  return "?";
}

// |x| as two ramps, whose derivatives at 0 are both 0.
Expr ramp(Expr x) { return x.builder().apply(OpKind::relu, {x}); }

// b where it is larger (or smaller) than a or where it is NaN, and a where that is NaN.
Value extreme(const Operand& a, const Operand& b, bool largest) {
  Recorder r({&a, &b});
  const Expr x = r[0], y = r[1];
  const Expr keep = largest ? less_equal(y, x) : less_equal(x, y);
  return r.done(select(keep, x, select(equal(x, x), y, x)));
}

Expr power(Expr x, int64_t exponent) {
  Expr result = x;
  int64_t top = 1;
  while (top * 2 <= exponent) top *= 2;
  for (int64_t bit = top / 2; bit > 0; bit /= 2) {
    result = result * result;
    if (exponent & bit) result = result * x;
  }
  return result;
}

}  // namespace

Value operator+(const Operand& a, const Operand& b) { return binary(OpKind::add, a, b); }
Value operator-(const Operand& a, const Operand& b) { return binary(OpKind::sub, a, b); }
Value operator*(const Operand& a, const Operand& b) { return binary(OpKind::mul, a, b); }
Value operator/(const Operand& a, const Operand& b) { return binary(OpKind::div, a, b); }
Value operator-(const Operand& x) { return unary(OpKind::neg, x); }

Value exp(const Operand& x) { return unary(OpKind::exp, x); }
Value log(const Operand& x) { return unary(OpKind::log, x); }
Value sqrt(const Operand& x) { return unary(OpKind::sqrt, x); }
Value tanh(const Operand& x) { return unary(OpKind::tanh, x, "tanh"); }
Value sigmoid(const Operand& x) { return unary(OpKind::sigmoid, x, "sigmoid"); }
Value relu(const Operand& x) { return unary(OpKind::relu, x, "relu"); }

Value silu(const Operand& x) {
  Recorder r({&x});
  const Expr v = r[0];
  return r.done(v * r.builder().apply(OpKind::sigmoid, {v}), "silu");
}

Value gelu(const Operand& x) {
  Recorder r({&x});
  const Expr v = r[0];
  const Expr inner = std::sqrt(2 / std::acos(-1.0)) * (v + 0.044715 * (v * v * v));
  return r.done(0.5 * v * (1.0 + r.builder().apply(OpKind::tanh, {inner})), "gelu");
}

Value softplus(const Operand& x) {
  Recorder r({&x});
  const Expr v = r[0];
  const DType dtype = v.type().dtype;
  const Expr zero = r.builder().scalar(0, dtype), one = r.builder().scalar(1, dtype);
  const Expr negative = less(v, zero);
  const Expr e = exp(select(negative, v, -v));
  // log(1 + e) to full precision: the rounding of u = 1 + e cancels (Higham 2002, section 1.14.1).
  const Expr u = e + one;
  const Expr flat = equal(u, one);
  const Expr rest = select(flat, e, log(u) * (e / select(flat, one, u - one)));
  return r.done(select(negative, zero, v) + rest, "softplus");
}

Value abs(const Operand& x) {
  Recorder r({&x});
  const Expr v = r[0];
  return r.done(ramp(v) + ramp(-v));
}

Value maximum(const Operand& a, const Operand& b) { return extreme(a, b, true); }
Value minimum(const Operand& a, const Operand& b) { return extreme(a, b, false); }

Value pow(const Operand& x, double exponent) {
  Recorder r({&x});
  const Expr v = r[0];
  const double size = std::abs(exponent);
  if (size == 0) return r.done(r.builder().constant(1, v.type()));
  if (size == std::floor(size) && size <= 64) {
    const Expr whole = power(v, static_cast<int64_t>(size));
    return r.done(exponent < 0 ? 1.0 / whole : whole);
  }
  if (size == 0.5) {
    const Expr root = sqrt(v);
    return r.done(exponent < 0 ? 1.0 / root : root);
  }
  return r.done(exp(exponent * log(v)));
}

Value equal(const Operand& a, const Operand& b) { return binary(OpKind::equal, a, b); }
Value less(const Operand& a, const Operand& b) { return binary(OpKind::less, a, b); }
Value less_equal(const Operand& a, const Operand& b) { return binary(OpKind::less_equal, a, b); }
Value greater(const Operand& a, const Operand& b) { return less(b, a); }
Value greater_equal(const Operand& a, const Operand& b) { return less_equal(b, a); }

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

Value softmax(const Operand& x, int64_t axis) {
  Recorder r({&x});
  const int64_t at = axis_of(r, r[0], axis);
  return r.done(r.builder().apply(OpKind::softmax, {r[0]}, {{"axis", at}}), "softmax");
}

Value log_softmax(const Operand& x, int64_t axis) {
  Recorder r({&x});
  const int64_t at = axis_of(r, r[0], axis);
  return r.done(r.builder().apply(OpKind::log_softmax, {r[0]}, {{"axis", at}}), "log_softmax");
}

Value mse_loss(const Operand& prediction, const Operand& target) {
  return mse_loss(prediction, target, LossOptions{});
}

Value mse_loss(const Operand& prediction, const Operand& target, LossOptions options) {
  Recorder r({&prediction, &target});
  const Expr p = r[0], y = r[1];
  return r.done(r.builder().apply(OpKind::mse_loss, {p, y},
                                  {{"reduction", std::string(name_of(options.reduction))}}));
}

Value cross_entropy(const Operand& logits, const Operand& labels) {
  return cross_entropy(logits, labels, CrossEntropyOptions{});
}

Value cross_entropy(const Operand& logits, const Operand& labels, CrossEntropyOptions options) {
  if (options.class_weights || options.label_smoothing != 0) {
    return detail::smoothed_cross_entropy(logits, labels, options);
  }
  Recorder r({&logits, &labels});
  const Expr x = r[0], y = r[1];
  const Value out =
      r.done(r.builder().apply(OpKind::cross_entropy, {x, y},
                               {{"reduction", std::string(name_of(options.reduction))},
                                {"ignore_index", options.ignore_index}}));
  check_rows(r, y, x.type().shape[1], options.ignore_index);
  return out;
}

Value accuracy(const Operand& logits, const Operand& labels) {
  Recorder r({&logits, &labels});
  const Expr x = r[0], y = r[1];
  if (x.type().rank() != 2 || y.type().rank() != 1 || !is_int(y.type().dtype) ||
      y.type().shape[0] != x.type().shape[0]) {
    throw Error("accuracy needs logits [n, classes] and integer labels [n] but got {} and {}",
                ir::to_string(x.type()), ir::to_string(y.type()))
        .at(r.loc().source())
        .help("pass one class number a row, as argmax(y, 1) makes them of one-hot rows");
  }
  const Expr hit = equal(argmax(x, 1), cast(y, DType::i64));
  return r.done(r.builder().apply(OpKind::mean, {cast(hit, DType::f32)},
                                  {{"axes", std::vector<int64_t>{0}}}));
}

Value grad(const Operand& loss, const Operand& wrt) {
  Recorder r({&loss, &wrt});
  const Expr of = r[0], at = r[1];
  return r.done(r.builder().apply(OpKind::gradient, {of, at}));
}

std::vector<Value> grad(const Operand& loss, const std::vector<Value>& wrt,
                        const std::source_location& at) {
  std::vector<Value> out;
  for (const Value& w : wrt) out.push_back(grad(loss, Operand(w, at)));
  return out;
}

}  // namespace sinter
