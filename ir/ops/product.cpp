// Products of tensors, and reading and adding whole rows by index.
#include <algorithm>

#include "ir/ops/family.h"

namespace sinter::ir {

namespace {

// The axes of one operand of a contraction, sorted into their three roles.
struct Roles {
  std::vector<int64_t> batch, contracted, free;

  Roles(const Type& type, const std::vector<int64_t>& batch_axes,
        const std::vector<int64_t>& contracted_axes)
      : batch(batch_axes), contracted(contracted_axes) {
    std::vector<bool> taken(type.shape.size(), false);
    for (const auto* axes : {&batch, &contracted}) {
      for (int64_t axis : *axes) {
        const auto at = static_cast<size_t>(checked_axis(axis, type));
        if (axis < 0 || taken[at]) {
          throw Error(fmt::format("axis {} of {} is named twice or counted from the back", axis,
                                  to_string(type)))
              .help("name each axis once, from the front");
        }
        taken[at] = true;
      }
    }
    for (size_t i = 0; i < taken.size(); ++i) {
      if (!taken[i]) free.push_back(static_cast<int64_t>(i));
    }
  }
};

Roles roles_a(const Type& type, const Attrs& attrs) {
  return {type, attrs.integers("a_batch"), attrs.integers("a")};
}
Roles roles_b(const Type& type, const Attrs& attrs) {
  return {type, attrs.integers("b_batch"), attrs.integers("b")};
}

// Cotangent of `mine` in C = contraction(mine, other): the product of C's cotangent with `other`
// over other's free axes, brought into the axis order of `mine`.
Expr contraction_vjp(Vjp& g, Expr mine, const Roles& my, Expr other, const Roles& its,
                     size_t other_free_at) {
  std::vector<int64_t> over;
  for (size_t i = 0; i < its.free.size(); ++i) {
    over.push_back(static_cast<int64_t>(other_free_at + i));
  }
  std::vector<int64_t> batch;
  for (size_t i = 0; i < my.batch.size(); ++i) batch.push_back(static_cast<int64_t>(i));
  const Expr product =
      g.b.apply(OpKind::contraction, {g.cotangent(), other},
                {{"a", over}, {"b", its.free}, {"a_batch", batch}, {"b_batch", its.batch}});
  // Axes of the product, as axes of `mine`: batch, my free ones, then the contracted ones in the
  // order in which `other` holds them.
  std::vector<int64_t> order = my.batch;
  order.insert(order.end(), my.free.begin(), my.free.end());
  std::vector<size_t> by_other(its.contracted.size());
  for (size_t i = 0; i < by_other.size(); ++i) by_other[i] = i;
  std::sort(by_other.begin(), by_other.end(),
            [&](size_t p, size_t q) { return its.contracted[p] < its.contracted[q]; });
  for (size_t i : by_other) order.push_back(my.contracted[i]);
  std::vector<int64_t> permutation(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    permutation[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  }
  (void)mine;
  return transpose(product, permutation);
}

// Its sizes as a type, for rules that work on types.
template <class T>
Type plain_type(const Array<T>& x) {
  Type out{x.dtype, {}};
  for (int64_t d : x.dims) out.shape.emplace_back(d);
  return out;
}

// Offset of each combination of indices along `axes` (the last one fastest), all others 0.
template <class T>
std::vector<size_t> offsets(const Array<T>& x, const std::vector<int64_t>& axes) {
  std::vector<size_t> out{0};
  for (int64_t axis : axes) {
    size_t stride = 1;
    for (size_t d = static_cast<size_t>(axis) + 1; d < x.dims.size(); ++d) {
      stride *= static_cast<size_t>(x.dims[d]);
    }
    std::vector<size_t> next;
    for (size_t base : out) {
      for (int64_t i = 0; i < x.dims[static_cast<size_t>(axis)]; ++i) {
        next.push_back(base + static_cast<size_t>(i) * stride);
      }
    }
    out = std::move(next);
  }
  return out;
}

}  // namespace

const OpDef op_contraction = {
    .name = "contraction",
    .summary = "sums products over pairs of axes; the result has batch, a's free, b's free axes",
    .operands = 2,
    .attrs = {{"a", AttrKind::integers},
              {"b", AttrKind::integers},
              {"a_batch", AttrKind::integers, std::vector<int64_t>{}},
              {"b_batch", AttrKind::integers, std::vector<int64_t>{}},
              parts_attr},
    .infer = [](const InferArgs& in) {
      const Type &a = in.operands[0], &b = in.operands[1];
      if (a.dtype != b.dtype || !is_float(a.dtype)) {
        throw Error(fmt::format("cannot multiply {} and {}", to_string(a), to_string(b)))
            .help("both operands must have the same floating-point dtype");
      }
      const Roles ra = roles_a(a, in.attrs), rb = roles_b(b, in.attrs);
      const auto match = [&](const std::vector<int64_t>& p, const std::vector<int64_t>& q) {
        bool same = p.size() == q.size();
        for (size_t i = 0; same && i < p.size(); ++i) {
          same = a.shape[static_cast<size_t>(p[i])] == b.shape[static_cast<size_t>(q[i])];
        }
        if (same) return;
        throw Error(fmt::format("cannot multiply {} and {}: axes [{}] and [{}] differ",
                                to_string(a), to_string(b), fmt::join(p, ", "),
                                fmt::join(q, ", ")))
            .help("the axes summed over must have the same sizes");
      };
      match(ra.contracted, rb.contracted);
      match(ra.batch, rb.batch);
      check_parts(in.attrs, a, ra.contracted);
      check_parts(in.attrs, b, rb.contracted);
      Type out{a.dtype, {}};
      if (const int64_t parts = in.attrs.integer("parts"); parts > 1) out.shape.emplace_back(parts);
      for (int64_t axis : ra.batch) out.shape.push_back(a.shape[static_cast<size_t>(axis)]);
      for (int64_t axis : ra.free) out.shape.push_back(a.shape[static_cast<size_t>(axis)]);
      for (int64_t axis : rb.free) out.shape.push_back(b.shape[static_cast<size_t>(axis)]);
      return out;
    },
    .vjp = [](Vjp& g) {
      check_whole(g.attrs());
      const Expr a = g.operand(0), b = g.operand(1);
      const Roles ra = roles_a(a.type(), g.attrs()), rb = roles_b(b.type(), g.attrs());
      g.add(0, contraction_vjp(g, a, ra, b, rb, ra.batch.size() + ra.free.size()));
      g.add(1, contraction_vjp(g, b, rb, a, ra, ra.batch.size()));
    },
    // Batch by batch: each row of the result adds up rows of y, brought into [depth, free] order,
    // so that every element is summed along the depth in order and the inner loop is contiguous.
    .eval = []<class T>(EvalArgs<T>& a) {
      const Array<T>&x = *a.operands[0], &y = *a.operands[1];
      const Roles rx = roles_a(plain_type(x), a.op.attrs), ry = roles_b(plain_type(y), a.op.attrs);
      const std::vector<size_t> x_batch = offsets(x, rx.batch), y_batch = offsets(y, ry.batch);
      const std::vector<size_t> x_free = offsets(x, rx.free), y_free = offsets(y, ry.free);
      const std::vector<size_t> x_depth = offsets(x, rx.contracted);
      const std::vector<size_t> y_depth = offsets(y, ry.contracted);
      const size_t width = y_free.size();
      std::vector<T> rows(y_depth.size() * width);
      T* out = a.result.f.data();
      const int64_t parts = a.op.attrs.integer("parts");
      const auto depth = static_cast<int64_t>(x_depth.size());
      for (int64_t part = 0; part < parts; ++part) {
        const auto begin = static_cast<size_t>(part_begin(depth, part, parts));
        const auto end = static_cast<size_t>(part_begin(depth, part + 1, parts));
        for (size_t batch = 0; batch < x_batch.size(); ++batch) {
          for (size_t k = begin; k < end; ++k) {
            for (size_t j = 0; j < width; ++j) {
              rows[k * width + j] = y.f[y_batch[batch] + y_depth[k] + y_free[j]];
            }
          }
          for (size_t i = 0; i < x_free.size(); ++i, out += width) {
            for (size_t k = begin; k < end; ++k) {
              const T factor = x.f[x_batch[batch] + x_free[i] + x_depth[k]];
              const T* row = &rows[k * width];
              for (size_t j = 0; j < width; ++j) out[j] += factor * row[j];
            }
          }
        }
      }
    },
};

const OpDef op_linear = {
    .name = "linear",
    .summary = "x W^T + b for x [..., in], W [out, in], b [out] (the layout of PyTorch)",
    .operands = 3,
    .infer = [](const InferArgs& in) {
      const Type &x = in.operands[0], &w = in.operands[1], &b = in.operands[2];
      if (x.rank() < 2) {
        throw Error(fmt::format("linear needs rows of features but receives {}", to_string(x)))
            .help("give x a feature axis, as in x.unsqueeze(1)");
      }
      if (w.rank() != 2 || b.rank() != 1 || b.shape[0] != w.shape[0]) {
        throw Error(fmt::format("linear needs a weight [out, in] and a bias [out] but got {} and {}",
                                to_string(w), to_string(b)))
            .help("make both with nn::Linear(in, out)");
      }
      if (x.shape.back() != w.shape[1]) {
        throw Error(fmt::format("linear expects {} input features but receives {}",
                                to_string(w.shape[1]), to_string(x.shape.back())))
            .help(fmt::format("use Linear({}, {})", to_string(x.shape.back()),
                              to_string(w.shape[0])));
      }
      if (x.dtype != w.dtype || b.dtype != w.dtype || !is_float(w.dtype)) {
        throw Error(fmt::format("linear has weights of dtype {} but receives {}",
                                dtype_name(w.dtype), to_string(x)))
            .help(fmt::format("convert the input, as in x.to(DType::{})", dtype_name(w.dtype)));
      }
      Type out = x;
      out.shape.back() = w.shape[0];
      return out;
    },
    .vjp = [](Vjp& g) {
      const Expr x = g.operand(0), w = g.operand(1), ct = g.cotangent();
      const int64_t last = x.type().rank() - 1;
      std::vector<int64_t> rows;
      for (int64_t i = 0; i < last; ++i) rows.push_back(i);
      g.add(0, contraction(ct, w, {last}, {0}));
      g.add(1, contraction(ct, x, rows, rows));
      g.add(2, sum(ct, rows, false));
    },
    .expand = [](Builder& b, const Op& op) {
      const Expr x(b, op.operands[0]), w(b, op.operands[1]), bias(b, op.operands[2]);
      return contraction(x, w, {x.type().rank() - 1}, {1}) + bias;
    },
};

const OpDef op_gather = {
    .name = "gather",
    .summary = "rows of a table [rows, width] at indices [n], as [n, width]",
    .operands = 2,
    .infer = [](const InferArgs& in) {
      const Type &table = in.operands[0], &index = in.operands[1];
      if (table.rank() != 2 || index.rank() != 1 || !is_int(index.dtype)) {
        throw Error(fmt::format("gather needs a table [rows, width] and integer indices [n] but "
                                "got {} and {}", to_string(table), to_string(index)))
            .help("reshape the table to two axes and the indices to one");
      }
      return Type{table.dtype, {index.shape[0], table.shape[1]}};
    },
    .vjp = [](Vjp& g) {
      const Type table = g.operand(0).type();
      g.add(0, g.b.apply(OpKind::scatter_add, {g.cotangent(), g.operand(1)}, {}, table));
    },
    .eval = []<class T>(EvalArgs<T>& a) {
      const Array<T>&table = *a.operands[0], &index = *a.operands[1];
      const auto width = static_cast<size_t>(table.dims[1]);
      for (size_t r = 0; r < index.size(); ++r) {
        const int64_t row = index.i[r];
        if (row < 0 || row >= table.dims[0]) {
          throw Error(fmt::format("index {} at position {} is outside the table of {} rows", row,
                                  r, table.dims[0]))
              .help(fmt::format("indices go from 0 to {}", table.dims[0] - 1));
        }
        for (size_t c = 0; c < width; ++c) {
          const size_t from = static_cast<size_t>(row) * width + c, to = r * width + c;
          if (table.floats()) {
            a.result.f[to] = table.f[from];
          } else {
            a.result.i[to] = table.i[from];
          }
        }
      }
    },
};

const OpDef op_scatter_add = {
    .name = "scatter_add",
    .summary = "adds rows [n, width] into zeros [rows, width] at indices [n], in order",
    .operands = 2,
    .traits = Trait::typed_result,
    .infer = [](const InferArgs& in) {
      const Type &rows = in.operands[0], &index = in.operands[1], &to = declared_type(in);
      if (rows.rank() != 2 || index.rank() != 1 || to.rank() != 2 || !is_int(index.dtype) ||
          rows.dtype == DType::boolean || rows.dtype != to.dtype ||
          rows.shape[0] != index.shape[0] || rows.shape[1] != to.shape[1]) {
        throw Error(fmt::format("cannot add rows {} at {} into {}", to_string(rows),
                                to_string(index), to_string(to)))
            .help("rows are [n, width], indices [n], the result [rows, width]");
      }
      return to;
    },
    .vjp = [](Vjp& g) {
      g.add(0, g.b.apply(OpKind::gather, {g.cotangent(), g.operand(1)}));
    },
    .eval = []<class T>(EvalArgs<T>& a) {
      const Array<T>&rows = *a.operands[0], &index = *a.operands[1];
      const auto width = static_cast<size_t>(rows.dims[1]);
      for (size_t r = 0; r < index.size(); ++r) {
        const int64_t row = index.i[r];
        if (row < 0 || row >= a.result.dims[0]) {
          throw Error(fmt::format("index {} at position {} is outside the result of {} rows", row,
                                  r, a.result.dims[0]))
              .help(fmt::format("indices go from 0 to {}", a.result.dims[0] - 1));
        }
        for (size_t c = 0; c < width; ++c) {
          const size_t into = static_cast<size_t>(row) * width + c, from = r * width + c;
          if (rows.floats()) {
            a.result.f[into] += rows.f[from];
          } else {
            a.result.i[into] = wrapped_sum(a.result.i[into], rows.i[from], rows.dtype);
          }
        }
      }
    },
};

}  // namespace sinter::ir
