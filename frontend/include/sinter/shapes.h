#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <vector>

#include <sinter/reductions.h>
#include <sinter/value.h>

namespace sinter {

// Axes may be negative, then they count from the back. All dtypes, unless said otherwise.

/// The same elements in row-major order under another shape. One size may be -1; it is the one that
/// follows the batch if x does.
Value reshape(const Operand& x, Shape shape);
/// Axes first to last as one.
Value flatten(const Operand& x, int64_t first = 0, int64_t last = -1);
/// Axes in another order: result axis i is axis permutation[i] of x.
Value permute(const Operand& x, std::vector<int64_t> permutation);
/// Two axes exchanged.
Value transpose(const Operand& x, int64_t a, int64_t b);
/// The transposed matrix; x has two axes.
Value t(const Operand& x);
/// Repeats along axes of size 1 and new leading axes; -1 keeps the size of x.
Value broadcast_to(const Operand& x, Shape shape);
/// PyTorch's name of broadcast_to.
Value expand(const Operand& x, Shape shape);
/// A new axis of size 1 before `axis`; -1 appends.
Value unsqueeze(const Operand& x, int64_t axis);
/// Without the axis, which must have size 1; without any axis of size 1.
Value squeeze(const Operand& x, int64_t axis);
Value squeeze(const Operand& x);

/// As the stop of a slice: to the last element.
inline constexpr int64_t to_end = std::numeric_limits<int64_t>::max();

// The following take axes of fixed size: the rows of a batch cannot be told apart. Error along the
// batch.

/// Elements start, start + step, ... before stop along an axis, as x[start:stop:step] in Python;
/// negative places count from the back. Error, unlike Python, if a place lies outside the axis, if
/// nothing is left, or if step < 1.
Value slice(const Operand& x, int64_t axis, int64_t start, int64_t stop = to_end, int64_t step = 1);
/// Elements in the reverse order along the axes.
Value flip(const Operand& x, const Axes& axes);
/// Consecutive parts of `size` elements along an axis, the last one shorter if need be; or parts of
/// these sizes, which must add up to the axis.
std::vector<Value> split(const Operand& x, int64_t size, int64_t axis = 0);
std::vector<Value> split(const Operand& x, const std::vector<int64_t>& sizes, int64_t axis = 0);
/// The parts one after the other along an axis; they have one dtype and differ along it only.
Value concat(std::initializer_list<Operand> parts, int64_t axis = 0);
Value concat(const std::vector<Value>& parts, int64_t axis = 0,
             const std::source_location& at = std::source_location::current());
/// The parts, all of one type, along a new axis before `axis`; -1 appends it. The new axis has a
/// fixed size even where the parts follow the batch.
Value stack(std::initializer_list<Operand> parts, int64_t axis = 0);
Value stack(const std::vector<Value>& parts, int64_t axis = 0,
            const std::source_location& at = std::source_location::current());
/// `before` and `after` elements of `value` around x along an axis.
Value pad(const Operand& x, int64_t axis, int64_t before, int64_t after, double value = 0);

/// The index of each element along an axis, in x's shape: 0, 1, 2, ... The batch is an axis, too.
/// (A tensor of consecutive numbers is `arange`.)
Value iota_like(const Operand& x, int64_t axis, DType dtype = DType::i64);

}  // namespace sinter
