// Type rules shared by families of ops, so that a definition block states only what is different.
#pragma once

#include <fmt/format.h>

#include "ir/op.h"

namespace sinter::ir {

// Broadcast of all operands, which must have one dtype; a float dtype.
Type infer_float(const InferArgs& in);
// Broadcast of all operands, which must have one dtype; not bool.
Type infer_arithmetic(const InferArgs& in);
// Broadcast of all operands, which must have one dtype; the result is bool.
Type infer_comparison(const InferArgs& in);
// The declared type of a `typed_result` op; what it lacks is an internal error of the caller.
const Type& declared_type(const InferArgs& in);
// The declared type, which must be a float.
Type infer_declared_float(const InferArgs& in);
// Axis counted from the front, negative ones from the back; an Error names the op and the shape.
int64_t checked_axis(int64_t axis, const Type& type);
// `type` without `axes`, or with 1 in their place. Axes ascend.
Type reduced(const Type& type, std::span<const int64_t> axes, bool keepdims);
// Checks that `axes` ascend, each once, counted from the front.
void check_axes(std::span<const int64_t> axes, const Type& type);
// Error if `axis` does not exist, counts from the back or follows the batch, for the op `name`.
void check_static_axis(std::string_view name, int64_t axis, const Type& type);
// x with `axes` as one last axis, and back: as_line takes [a, b, c] and axes {0, 2} to [b, a c],
// from_line brings such a line into the shape x had. At most one of the axes follows the batch.
Expr as_line(Expr x, const std::vector<int64_t>& axes);
Expr from_line(Expr line, const Type& x, const std::vector<int64_t>& axes);
// Attribute `parts` of a sum: the rows of a batch are cut into so many runs, as equal as can be, and
// each is summed by itself; the result has the parts as its first axis. Part p of n rows begins at
// row n p / parts. Checks that `x`, a matrix, has the batch for its rows and these are folded.
inline const AttrSpec parts_attr = {"parts", AttrKind::integer, int64_t{1}};
void check_parts(const Attrs& attrs, const Type& x, std::span<const int64_t> folded);
// The same for a derivative: parts are chosen after differentiation.
void check_whole(const Attrs& attrs);
inline int64_t part_begin(int64_t rows, int64_t part, int64_t parts) { return rows * part / parts; }
// Checks `reduction` is mean, sum or none.
void check_reduction(const std::string& reduction);
// mean, sum or the values themselves, as the attribute `reduction` asks. `count` divides the mean.
Expr reduce_loss(Builder& b, Expr losses, Expr count, const std::string& reduction);

// Row-major walk over the indices of a shape.
class IndexWalk {
 public:
  explicit IndexWalk(std::vector<int64_t> dims) : dims_(std::move(dims)), at_(dims_.size(), 0) {}
  const std::vector<int64_t>& operator*() const { return at_; }
  bool next();

 private:
  std::vector<int64_t> dims_, at_;
};
// Row-major offset of `index` in an array of shape `dims`.
size_t offset_of(std::span<const int64_t> index, std::span<const int64_t> dims);

}  // namespace sinter::ir
