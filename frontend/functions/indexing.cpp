// Reading and adding at indices. The ops of the IR know rows of a matrix; other forms reshape to
// it.
#include <sinter/error.h>
#include <sinter/functions.h>

#include "frontend/functions/function_parts.h"
#include "frontend/recording.h"
#include "ir/op.h"
#include "ir/ops/family.h"

namespace sinter {

using detail::check_rows;
using detail::Recorder;
using detail::static_axis_of;
using ir::Dim;
using ir::Expr;
using ir::OpKind;

namespace {

// All axes from `first` on as one; Error where two of them follow the batch.
Dim joined(const ir::Shape& shape, size_t first, Recorder& r) {
  Dim out{1};
  for (size_t i = first; i < shape.size(); ++i) {
    if (out.batch && shape[i].batch) {
      throw Error("{} follows the batch twice", ir::to_string(shape))
          .at(r.loc().source())
          .help("index one axis of the batch at a time");
    }
    out = {out.scale * shape[i].scale, out.batch || shape[i].batch};
  }
  return out;
}

void check_indices(Recorder& r, Expr table, Expr indices, const char* what) {
  if (table.type().rank() > 0 && is_int(indices.type().dtype)) return;
  throw Error("{} needs a table of rows and integer indices but got {} and {}", what,
              ir::to_string(table.type()), ir::to_string(indices.type()))
      .at(r.loc().source())
      .help(is_int(indices.type().dtype) ? "give the table an axis of rows"
                                         : "convert the indices, as in cast(i, DType::i64)");
}

// A table of any rank as [rows, width].
Expr as_rows(Recorder& r, Expr table) {
  const ir::Shape shape = table.type().shape;
  return reshape(table, {shape[0], joined(shape, 1, r)});
}
Expr as_list(Recorder& r, Expr indices) {
  return reshape(indices, {joined(indices.type().shape, 0, r)});
}

// An axis of x and indices of the same shape apart from it, both with the axis last, as a column of
// all elements and a list of places in it.
struct Places {
  int64_t axis;
  Expr column, list;
  ir::Type moved, chosen;  // x and the indices with the axis last
};

std::vector<int64_t> axis_last(const ir::Type& type, int64_t axis) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < type.rank(); ++i) {
    if (i != axis) order.push_back(i);
  }
  order.push_back(axis);
  return order;
}

Expr axis_back(Expr x, int64_t axis) {
  std::vector<int64_t> order;
  const int64_t last = x.type().rank() - 1;
  for (int64_t i = 0; i < last; ++i) order.push_back(i);
  order.insert(order.begin() + axis, last);
  return transpose(x, std::move(order));
}

Places places(Recorder& r, Expr x, int64_t axis, Expr indices, const char* what) {
  check_indices(r, x, indices, what);
  const int64_t along = static_axis_of(r, x, axis, what);
  const auto at = static_cast<size_t>(along);
  ir::Shape expected = x.type().shape;
  if (indices.type().rank() == x.type().rank()) expected[at] = indices.type().shape[at];
  if (expected != indices.type().shape || expected[at].batch) {
    throw Error("{} along axis {} of {} with indices {}", what, along, ir::to_string(x.type()),
                ir::to_string(indices.type()))
        .at(r.loc().source())
        .help("the indices may differ from it along that axis only");
  }
  const Dim size = x.type().shape[at];
  check_rows(r, indices, size, std::nullopt);
  const Expr turned = transpose(x, axis_last(x.type(), along));
  const Expr chosen = transpose(cast(indices, DType::i64), axis_last(indices.type(), along));
  const ir::Type moved = turned.type(), type = chosen.type();
  // A computed index that is out of range must stay in its own line.
  ir::Builder& b = r.builder();
  const Expr low = b.scalar(0, DType::i64);
  const Expr high = b.scalar(static_cast<double>(size.scale - 1), DType::i64);
  const Expr above = select(less(chosen, low), low, chosen);
  const Expr inside = select(less(high, above), high, above);
  // The number of the line is that of the other axes, in row-major order.
  Expr line = low;
  for (int i = 0; i + 1 < type.rank(); ++i) {
    const Dim d = type.shape[static_cast<size_t>(i)];
    Expr count = b.scalar(static_cast<double>(d.scale), DType::i64);
    if (d.batch) count = count * cast(b.extent({ir::batch_dim}, DType::f64), DType::i64);
    line = line * count + b.iota(i, type);
  }
  const Expr place = line * static_cast<double>(size.scale) + inside;
  const Expr column = reshape(turned, {joined(moved.shape, 0, r), Dim{1}});
  return {along, column, as_list(r, place), moved, type};
}

}  // namespace

