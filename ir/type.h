// Types of the IR: an element type and a shape whose dimensions may scale with the run-time batch
// size n. `f32[n, 10]` is a batch of rows of ten; `f32[]` is a scalar.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include <sinter/dtype.h>

namespace sinter::ir {

// A dimension: `scale` when static, `scale * n` when it follows the batch.
struct Dim {
  int64_t scale = 1;
  bool batch = false;

  constexpr Dim() = default;
  constexpr Dim(int64_t size, bool follows_batch = false) : scale(size), batch(follows_batch) {}

  bool is_one() const { return !batch && scale == 1; }
  int64_t at(int64_t n) const { return batch ? scale * n : scale; }
  friend bool operator==(const Dim&, const Dim&) = default;
};

inline constexpr Dim batch_dim{1, true};

using Shape = std::vector<Dim>;

struct Type {
  DType dtype = DType::f32;
  Shape shape;

  int rank() const { return static_cast<int>(shape.size()); }
  bool is_scalar() const { return shape.empty(); }
  bool follows_batch() const;
  // Number of elements for n rows.
  int64_t numel(int64_t n) const;
  int64_t bytes(int64_t n) const;
  std::vector<int64_t> dims(int64_t n) const;
  Type with(DType other) const { return {other, shape}; }
  friend bool operator==(const Type&, const Type&) = default;
};

std::string to_string(const Dim& dim);      // `n`, `10`, `4n`
std::string to_string(const Shape& shape);  // `[n, 10]`
std::string to_string(const Type& type);    // `f32[n, 10]`, `f32[]` for a scalar

// NumPy's broadcasting of two shapes, aligned at the last axis; false when they do not fit.
bool broadcast_shapes(const Shape& a, const Shape& b, Shape& out);
// Whether `from` can be broadcast to exactly `to`.
bool broadcasts_to(const Shape& from, const Shape& to);

}  // namespace sinter::ir
