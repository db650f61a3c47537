#include <algorithm>

#include <sinter/error.h>
#include <sinter/tensor.h>

#include "runtime/tensor/strided_copy.h"

namespace sinter {

namespace {

size_t as_size(int64_t axis) { return static_cast<size_t>(axis); }

}  // namespace

Tensor Tensor::with(int64_t offset, Shape shape, Shape strides) const {
  auto* bytes = static_cast<std::byte*>(first_);
  // An empty tensor has no buffer to point into.
  if (bytes != nullptr) bytes += offset * static_cast<int64_t>(dtype_size(dtype_));
  return {buffer_, bytes, dtype_, std::move(shape), std::move(strides)};
}

Shape Tensor::resolve(Shape shape, const char* what) const {
  const auto fail = [&](std::string help) {
    return Error("{} cannot turn {} elements into shape {}", what, numel_, shape_to_string(shape))
        .note("tensor : {}", type_string())
        .help(std::move(help));
  };
  const auto unknown = std::find(shape.begin(), shape.end(), -1);
  if (unknown == shape.end()) {
    if (shape_numel(shape) != numel_) throw fail("use -1 for one dimension to have it computed");
    return shape;
  }
  if (std::find(unknown + 1, shape.end(), -1) != shape.end())
    throw fail("only one dimension may be -1");
  Shape known = shape;
  known[as_size(unknown - shape.begin())] = 1;
  const int64_t rest = shape_numel(known);
  if (rest == 0 || numel_ % rest != 0)
    throw fail(fmt::format("the known dimensions must divide {}", numel_));
  shape[as_size(unknown - shape.begin())] = numel_ / rest;
  return shape;
}

bool Tensor::view_strides(const Shape& shape, Shape& strides) const {
  strides.assign(shape.size(), 1);
  if (numel_ == 0) {
    for (size_t i = shape.size(); i-- > 1;)
      strides[i - 1] = strides[i] * std::max<int64_t>(shape[i], 1);
    return true;
  }
  // Walk from the back over maximal runs of old axes that lie in memory as one axis; each run must
  // be covered by a whole number of new axes.
  size_t next = shape.size();
  for (size_t i = shape_.size(); i-- > 0;) {
    int64_t run = shape_[i];
    int64_t stride = strides_[i];
    while (i > 0 && (shape_[i - 1] == 1 || run == 1 || strides_[i - 1] == run * stride)) {
      if (run == 1) stride = strides_[i - 1];
      run *= shape_[i - 1];
      --i;
    }
    int64_t covered = 1;
    while (next > 0 && (covered < run || shape[next - 1] == 1)) {
      strides[next - 1] = stride * covered;
      covered *= shape[next - 1];
      --next;
    }
    if (covered != run) return false;
  }
  return true;
}

Tensor Tensor::view(Shape shape) const {
  shape = resolve(std::move(shape), "view");
  Shape strides;
  if (!view_strides(shape, strides))
    throw Error("view cannot show shape {} without copying", shape_to_string(shape))
        .note("tensor : {}, strides {}", type_string(), shape_to_string(strides_))
        .help("use .reshape(), which copies where it has to");
  return with(0, std::move(shape), std::move(strides));
}

Tensor Tensor::reshape(Shape shape) const {
  shape = resolve(std::move(shape), "reshape");
  Shape strides;
  if (!view_strides(shape, strides)) return clone().view(std::move(shape));
  return with(0, std::move(shape), std::move(strides));
}

Tensor Tensor::transpose(int64_t a, int64_t b) const {
  const size_t i = as_size(checked_axis(a, "transpose"));
  const size_t j = as_size(checked_axis(b, "transpose"));
  Shape shape = shape_, strides = strides_;
  std::swap(shape[i], shape[j]);
  std::swap(strides[i], strides[j]);
  return with(0, std::move(shape), std::move(strides));
}

Tensor Tensor::t() const {
  if (dim() != 2)
    throw Error("t() needs a matrix but the tensor has {} axes", dim())
        .note("tensor : {}", type_string())
        .help("use transpose(a, b) and name the axes");
  return transpose(0, 1);
}

Tensor Tensor::unsqueeze(int64_t axis) const {
  const int64_t place = axis < 0 ? axis + dim() + 1 : axis;
  if (place < 0 || place > dim())
    throw Error("unsqueeze got axis {} but the tensor has {} axes", axis, dim())
        .note("tensor : {}", type_string())
        .help("use an axis from {} to {}", -dim() - 1, dim());
  Shape shape = shape_, strides = strides_;
  shape.insert(shape.begin() + place, 1);
  strides.insert(strides.begin() + place,
                 place < dim() ? shape_[as_size(place)] * strides_[as_size(place)] : 1);
  return with(0, std::move(shape), std::move(strides));
}

Tensor Tensor::squeeze(int64_t axis) const {
  const int64_t place = checked_axis(axis, "squeeze");
  if (shape_[as_size(place)] != 1)
    throw Error("squeeze got axis {}, whose size is {} and not 1", axis, shape_[as_size(place)])
        .note("tensor : {}", type_string())
        .help("use select(axis, index) to pick one index of an axis");
  return select(place, 0);
}

Tensor Tensor::squeeze() const {
  Shape shape, strides;
  for (size_t i = 0; i < shape_.size(); ++i) {
    if (shape_[i] == 1) continue;
    shape.push_back(shape_[i]);
    strides.push_back(strides_[i]);
  }
  return with(0, std::move(shape), std::move(strides));
}

Tensor Tensor::narrow(int64_t axis, int64_t start, int64_t length) const {
  const size_t i = as_size(checked_axis(axis, "narrow"));
  if (start < 0 || length < 0 || start > shape_[i] || length > shape_[i] - start)
    throw Error("narrow got {} indices from {} on axis {}, whose size is {}", length, start, axis,
                shape_[i])
        .note("tensor : {}", type_string())
        .help("keep 0 <= start, 0 <= length and start + length <= {}", shape_[i]);
  Shape shape = shape_;
  shape[i] = length;
  return with(start * strides_[i], std::move(shape), strides_);
}

Tensor Tensor::select(int64_t axis, int64_t index) const {
  const size_t i = as_size(checked_axis(axis, "select"));
  const int64_t k = index < 0 ? index + shape_[i] : index;
  if (k < 0 || k >= shape_[i])
    throw Error("select got index {} on axis {}, whose size is {}", index, axis, shape_[i])
        .note("tensor : {}", type_string())
        .help("use an index less than the size of the axis");
  Shape shape = shape_, strides = strides_;
  shape.erase(shape.begin() + static_cast<int64_t>(i));
  strides.erase(strides.begin() + static_cast<int64_t>(i));
  return with(k * strides_[i], std::move(shape), std::move(strides));
}

Tensor Tensor::take_rows(std::span<const int64_t> rows) const {
  checked_axis(0, "take_rows");
  Shape shape = shape_;
  shape[0] = static_cast<int64_t>(rows.size());
  Tensor result = empty(std::move(shape), dtype_);
  take_rows_into(rows, result);
  return result;
}

void Tensor::take_rows_into(std::span<const int64_t> rows, Tensor& out) const {
  checked_axis(0, "take_rows");
  const bool fits = out.dtype_ == dtype_ && out.dim() == dim() && out.is_contiguous() &&
                    std::equal(shape_.begin() + 1, shape_.end(), out.shape_.begin() + 1) &&
                    out.shape_[0] >= static_cast<int64_t>(rows.size());
  if (!fits)
    throw Error("take_rows of {} rows does not fit its target", rows.size())
        .note("from : {}", type_string())
        .note("into : {}{}", out.type_string(), out.is_contiguous() ? "" : ", not contiguous")
        .help("the target needs the same dtype and row shape, enough rows and C order");
  SINTER_CHECK(out.buffer_ != buffer_ || buffer_ == nullptr, "take_rows into its own source");
  // Rows that are contiguous in themselves may still lie apart.
  const Tensor source = shape_[0] > 0 && select(0, 0).is_contiguous() ? *this : contiguous();
  const int64_t row_elements = shape_[0] == 0 ? 0 : numel_ / shape_[0];
  const size_t row_bytes = as_size(row_elements) * dtype_size(dtype_);
  const int64_t pitch = source.strides_[0] * static_cast<int64_t>(dtype_size(dtype_));
  const auto* from = static_cast<const std::byte*>(source.first_);
  auto* to = static_cast<std::byte*>(out.first_);
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t row = rows[i] < 0 ? rows[i] + shape_[0] : rows[i];
    if (row < 0 || row >= shape_[0])
      throw Error("take_rows got row {} but the tensor has {} rows", rows[i], shape_[0])
          .note("tensor : {}", type_string())
          .help("use rows from 0 to {}", shape_[0] - 1);
    if (row_bytes != 0) detail::copy_row(to + i * row_bytes, from + row * pitch, row_bytes);
  }
}

}  // namespace sinter