Value gather(const Operand& table, const Operand& indices) {
  Recorder r({&table, &indices});
  const Expr rows = r[0], at = r[1];
  check_indices(r, rows, at, "gather");
  check_rows(r, at, rows.type().shape[0], std::nullopt);
  ir::Shape shape = at.type().shape;
  shape.insert(shape.end(), rows.type().shape.begin() + 1, rows.type().shape.end());
  const Expr read = r.builder().apply(OpKind::gather, {as_rows(r, rows), as_list(r, at)});
  return r.done(reshape(read, std::move(shape)));
}

Value scatter_add(const Operand& base, const Operand& indices, const Operand& updates) {
  Recorder r({&base, &indices, &updates});
  const Expr to = r[0], at = r[1], rows = r[2];
  check_indices(r, to, at, "scatter_add");
  ir::Type expected = to.type();
  expected.shape.erase(expected.shape.begin());
  expected.shape.insert(expected.shape.begin(), at.type().shape.begin(), at.type().shape.end());
  if (rows.type() != expected) {
    throw Error("cannot add rows {} at {} into {}", ir::to_string(rows.type()),
                ir::to_string(at.type()), ir::to_string(to.type()))
        .at(r.loc().source())
        .help("the updates must be {}", ir::to_string(expected));
  }
  check_rows(r, at, to.type().shape[0], std::nullopt);
  const Expr wide = as_rows(r, to), list = as_list(r, at);
  const Expr values = reshape(rows, {list.type().shape[0], wide.type().shape[1]});
  const Expr added = r.builder().apply(OpKind::scatter_add, {values, list}, {}, wide.type());
  return r.done(to + reshape(added, to.type().shape));
}

Value gather(const Operand& x, int64_t axis, const Operand& indices) {
  Recorder r({&x, &indices});
  const Expr v = r[0], at = r[1];
  const Places p = places(r, v, axis, at, "gather");
  const Expr read = r.builder().apply(OpKind::gather, {p.column, p.list});
  return r.done(axis_back(reshape(read, p.chosen.shape), p.axis));
}

Value scatter_add(const Operand& base, int64_t axis, const Operand& indices,
                  const Operand& updates) {
  Recorder r({&base, &indices, &updates});
  const Expr to = r[0], at = r[1], values = r[2];
  const Places p = places(r, to, axis, at, "scatter_add");
  if (values.type() != at.type().with(to.type().dtype)) {
    throw Error("cannot add {} at {} into {}", ir::to_string(values.type()),
                ir::to_string(at.type()), ir::to_string(to.type()))
        .at(r.loc().source())
        .help("the updates must have the shape of the indices and the dtype of the base");
  }
  const Expr turned = transpose(values, axis_last(values.type(), p.axis));
  const Expr rows = reshape(turned, {p.list.type().shape[0], Dim{1}});
  const Expr added = r.builder().apply(OpKind::scatter_add, {rows, p.list}, {}, p.column.type());
  return r.done(to + axis_back(reshape(added, p.moved.shape), p.axis));
}

Value one_hot(const Operand& indices, int64_t classes, DType dtype) {
  Recorder r({&indices});
  const Expr v = r[0];
  if (!is_int(v.type().dtype) || classes < 1) {
    throw Error("one_hot of {} with {} classes", ir::to_string(v.type()), classes)
        .at(r.loc().source())
        .help("give it integers and at least one class");
  }
  check_rows(r, v, Dim{classes}, std::nullopt);
  ir::Type wide = v.type();
  wide.shape.emplace_back(1);
  const Expr column = reshape(v, wide.shape);
  wide.shape.back() = Dim{classes};
  return r.done(cast(equal(column, r.builder().iota(wide.rank() - 1, wide)), dtype));
}

TopK top_k(const Operand& x, int64_t k, int64_t axis) {
  Recorder r({&x});
  const Expr v = r[0];
  const int64_t along = static_axis_of(r, v, axis, "top_k");
  const int64_t size = v.type().shape[static_cast<size_t>(along)].scale;
  if (k < 1 || k > size) {
    throw Error("top_k cannot take {} of the {} elements of axis {} of {}", k, size, along,
                ir::to_string(v.type()))
        .at(r.loc().source())
        .help("use a k from 1 to {}", size);
  }
  const Expr turned = transpose(v, axis_last(v.type(), along));
  const Expr chosen = r.builder().apply(OpKind::top_k, {turned}, {{"k", k}});
  const Value indices = r.done(axis_back(chosen, along));
  return {gather(x, along, Operand(indices, x.at())), indices};
}

}  // namespace sinter
