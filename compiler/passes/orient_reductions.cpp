// Brings every reduction into a form that a kernel can run: it folds the last axis (columns, inside
// a row), or it is a sum or product over all axes but the last (rows, inside a panel). Axes of size
// 1 do not count. Others are split into sums of sums, or read a transposed view that puts the axis
// last.
#include <algorithm>
#include <utility>

#include "compiler/forms/kernel.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"
#include "ir/op.h"

namespace sinter::compiler {

namespace {

using namespace ir;

class Orienter {
 public:
  Orienter(Module& module, Func& func) : module_(module), func_(func) {}

  void run() {
    for (Op& op : std::exchange(func_.body, {})) {
      if (!def(op).is(Trait::reduction)) {
        func_.body.push_back(std::move(op));
        continue;
      }
      Builder b(module_, func_);
      b.set_loc(op.loc);
      const Expr x(b, op.operands[0]);
      if (fits(op, x.type().shape)) {
        func_.body.push_back(std::move(op));
        continue;
      }
      const Type wanted = func_.type(op.result);
      const Expr result = reshape(fold(b, op, x, folded_axes(op)), wanted.shape);
      hand_over_name(func_, op.result, result.id());
      replaced_.emplace_back(op.result, result.id());
    }
    if (replaced_.empty()) return;
    replace_uses(func_, replaced_);
    compact(func_);
  }

 private:
  using Axes = std::vector<int64_t>;

  static Axes folded_axes(const Op& op) {
    return is_fold(op) ? op.attrs.integers("axes") : Axes{op.attrs.integer("axis")};
  }
  static bool has(const Axes& axes, int64_t axis) {
    return std::find(axes.begin(), axes.end(), axis) != axes.end();
  }

  // The axes longer than 1 that are folded, and those that stay.
  struct Long {
    Axes folded, kept;
  };
  static Long long_axes(const Shape& shape, const Axes& axes) {
    Long out;
    for (int64_t i = 0; i < static_cast<int64_t>(shape.size()); ++i) {
      if (shape[static_cast<size_t>(i)].is_one()) continue;
      (has(axes, i) ? out.folded : out.kept).push_back(i);
    }
    return out;
  }

  static bool fits(const Op& op, const Shape& shape) {
    if (op.kind == OpKind::sum && op.attrs.integer("parts") > 1) return true;
    const Long l = long_axes(shape, folded_axes(op));
    if (l.folded.size() == 1 && (l.kept.empty() || l.kept.back() < l.folded[0])) return true;
    return is_fold(op) && l.kept.size() == 1 && !l.folded.empty() && l.folded.back() < l.kept[0];
  }

  // The same reduction of x over `axes`, in steps that fit. The result has the axes that stay.
  Expr fold(Builder& b, const Op& op, Expr x, const Axes& axes) {
    const Shape shape = x.type().shape;
    const Long l = long_axes(shape, axes);
    if (l.folded.empty()) {
      const Type one{x.type().dtype, reduced_shape(shape, axes)};
      // The only element is the largest, and its index is 0.
      return op.kind == OpKind::argmax ? b.constant(0, one.with(DType::i64))
                                       : reshape(x, one.shape);
    }
    const bool last = l.kept.empty() || l.kept.back() < l.folded.back();
    if (last && l.folded.size() > 1) {
      const Axes one{l.folded.back()};
      const Expr rows = b.apply(op.kind, {x}, {{"axes", one}, {"keepdims", true}});
      return fold(b, op, rows, axes);
    }
    if (!last) {
      Axes order = l.kept;
      for (int64_t i = 0; i < static_cast<int64_t>(shape.size()); ++i) {
        if (shape[static_cast<size_t>(i)].is_one() && !has(axes, i)) order.push_back(i);
      }
      const auto stays = static_cast<int64_t>(order.size());
      std::sort(order.begin(), order.end());
      order.insert(order.end(), axes.begin(), axes.end());
      Axes at_end;
      for (int64_t i = stays; i < static_cast<int64_t>(shape.size()); ++i) at_end.push_back(i);
      return fold(b, op, transpose(x, order), at_end);
    }
    if (is_fold(op)) return b.apply(op.kind, {x}, {{"axes", axes}, {"keepdims", false}});
    return b.apply(op.kind, {x}, {{"axis", axes[0]}, {"keepdims", false}});
  }

  static Shape reduced_shape(const Shape& shape, const Axes& axes) {
    Shape out;
    for (int64_t i = 0; i < static_cast<int64_t>(shape.size()); ++i) {
      if (!has(axes, i)) out.push_back(shape[static_cast<size_t>(i)]);
    }
    return out;
  }

  Module& module_;
  Func& func_;
  std::vector<std::pair<ValueId, ValueId>> replaced_;
};

}  // namespace

void orient_reductions(Module& module, const Options&) {
  for (Func& func : module.funcs) Orienter(module, func).run();
}

}  // namespace sinter::compiler
