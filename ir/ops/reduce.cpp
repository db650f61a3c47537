// Reductions. Over the batch axis they run over the real rows.
#include <algorithm>
#include <limits>

#include "ir/ops/family.h"

namespace sinter::ir {

namespace {

// The type of a fold over checked axes.
Type infer_fold(const InferArgs& in) {
  const Type& x = in.operands[0];
  if (!is_float(x.dtype) && !is_int(x.dtype)) {
    throw Error(fmt::format("cannot add up {}", to_string(x))).help("convert with cast first");
  }
  const std::vector<int64_t>& axes = in.attrs.integers("axes");
  check_axes(axes, x);
  return reduced(x, axes, in.attrs.flag("keepdims"));
}

// The same for what works on the folded axes as one line, which may follow the batch once.
Type infer_line(const InferArgs& in) {
  const Type out = infer_fold(in);
  int batches = 0;
  for (int64_t axis : in.attrs.integers("axes")) {
    batches += in.operands[0].shape[static_cast<size_t>(axis)].batch ? 1 : 0;
  }
  if (batches > 1) {
    throw Error(fmt::format("axes [{}] of {} follow the batch twice",
                            fmt::join(in.attrs.integers("axes"), ", "), to_string(in.operands[0])))
        .help("reduce one of the two first");
  }
  return out;
}

// Shape of the result with 1 in place of the folded axes, so that it broadcasts against x.
Shape kept_shape(const Type& x, std::span<const int64_t> axes) {
  return reduced(x, axes, true).shape;
}

// Folds every element into its place: calls f(result offset, operand offset) in row-major order.
template <class T, class F>
void fold_over(EvalArgs<T>& a, std::span<const int64_t> axes, F f) {
  const Array<T>& x = *a.operands[0];
  if (x.size() == 0) return;
  std::vector<int64_t> kept = x.dims;
  for (int64_t axis : axes) kept[static_cast<size_t>(axis)] = 1;
  std::vector<int64_t> to(kept.size());
  size_t at = 0;
  IndexWalk walk(x.dims);
  do {
    for (size_t d = 0; d < to.size(); ++d) to[d] = kept[d] == 1 ? 0 : (*walk)[d];
    f(offset_of(to, kept), at++);
  } while (walk.next());
}

Type infer_extreme(const InferArgs& in) {
  const Type& x = in.operands[0];
  if (x.dtype == DType::boolean) {
    throw Error(fmt::format("cannot order {}", to_string(x))).help("convert with cast first");
  }
  if (checked_axis(in.attrs.integer("axis"), x) != in.attrs.integer("axis")) {
    throw Error("the axis must count from the front").help("use axis >= 0");
  }
  return x;
}

// Calls f(result offset, operand offset, position on the axis) along every line of `axis`.
template <class T, class F>
void along_axis(EvalArgs<T>& a, F f) {
  const Array<T>& x = *a.operands[0];
  const auto axis = static_cast<size_t>(a.op.attrs.integer("axis"));
  size_t outer = 1, inner = 1;
  for (size_t d = 0; d < axis; ++d) outer *= static_cast<size_t>(x.dims[d]);
  for (size_t d = axis + 1; d < x.dims.size(); ++d) inner *= static_cast<size_t>(x.dims[d]);
  const auto length = static_cast<size_t>(x.dims[axis]);
  for (size_t o = 0; o < outer; ++o) {
    for (size_t i = 0; i < inner; ++i) {
      for (size_t k = 0; k < length; ++k) f(o * inner + i, (o * length + k) * inner + i, k);
    }
  }
}

// NaN propagates: the first NaN wins over every number (as in PyTorch).
template <class T>
bool replaces(T candidate, T best) {
  using std::isnan;
  return !isnan(best) && (isnan(candidate) || candidate > best);
}

}  // namespace

const OpDef op_sum = {
    .name = "sum",
    .summary = "sum over axes",
    .operands = 1,
    .attrs = {{"axes", AttrKind::integers}, {"keepdims", AttrKind::flag, false}, parts_attr},
    .traits = Trait::reduction,
    .infer = [](const InferArgs& in) {
      Type out = infer_fold(in);
      check_parts(in.attrs, in.operands[0], in.attrs.integers("axes"));
      const int64_t parts = in.attrs.integer("parts");
      if (parts > 1) out.shape.insert(out.shape.begin(), Dim{parts});
      return out;
    },
    .vjp = [](Vjp& g) {
      check_whole(g.attrs());
      const Type x = g.operand(0).type();
      const Shape kept = kept_shape(x, g.attrs().integers("axes"));
      g.add(0, broadcast(reshape(g.cotangent(), kept), x.shape));
    },
    .eval = []<class T>(EvalArgs<T>& a) {
      const Array<T>& x = *a.operands[0];
      const std::vector<int64_t>& axes = a.op.attrs.integers("axes");
      const int64_t parts = a.op.attrs.integer("parts");
      const size_t width = a.result.size() / static_cast<size_t>(parts);
      int64_t part = 0;
      fold_over(a, axes, [&](size_t to, size_t from) {
        if (parts > 1) {
          const auto row = static_cast<int64_t>(from / width);
          while (row >= part_begin(x.dims[0], part + 1, parts)) ++part;
          to += static_cast<size_t>(part) * width;
        }
        if (x.floats()) {
          a.result.f[to] += x.f[from];
        } else {
          a.result.i[to] = wrapped_sum(a.result.i[to], x.i[from], x.dtype);
        }
      });
    },
};

const OpDef op_mean = {
    .name = "mean",
    .summary = "mean over axes, over the real rows along the batch",
    .operands = 1,
    .attrs = {{"axes", AttrKind::integers}, {"keepdims", AttrKind::flag, false}},
    .infer = [](const InferArgs& in) {
      infer_float(in);
      return infer_fold(in);
    },
    .vjp = [](Vjp& g) {
      const Type x = g.operand(0).type();
      const std::vector<int64_t>& axes = g.attrs().integers("axes");
      Shape folded;
      for (int64_t axis : axes) folded.push_back(x.shape[static_cast<size_t>(axis)]);
      const Expr share = g.cotangent() / g.b.extent(folded, x.dtype);
      g.add(0, broadcast(reshape(share, kept_shape(x, axes)), x.shape));
    },
    .expand = [](Builder& b, const Op& op) {
      const Expr x(b, op.operands[0]);
      const std::vector<int64_t>& axes = op.attrs.integers("axes");
      Shape folded;
      for (int64_t axis : axes) folded.push_back(x.type().shape[static_cast<size_t>(axis)]);
      const Expr count = b.extent(folded, x.type().dtype);
      return sum(x, axes, op.attrs.flag("keepdims")) / count;
    },
};

const OpDef op_max = {
    .name = "max",
    .summary = "largest element along an axis; NaN if there is one",
    .operands = 1,
    .attrs = {{"axis", AttrKind::integer}, {"keepdims", AttrKind::flag, false}},
    .traits = Trait::reduction,
    .infer = [](const InferArgs& in) {
      const std::vector<int64_t> axes{in.attrs.integer("axis")};
      return reduced(infer_extreme(in), axes, in.attrs.flag("keepdims"));
    },
    // The gradient goes to the first of equals, the one that argmax names.
    .vjp = [](Vjp& g) {
      const Expr x = g.operand(0);
      const int64_t axis = g.attrs().integer("axis");
      const std::vector<int64_t> axes{axis};
      const Shape kept = kept_shape(x.type(), axes);
      const Expr index = g.b.iota(static_cast<int>(axis), x.type().with(DType::i64));
      const Expr first = equal(index, reshape(argmax(x, axis), kept));
      g.add(0, select(first, reshape(g.cotangent(), kept), g.b.scalar(0, x.type().dtype)));
    },
    .eval = []<class T>(EvalArgs<T>& a) {
      const Array<T>& x = *a.operands[0];
      along_axis(a, [&](size_t to, size_t from, size_t k) {
        if (x.floats()) {
          if (k == 0 || replaces(x.f[from], a.result.f[to])) a.result.f[to] = x.f[from];
        } else {
          if (k == 0 || x.i[from] > a.result.i[to]) a.result.i[to] = x.i[from];
        }
      });
    },
};

const OpDef op_argmax = {
    .name = "argmax",
    .summary = "index of the largest element along an axis, the first of equals, as i64",
    .operands = 1,
    .attrs = {{"axis", AttrKind::integer}, {"keepdims", AttrKind::flag, false}},
    .traits = Trait::reduction,
    .infer = [](const InferArgs& in) {
      const std::vector<int64_t> axes{in.attrs.integer("axis")};
      return reduced(infer_extreme(in), axes, in.attrs.flag("keepdims")).with(DType::i64);
    },
    .vjp = not_differentiable,
    .eval = []<class T>(EvalArgs<T>& a) {
      const Array<T>& x = *a.operands[0];
      std::vector<size_t> best(a.result.size());
      along_axis(a, [&](size_t to, size_t from, size_t k) {
        const bool better =
            k == 0 || (x.floats() ? replaces(x.f[from], x.f[best[to]]) : x.i[from] > x.i[best[to]]);
        if (better) {
          best[to] = from;
          a.result.i[to] = static_cast<int64_t>(k);
        }
      });
    },
};

const OpDef op_prod = {
    .name = "prod",
    .summary = "product over axes",
    .operands = 1,
    .attrs = {{"axes", AttrKind::integers}, {"keepdims", AttrKind::flag, false}},
    .traits = Trait::reduction,
    .infer = infer_line,
    // For each element the product of all the others: the products of the rows of a square that has
    // 1 on its diagonal. Dividing the result by the element is quicker, and wrong at 0 and near it.
    .vjp = [](Vjp& g) {
      const Type x = g.operand(0).type();
      const std::vector<int64_t>& axes = g.attrs().integers("axes");
      const Expr line = as_line(g.operand(0), axes);
      const Shape shape = line.type().shape;
      const auto row = static_cast<int>(shape.size()) - 1;
      Shape square = shape, column = shape, kept = shape;
      square.push_back(shape.back());
      column.insert(column.begin() + row, Dim{1});
      kept.back() = Dim{1};
      const Type index{DType::i64, square};
      const Expr diagonal = equal(g.b.iota(row, index), g.b.iota(row + 1, index));
      const Expr others = select(diagonal, g.b.scalar(1, x.dtype), reshape(line, column));
      const Expr slope = prod(others, {row + 1}, false) * reshape(g.cotangent(), kept);
      g.add(0, from_line(slope, x, axes));
    },
    .eval = []<class T>(EvalArgs<T>& a) {
      const Array<T>& x = *a.operands[0];
      std::fill(a.result.f.begin(), a.result.f.end(), T(1));
      std::fill(a.result.i.begin(), a.result.i.end(), 1);
      fold_over(a, a.op.attrs.integers("axes"), [&](size_t to, size_t from) {
        if (x.floats()) {
          a.result.f[to] = a.result.f[to] * x.f[from];
        } else {
          a.result.i[to] = wrapped_product(a.result.i[to], x.i[from], x.dtype);
        }
      });
    },
};

const OpDef op_logsumexp = {
    .name = "logsumexp",
    .summary = "log(sum(exp(x))) over axes, shifted by the maximum so that it is stable",
    .operands = 1,
    .attrs = {{"axes", AttrKind::integers}, {"keepdims", AttrKind::flag, false}},
    .infer = [](const InferArgs& in) {
      infer_float(in);
      return infer_line(in);
    },
    // softmax, from the result; all -inf give zeros.
    .vjp = [](Vjp& g) {
      const Expr x = g.operand(0);
      const Shape kept = kept_shape(x.type(), g.attrs().integers("axes"));
      const DType dtype = x.type().dtype;
      const Expr total = reshape(g.result(), kept);
      const Expr infinite = g.b.scalar(-std::numeric_limits<double>::infinity(), dtype);
      const Expr shift = select(equal(total, infinite), g.b.scalar(0, dtype), total);
      g.add(0, reshape(g.cotangent(), kept) * exp(x - shift));
    },
    .expand = [](Builder& b, const Op& op) {
      const Expr x(b, op.operands[0]);
      const std::vector<int64_t>& axes = op.attrs.integers("axes");
      const Expr line = as_line(x, axes);
      const int64_t last = line.type().rank() - 1;
      const Expr top = max(line, last, true);
      // Infinities are not subtracted from each other: top - top is 0 for finite numbers only.
      const Expr zero = b.scalar(0, x.type().dtype);
      const Expr shift = select(equal(top - top, zero), top, zero);
      const Expr total = log(sum(exp(line - shift), {last}, true)) + shift;
      return reshape(total, reduced(x.type(), axes, op.attrs.flag("keepdims")).shape);
    },
};

}  // namespace sinter::ir
