// Appends ops to a function: infers the type, stamps source line and module path, names results.
// `Expr` is a value with operators, for rules and passes that write arithmetic; users of the
// library write with sinter::Value, which records through the same Builder.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace sinter::ir {

class Expr;

class Builder {
 public:
  // Appends to `ops`, which is `func.body` unless a pass builds a list of its own.
  Builder(Module& module, Func& func) : Builder(module, func, func.body) {}
  Builder(Module& module, Func& func, std::vector<Op>& ops)
      : module_(&module), func_(&func), ops_(&ops) {}

  // Appends an op and returns its result (invalid for effect-only ops). `declared` is the result
  // type of ops whose type is not inferred. Throws Error, located at the current source line.
  ValueId create(OpKind kind, std::vector<ValueId> operands, Attrs attrs = {},
                 std::optional<Type> declared = std::nullopt, std::string_view name = {});

  Expr apply(OpKind kind, const std::vector<Expr>& operands, Attrs attrs = {},
             std::optional<Type> declared = std::nullopt);
  Expr constant(double value, Type type);
  Expr scalar(double value, DType dtype);
  // Number of elements of `shape` for the current n, as a float scalar.
  Expr extent(const Shape& shape, DType dtype);
  Expr iota(int axis, Type type);
  Expr global(int index);

  void set_loc(Loc loc) { loc_ = std::move(loc); }
  const Loc& loc() const { return loc_; }
  // Results of later ops are named `name`, made unique; empty goes back to numbers.
  void set_name_hint(std::string name) { hint_ = std::move(name); }

  Module& module() { return *module_; }
  Func& func() { return *func_; }
  std::vector<Op>& ops() { return *ops_; }

 private:
  Module* module_;
  Func* func_;
  std::vector<Op>* ops_;
  Loc loc_;
  std::string hint_;
};

class Expr {
 public:
  Expr(Builder& b, ValueId id) : b_(&b), id_(id) {}
  ValueId id() const { return id_; }
  Builder& builder() const { return *b_; }
  const Type& type() const { return b_->func().type(id_); }

 private:
  Builder* b_;
  ValueId id_;
};

Expr operator+(Expr a, Expr b);
Expr operator-(Expr a, Expr b);
Expr operator*(Expr a, Expr b);
Expr operator/(Expr a, Expr b);
Expr operator-(Expr a);
Expr operator+(Expr a, double b);
Expr operator-(Expr a, double b);
Expr operator*(Expr a, double b);
Expr operator/(Expr a, double b);
Expr operator+(double a, Expr b);
Expr operator-(double a, Expr b);
Expr operator*(double a, Expr b);
Expr operator/(double a, Expr b);

Expr exp(Expr x);
Expr log(Expr x);
Expr sqrt(Expr x);
Expr pow(Expr a, Expr b);
Expr sin(Expr x);
Expr cos(Expr x);
Expr floor(Expr x);
Expr equal(Expr a, Expr b);
Expr less(Expr a, Expr b);
Expr less_equal(Expr a, Expr b);
Expr select(Expr condition, Expr a, Expr b);
Expr cast(Expr x, DType dtype);
Expr reshape(Expr x, Shape shape);
Expr transpose(Expr x, std::vector<int64_t> permutation);
Expr broadcast(Expr x, Shape shape);
// Elements start, start + step, ... along a static axis, `size` of them.
struct Span {
  int64_t start = 0;
  int64_t step = 1;
  int64_t size = 1;
};
Expr slice(Expr x, int64_t axis, const Span& span);
// The reverse: x at span's places of an axis of span.size elements, `value` elsewhere.
Expr pad(Expr x, int64_t axis, const Span& span, double value = 0);
Expr sum(Expr x, std::vector<int64_t> axes, bool keepdims);
Expr max(Expr x, int64_t axis, bool keepdims);
Expr argmax(Expr x, int64_t axis);
Expr prod(Expr x, std::vector<int64_t> axes, bool keepdims);
// Sums over pairs of axes a[a_axes[i]] == b[b_axes[i]]; the result has the other axes of a, then
// those of b.
Expr contraction(Expr a, Expr b, std::vector<int64_t> a_axes, std::vector<int64_t> b_axes);
// Sums `x` over the axes along which `to` was broadcast to x's shape.
Expr sum_to(Expr x, const Shape& to);

}  // namespace sinter::ir
