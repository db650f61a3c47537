#pragma once

#include <cstdint>

#include <sinter/value.h>

namespace sinter {

// Indices are integers from 0 on. Those that are an input of a step, or a tensor, are checked
// before it runs, and an Error names the first one that is out of range; computed ones are clamped.

/// Rows of a table [rows, ...] at indices of any shape: the result has the shape of the indices,
/// then that of a row.
Value gather(const Operand& table, const Operand& indices);
/// Adds `updates` to the rows of `base` [rows, ...] at the indices, in order; the updates have the
/// shape of the indices, then that of a row. Numbers.
Value scatter_add(const Operand& base, const Operand& indices, const Operand& updates);

/// Elements along an axis, as torch.gather: of x [b, c] along axis 1 the result [b, k] has at (i,
/// j) the element (i, indices(i, j)) of x. Apart from the axis both have one shape.
Value gather(const Operand& x, int64_t axis, const Operand& indices);
/// Adds along an axis, as torch.scatter_add: what gather with the same indices reads is added to.
Value scatter_add(const Operand& base, int64_t axis, const Operand& indices,
                  const Operand& updates);

/// 1 at the index and 0 elsewhere along a new last axis of `classes` elements.
Value one_hot(const Operand& indices, int64_t classes, DType dtype = DType::f32);

struct TopK {
  Value values, indices;
};
/// The k largest elements along an axis, the largest first; of equals the earlier one, and NaN
/// before every number. Indices are i64; the gradient of the values goes to the elements chosen.
TopK top_k(const Operand& x, int64_t k, int64_t axis = -1);

}  // namespace sinter
