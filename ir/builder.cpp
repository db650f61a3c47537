#include "ir/builder.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "ir/op.h"

namespace sinter::ir {

ValueId Builder::create(OpKind kind, std::vector<ValueId> operands, Attrs attrs,
                        std::optional<Type> declared, std::string_view name) {
  attrs = complete_attrs(kind, attrs);
  std::vector<Type> types;
  for (ValueId v : operands) types.push_back(func_->type(v));
  Type type;
  try {
    type = infer_type(kind, types, attrs, declared);
  } catch (Error& e) {
    for (size_t i = 0; i < operands.size(); ++i) {
      const ValueInfo& info = (*func_)[operands[i]];
      std::string label = info.name.empty() ? fmt::format("operand {}", i) : info.name;
      if (info.def == ValueDef::global) {
        label = module_->globals[static_cast<size_t>(info.index)].name;
      }
      e.note(fmt::format("{} : {}", label, to_string(info.type)));
    }
    if (loc_.known()) e.at(loc_.source());
    throw;
  }
  Op op{.kind = kind, .operands = std::move(operands), .attrs = std::move(attrs), .loc = loc_};
  if (!def(kind).is(Trait::effect)) {
    std::string wanted(name.empty() ? std::string_view(hint_) : name);
    if (!wanted.empty()) wanted = func_->unique_name(wanted);
    op.result = func_->add_value(std::move(type), std::move(wanted), ValueDef::op);
  }
  const ValueId result = op.result;
  ops_->push_back(std::move(op));
  return result;
}

Expr Builder::apply(OpKind kind, const std::vector<Expr>& operands, Attrs attrs,
                    std::optional<Type> declared) {
  std::vector<ValueId> ids;
  for (const Expr& e : operands) ids.push_back(e.id());
  return {*this, create(kind, std::move(ids), std::move(attrs), std::move(declared))};
}

Expr Builder::constant(double value, Type type) {
  return apply(OpKind::constant, {}, {{"value", value}}, std::move(type));
}

Expr Builder::scalar(double value, DType dtype) { return constant(value, {dtype, {}}); }

Expr Builder::extent(const Shape& shape, DType dtype) {
  return apply(OpKind::extent, {}, {{"of", shape}}, Type{dtype, {}});
}

Expr Builder::iota(int axis, Type type) {
  return apply(OpKind::iota, {}, {{"axis", int64_t{axis}}}, std::move(type));
}

Expr Builder::global(int index) { return {*this, module_->global_value(*func_, index)}; }

namespace {
Expr binary(OpKind kind, Expr a, Expr b) { return a.builder().apply(kind, {a, b}); }
Expr like(double value, Expr x) { return x.builder().scalar(value, x.type().dtype); }
}  // namespace

Expr operator+(Expr a, Expr b) { return binary(OpKind::add, a, b); }
Expr operator-(Expr a, Expr b) { return binary(OpKind::sub, a, b); }
Expr operator*(Expr a, Expr b) { return binary(OpKind::mul, a, b); }
Expr operator/(Expr a, Expr b) { return binary(OpKind::div, a, b); }
Expr operator-(Expr a) { return a.builder().apply(OpKind::neg, {a}); }
Expr operator+(Expr a, double b) { return a + like(b, a); }
Expr operator-(Expr a, double b) { return a - like(b, a); }
Expr operator*(Expr a, double b) { return a * like(b, a); }
Expr operator/(Expr a, double b) { return a / like(b, a); }
Expr operator+(double a, Expr b) { return like(a, b) + b; }
Expr operator-(double a, Expr b) { return like(a, b) - b; }
Expr operator*(double a, Expr b) { return like(a, b) * b; }
Expr operator/(double a, Expr b) { return like(a, b) / b; }

Expr exp(Expr x) { return x.builder().apply(OpKind::exp, {x}); }
Expr log(Expr x) { return x.builder().apply(OpKind::log, {x}); }
Expr sqrt(Expr x) { return x.builder().apply(OpKind::sqrt, {x}); }
Expr pow(Expr a, Expr b) { return binary(OpKind::pow, a, b); }
Expr sin(Expr x) { return x.builder().apply(OpKind::sin, {x}); }
Expr cos(Expr x) { return x.builder().apply(OpKind::cos, {x}); }
Expr floor(Expr x) { return x.builder().apply(OpKind::floor, {x}); }
Expr equal(Expr a, Expr b) { return binary(OpKind::equal, a, b); }
Expr less(Expr a, Expr b) { return binary(OpKind::less, a, b); }
Expr less_equal(Expr a, Expr b) { return binary(OpKind::less_equal, a, b); }

Expr select(Expr condition, Expr a, Expr b) {
  return a.builder().apply(OpKind::select, {condition, a, b});
}

Expr cast(Expr x, DType dtype) {
  if (x.type().dtype == dtype) return x;
  return x.builder().apply(OpKind::cast, {x}, {}, x.type().with(dtype));
}

Expr reshape(Expr x, Shape shape) {
  if (x.type().shape == shape) return x;
  const DType dtype = x.type().dtype;
  return x.builder().apply(OpKind::reshape, {x}, {}, Type{dtype, std::move(shape)});
}

Expr transpose(Expr x, std::vector<int64_t> permutation) {
  std::vector<int64_t> same(permutation.size());
  std::iota(same.begin(), same.end(), 0);
  if (permutation == same) return x;
  return x.builder().apply(OpKind::transpose, {x}, {{"permutation", std::move(permutation)}});
}

Expr broadcast(Expr x, Shape shape) {
  if (x.type().shape == shape) return x;
  const DType dtype = x.type().dtype;
  return x.builder().apply(OpKind::broadcast, {x}, {}, Type{dtype, std::move(shape)});
}

Expr slice(Expr x, int64_t axis, const Span& span) {
  Type type = x.type();
  const Dim whole = std::exchange(type.shape[static_cast<size_t>(axis)], Dim{span.size});
  if (whole == Dim{span.size} && span.start == 0 && span.step == 1) return x;
  return x.builder().apply(OpKind::slice, {x},
                           {{"axis", axis}, {"start", span.start}, {"step", span.step}},
                           std::move(type));
}

Expr pad(Expr x, int64_t axis, const Span& span, double value) {
  Type type = x.type();
  const Dim whole = std::exchange(type.shape[static_cast<size_t>(axis)], Dim{span.size});
  if (whole == Dim{span.size} && span.start == 0 && span.step == 1) return x;
  return x.builder().apply(
      OpKind::pad, {x},
      {{"axis", axis}, {"start", span.start}, {"step", span.step}, {"value", value}},
      std::move(type));
}

Expr sum(Expr x, std::vector<int64_t> axes, bool keepdims) {
  if (axes.empty()) return x;
  return x.builder().apply(OpKind::sum, {x}, {{"axes", std::move(axes)}, {"keepdims", keepdims}});
}

Expr max(Expr x, int64_t axis, bool keepdims) {
  return x.builder().apply(OpKind::max, {x}, {{"axis", axis}, {"keepdims", keepdims}});
}

Expr argmax(Expr x, int64_t axis) {
  return x.builder().apply(OpKind::argmax, {x}, {{"axis", axis}});
}

Expr prod(Expr x, std::vector<int64_t> axes, bool keepdims) {
  if (axes.empty()) return x;
  return x.builder().apply(OpKind::prod, {x}, {{"axes", std::move(axes)}, {"keepdims", keepdims}});
}

Expr contraction(Expr a, Expr b, std::vector<int64_t> a_axes, std::vector<int64_t> b_axes) {
  return a.builder().apply(OpKind::contraction, {a, b},
                           {{"a", std::move(a_axes)}, {"b", std::move(b_axes)}});
}

Expr sum_to(Expr x, const Shape& to) {
  const Shape from = x.type().shape;
  if (from == to) return x;
  const size_t extra = from.size() - to.size();
  std::vector<int64_t> axes;
  for (size_t i = 0; i < from.size(); ++i) {
    if (i < extra || (to[i - extra].is_one() && !from[i].is_one())) {
      axes.push_back(static_cast<int64_t>(i));
    }
  }
  return reshape(sum(x, axes, false), to);
}

}  // namespace sinter::ir
