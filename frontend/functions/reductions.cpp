// Reductions. min, argmin, var and stddev are made of others; several axes of a maximum are one
// line.
#include <sinter/error.h>
#include <sinter/functions.h>

#include "frontend/functions/function_parts.h"
#include "frontend/recording.h"
#include "ir/op.h"
#include "ir/ops/family.h"

namespace sinter {

using detail::all_axes;
using detail::axes_of;
using detail::axis_of;
using detail::Recorder;
using detail::static_axis_of;
using ir::Expr;
using ir::OpKind;

namespace {

using List = std::vector<int64_t>;

// All axes, or those given.
List axes_or_all(Recorder& r, Expr x, const Axes* axes) {
  return axes ? axes_of(r, x, *axes) : all_axes(x);
}

Expr fold(OpKind kind, Expr x, const List& axes, bool keepdims) {
  return x.builder().apply(kind, {x}, {{"axes", axes}, {"keepdims", keepdims}});
}

Value folded(OpKind kind, const Operand& x, const Axes* axes, bool keepdims) {
  Recorder r({&x});
  const Expr v = r[0];
  return r.done(fold(kind, v, axes_or_all(r, v, axes), keepdims));
}

// Largest of several axes: of the line that they make.
Expr largest(Recorder& r, Expr x, const List& axes, bool keepdims) {
  if (axes.size() == 1) return max(x, axes[0], keepdims);
  const Expr line = detail::located(r.loc(), [&] { return ir::as_line(x, axes); });
  return reshape(max(line, line.type().rank() - 1, false),
                 ir::reduced(x.type(), axes, keepdims).shape);
}

// The order reversed, without overflow: -x for floats, -1 - x for integers.
Expr reversed(Expr x) { return is_float(x.type().dtype) ? -x : -1.0 - x; }

Value extreme(const Operand& x, const Axes* axes, bool keepdims, bool smallest) {
  Recorder r({&x});
  const Expr v = r[0];
  const List over = axes_or_all(r, v, axes);
  return r.done(smallest ? reversed(largest(r, reversed(v), over, keepdims))
                         : largest(r, v, over, keepdims));
}

Value arg_extreme(const Operand& x, const int64_t* axis, bool keepdims, bool smallest) {
  Recorder r({&x});
  Expr v = r[0];
  int64_t along = 0;
  if (axis) {
    along = axis_of(r, v, *axis);
  } else {
    v = detail::located(r.loc(), [&] { return ir::as_line(v, all_axes(v)); });
  }
  if (smallest) v = reversed(v);
  return r.done(r.builder().apply(OpKind::argmax, {v}, {{"axis", along}, {"keepdims", keepdims}}));
}

Expr variance(Expr x, const List& axes, const VarOptions& options) {
  ir::Builder& b = x.builder();
  const ir::Type type = x.type();
  ir::Shape counted;
  for (int64_t axis : axes) counted.push_back(type.shape[static_cast<size_t>(axis)]);
  const Expr distance = x - fold(OpKind::mean, x, axes, true);
  const Expr total = fold(OpKind::sum, distance * distance, axes, options.keepdims);
  const Expr count = b.extent(counted, type.dtype);
  return total /
         (options.correction == 0 ? count : count - static_cast<double>(options.correction));
}

}  // namespace

Value sum(const Operand& x) { return folded(OpKind::sum, x, nullptr, false); }
Value sum(const Operand& x, const Axes& axes, bool keepdims) {
  return folded(OpKind::sum, x, &axes, keepdims);
}
Value mean(const Operand& x) { return folded(OpKind::mean, x, nullptr, false); }
Value mean(const Operand& x, const Axes& axes, bool keepdims) {
  return folded(OpKind::mean, x, &axes, keepdims);
}
Value prod(const Operand& x) { return folded(OpKind::prod, x, nullptr, false); }
Value prod(const Operand& x, const Axes& axes, bool keepdims) {
  return folded(OpKind::prod, x, &axes, keepdims);
}
Value logsumexp(const Operand& x) { return folded(OpKind::logsumexp, x, nullptr, false); }
Value logsumexp(const Operand& x, const Axes& axes, bool keepdims) {
  return folded(OpKind::logsumexp, x, &axes, keepdims);
}

Value max(const Operand& x) { return extreme(x, nullptr, false, false); }
Value max(const Operand& x, const Axes& axes, bool keepdims) {
  return extreme(x, &axes, keepdims, false);
}
Value min(const Operand& x) { return extreme(x, nullptr, false, true); }
Value min(const Operand& x, const Axes& axes, bool keepdims) {
  return extreme(x, &axes, keepdims, true);
}

Value argmax(const Operand& x) { return arg_extreme(x, nullptr, false, false); }
Value argmax(const Operand& x, int64_t axis, bool keepdims) {
  return arg_extreme(x, &axis, keepdims, false);
}
Value argmin(const Operand& x) { return arg_extreme(x, nullptr, false, true); }
Value argmin(const Operand& x, int64_t axis, bool keepdims) {
  return arg_extreme(x, &axis, keepdims, true);
}

Value var(const Operand& x) {
  Recorder r({&x});
  const Expr v = r[0];
  return r.done(variance(v, all_axes(v), {}));
}
Value var(const Operand& x, const Axes& axes, VarOptions options) {
  Recorder r({&x});
  const Expr v = r[0];
  return r.done(variance(v, axes_of(r, v, axes), options));
}
Value stddev(const Operand& x) {
  Recorder r({&x});
  const Expr v = r[0];
  return r.done(sqrt(variance(v, all_axes(v), {})));
}
Value stddev(const Operand& x, const Axes& axes, VarOptions options) {
  Recorder r({&x});
  const Expr v = r[0];
  return r.done(sqrt(variance(v, axes_of(r, v, axes), options)));
}

Value cumsum(const Operand& x, int64_t axis) {
  Recorder r({&x});
  const Expr v = r[0];
  const int64_t along = static_axis_of(r, v, axis, "cumsum");
  return r.done(r.builder().apply(OpKind::cumsum, {v}, {{"axis", along}}));
}

}  // namespace sinter
