// Every function records ops through one Recorder, so that all of them carry the caller's line.
#include <algorithm>
#include <cmath>

#include <sinter/error.h>
#include <sinter/functions.h>

#include "frontend/recording.h"
#include "ir/op.h"
#include "ir/ops/family.h"

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

int64_t axis_of(Recorder& r, Expr x, int64_t axis) {
  return detail::located(r.loc(), [&] { return ir::checked_axis(axis, x.type()); });
}

std::vector<int64_t> axes_of(Recorder& r, Expr x, const Axes& axes) {
  std::vector<int64_t> out;
  for (int64_t axis : axes.list()) out.push_back(axis_of(r, x, axis));
  std::sort(out.begin(), out.end());
  if (std::adjacent_find(out.begin(), out.end()) != out.end()) {
    throw Error("an axis of {} is named twice", ir::to_string(x.type()))
        .at(r.loc().source())
        .help("name each axis once");
  }
  return out;
}

std::vector<int64_t> all_axes(Expr x) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < x.type().rank(); ++i) out.push_back(i);
  return out;
}

Value fold(OpKind kind, Recorder& r, const std::vector<int64_t>& axes, bool keepdims) {
  return r.done(r.builder().apply(kind, {r[0]}, {{"axes", axes}, {"keepdims", keepdims}}));
}

// `shape` with -1 worked out so that the number of elements fits `x` for every n.
ir::Shape shape_for(Recorder& r, Expr x, const Shape& shape) {
  const ir::Type& type = x.type();
  const auto refuse = [&](const std::string& why) {
    throw Error("cannot reshape {} to {}", ir::to_string(type), shape_to_string(shape))
        .at(r.loc().source())
        .help(why);
  };
  int64_t have = 1, want = 1;
  int batches = 0;
  for (const ir::Dim& d : type.shape) {
    have *= d.scale;
    batches += d.batch ? 1 : 0;
  }
  for (int64_t size : shape) {
    if (size == 0 || size < -1)
      refuse("sizes are positive, or -1 for one that follows from the rest");
    if (size > 0) want *= size;
  }
  const auto open = std::count(shape.begin(), shape.end(), -1);
  if (open > 1) refuse("at most one size may be -1");
  if (batches > 1) refuse("a tensor with the batch on two axes keeps its shape");
  if (batches == 1 && open == 0) refuse("write -1 for the axis that follows the batch");
  if (have % want != 0 || (open == 0 && have != want)) {
    refuse("both shapes must have the same number of elements");
  }
  ir::Shape out;
  for (int64_t size : shape) {
    out.push_back(size > 0 ? ir::Dim{size} : ir::Dim{have / want, batches == 1});
  }
  return out;
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

// Notes that an integer argument of the function must hold row numbers, to be checked before it
// runs; what is computed from other values is left to the compiled code.
void check_rows(Recorder& r, Expr indices, ir::Dim rows, std::optional<int64_t> ignore) {
  const ir::ValueInfo& info = r.builder().func()[indices.id()];
  if (rows.batch || info.def != ir::ValueDef::argument) return;
  r.recording().checks.push_back(
      {static_cast<size_t>(info.index), rows.scale, ignore, r.loc().source()});
}

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

Value reshape(const Operand& x, Shape shape) {
  Recorder r({&x});
  return r.done(reshape(r[0], shape_for(r, r[0], shape)));
}

Value permute(const Operand& x, std::vector<int64_t> permutation) {
  Recorder r({&x});
  const Expr v = r[0];
  for (int64_t& axis : permutation) axis = axis_of(r, v, axis);
  return r.done(transpose(v, std::move(permutation)));
}

Value transpose(const Operand& x, int64_t a, int64_t b) {
  Recorder r({&x});
  const Expr v = r[0];
  std::vector<int64_t> order = all_axes(v);
  std::swap(order[static_cast<size_t>(axis_of(r, v, a))],
            order[static_cast<size_t>(axis_of(r, v, b))]);
  return r.done(transpose(v, std::move(order)));
}

Value t(const Operand& x) {
  Recorder r({&x});
  const Expr v = r[0];
  if (v.type().rank() != 2) {
    throw Error("t needs a matrix but got {}", ir::to_string(v.type()))
        .at(r.loc().source())
        .help("name the two axes, as in transpose(x, 1, 2)");
  }
  return r.done(transpose(v, {1, 0}));
}

Value broadcast_to(const Operand& x, Shape shape) {
  Recorder r({&x});
  const Expr v = r[0];
  const ir::Shape& from = v.type().shape;
  ir::Shape to;
  for (size_t i = 0; i < shape.size(); ++i) {
    const size_t behind = shape.size() - i;
    if (shape[i] == -1 && behind <= from.size()) {
      to.push_back(from[from.size() - behind]);
    } else {
      to.emplace_back(shape[i]);
    }
  }
  return r.done(broadcast(v, std::move(to)));
}

Value unsqueeze(const Operand& x, int64_t axis) {
  Recorder r({&x});
  const Expr v = r[0];
  ir::Shape shape = v.type().shape;
  const auto rank = static_cast<int64_t>(shape.size());
  const int64_t at = axis < 0 ? axis + rank + 1 : axis;
  if (at < 0 || at > rank) {
    throw Error("cannot put a new axis at {} of {}", axis, ir::to_string(v.type()))
        .at(r.loc().source())
        .help("use an axis from 0 to {}, or -1 for the end", rank);
  }
  shape.insert(shape.begin() + at, ir::Dim{1});
  return r.done(reshape(v, std::move(shape)));
}

Value squeeze(const Operand& x, int64_t axis) {
  Recorder r({&x});
  const Expr v = r[0];
  const int64_t at = axis_of(r, v, axis);
  ir::Shape shape = v.type().shape;
  if (!shape[static_cast<size_t>(at)].is_one()) {
    throw Error("axis {} of {} cannot be squeezed: its size is not 1", axis,
                ir::to_string(v.type()))
        .at(r.loc().source())
        .help("reduce the axis instead, as in sum(x, {})", at);
  }
  shape.erase(shape.begin() + at);
  return r.done(reshape(v, std::move(shape)));
}

Value sum(const Operand& x) {
  Recorder r({&x});
  return fold(OpKind::sum, r, all_axes(r[0]), false);
}
Value sum(const Operand& x, const Axes& axes, bool keepdims) {
  Recorder r({&x});
  return fold(OpKind::sum, r, axes_of(r, r[0], axes), keepdims);
}
Value mean(const Operand& x) {
  Recorder r({&x});
  return fold(OpKind::mean, r, all_axes(r[0]), false);
}
Value mean(const Operand& x, const Axes& axes, bool keepdims) {
  Recorder r({&x});
  return fold(OpKind::mean, r, axes_of(r, r[0], axes), keepdims);
}

Value max(const Operand& x) {
  Recorder r({&x});
  const Expr v = r[0];
  return r.done(max(reshape(v, shape_for(r, v, {-1})), 0, false));
}
Value max(const Operand& x, int64_t axis, bool keepdims) {
  Recorder r({&x});
  return r.done(max(r[0], axis_of(r, r[0], axis), keepdims));
}

Value argmax(const Operand& x, int64_t axis, bool keepdims) {
  Recorder r({&x});
  const int64_t at = axis_of(r, r[0], axis);
  return r.done(r.builder().apply(OpKind::argmax, {r[0]}, {{"axis", at}, {"keepdims", keepdims}}));
}

Value matmul(const Operand& a, const Operand& b) {
  Recorder r({&a, &b});
  const Expr x = r[0], y = r[1];
  const int64_t p = x.type().rank(), q = y.type().rank();
  if (p == 3 && q == 3) {
    using List = std::vector<int64_t>;
    return r.done(r.builder().apply(
        OpKind::contraction, {x, y},
        {{"a", List{2}}, {"b", List{1}}, {"a_batch", List{0}}, {"b_batch", List{0}}}));
  }
  if (p < 2 || q != 2) {
    throw Error("matmul cannot multiply {} and {}", ir::to_string(x.type()),
                ir::to_string(y.type()))
        .at(r.loc().source())
        .help(
            "give a vector an axis, as in x.unsqueeze(0) for a row or x.unsqueeze(1) for a column");
  }
  return r.done(contraction(x, y, {p - 1}, {0}));
}

Value linear(const Operand& x, const Operand& weight, const Operand& bias) {
  Recorder r({&x, &weight, &bias});
  const Expr v = r[0], w = r[1], b = r[2];
  return r.done(r.builder().apply(OpKind::linear, {v, w, b}));
}

Value linear(const Operand& x, const Operand& weight) {
  Recorder r({&x, &weight});
  const Expr v = r[0], w = r[1];
  const ir::Type &from = v.type(), &to = w.type();
  // The checks of the op with a bias, and their messages.
  detail::located(r.loc(), [&] {
    const ir::Type bias{to.dtype, {to.rank() > 0 ? to.shape[0] : ir::Dim{1}}};
    return ir::infer_type(OpKind::linear, std::vector<ir::Type>{from, to, bias}, {}, std::nullopt);
  });
  return r.done(contraction(v, w, {from.rank() - 1}, {1}));
}

Value gather(const Operand& table, const Operand& indices) {
  Recorder r({&table, &indices});
  const Expr rows = r[0], at = r[1];
  const Value out = r.done(r.builder().apply(OpKind::gather, {rows, at}));
  check_rows(r, at, rows.type().shape[0], std::nullopt);
  return out;
}

Value scatter_add(const Operand& base, const Operand& indices, const Operand& updates) {
  Recorder r({&base, &indices, &updates});
  const Expr to = r[0], at = r[1], rows = r[2];
  const ir::Type type = to.type();
  const Expr added = r.builder().apply(OpKind::scatter_add, {rows, at}, {}, type);
  check_rows(r, at, type.shape[0], std::nullopt);
  return r.done(to + added);
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
  Recorder r({&logits, &labels});
  const Expr x = r[0], y = r[1];
  for (const ir::Op& op : r.builder().func().body) {
    if (op.result != x.id() || op.kind != OpKind::softmax) continue;
    throw Error("cross_entropy takes logits but receives the result of softmax")
        .at(r.loc().source())
        .note("it computes log(softmax(logits)) itself; on probabilities it would learn slowly")
        .help("leave softmax out of forward(), and apply it to what predict() gives");
  }
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
