#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <fmt/format.h>

#include <sinter/dtype.h>
#include <sinter/fnv.h>

namespace sinter {

class Generator;

using Shape = std::vector<int64_t>;

/// "[64, 9]".
std::string shape_to_string(std::span<const int64_t> shape);
/// The product of the dimensions. Error if a dimension is negative or the product overflows.
int64_t shape_numel(std::span<const int64_t> shape);

namespace detail {
/// One level of a braced literal: a number, or a list of literals.
template <class T>
struct Literal {
  template <class U>
    requires std::is_arithmetic_v<U>
  Literal(U number) : value(static_cast<T>(number)) {}
  Literal(std::initializer_list<Literal> list) : is_list(true), items(list) {}

  T value{};
  bool is_list = false;
  std::vector<Literal> items;
};
}  // namespace detail

/// An n-dimensional array: a dtype, a shape and a view of a shared, 64-byte aligned buffer. Copying
/// a Tensor copies the handle, as in PyTorch; clone() copies the data. There is no arithmetic on
/// tensors: math goes through the compiler. A negative axis or index counts from the end. A wrong
/// axis, index, shape or dtype throws Error with the shapes.
class Tensor {
 public:
  /// f32[0].
  Tensor();
  /// Nested braces make an f32 tensor: Tensor{{1, 2}, {3, 4}} is f32[2, 2]. Error if ragged.
  Tensor(std::initializer_list<detail::Literal<float>> rows);
  /// The same in another dtype: Tensor::of<int64_t>({3, 1, 4}).
  template <class T>
  static Tensor of(std::initializer_list<detail::Literal<T>> rows);

  /// Copies `values`, in C order. Error if the shape has another number of elements.
  template <class T>
  static Tensor from(std::span<const T> values, Shape shape);
  template <class T>
  static Tensor from(const std::vector<T>& values, Shape shape) {
    return from(std::span<const T>(values), std::move(shape));
  }
  /// Rank 1.
  template <class T>
  static Tensor from(const std::vector<T>& values) {
    return from(values, {static_cast<int64_t>(values.size())});
  }
  /// One element, rank 0.
  template <class T>
  static Tensor scalar(T value) {
    return from(std::span<const T>(&value, 1), {});
  }
  /// The user's memory as a tensor, in C order and without a copy: the tensor and every view of it
  /// read and write there. The memory must stay in place as long as any of them is in use; an
  /// `owner` is kept alive until the last of them is gone. Error as for from().
  template <class T>
    requires(!std::is_const_v<T>)
  static Tensor wrap(std::span<T> memory, Shape shape, std::shared_ptr<void> owner = nullptr) {
    return wrap_bytes(memory.data(), memory.size(), dtype_of<T>, std::move(shape),
                      std::move(owner));
  }
  /// The elements of a vector that outlives the tensor, and keeps its size.
  template <class T>
  static Tensor wrap(std::vector<T>& values, Shape shape) {
    return wrap(std::span<T>(values), std::move(shape));
  }
  /// Takes the vector over.
  template <class T>
  static Tensor wrap(std::vector<T>&& values, Shape shape) {
    const auto owner = std::make_shared<std::vector<T>>(std::move(values));
    return wrap(std::span<T>(*owner), std::move(shape), owner);
  }
  /// Contents unspecified. The buffer is a whole number of 64-byte lines.
  static Tensor empty(Shape shape, DType dtype = DType::f32);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  /// In elements.
  const Shape& strides() const { return strides_; }
  int64_t dim() const { return static_cast<int64_t>(shape_.size()); }
  int64_t size(int64_t axis) const;
  int64_t numel() const { return numel_; }
  size_t nbytes() const { return static_cast<size_t>(numel_) * dtype_size(dtype_); }
  bool is_contiguous() const;
  /// "f32[64, 9]".
  std::string type_string() const;

  /// The elements in C order. Error if T is not the dtype or the view is not contiguous.
  template <class T>
  T* data() {
    return static_cast<T*>(checked_data(dtype_of<T>));
  }
  template <class T>
  const T* data() const {
    return static_cast<const T*>(checked_data(dtype_of<T>));
  }
  template <class T>
  std::span<T> span() {
    return {data<T>(), static_cast<size_t>(numel_)};
  }
  template <class T>
  std::span<const T> span() const {
    return {data<T>(), static_cast<size_t>(numel_)};
  }
  /// The first element's address, whatever the dtype and strides.
  void* raw() { return first_; }
  const void* raw() const { return first_; }

  /// The only element. Error unless numel() == 1.
  double item() const;
  /// The same without conversion. Error if T is not the dtype.
  template <class T>
  T item() const {
    return *static_cast<const T*>(checked_item(dtype_of<T>));
  }
  /// One element; an i64 beyond 2^53 is rounded.
  double at(std::initializer_list<int64_t> index) const;
  double at(std::span<const int64_t> index) const;

  /// Itself if contiguous, else a copy.
  Tensor contiguous() const;
  /// A contiguous copy.
  Tensor clone() const;
  /// A contiguous tensor whose buffer no other tensor has: this one if that is so, else a copy.
  Tensor unshared() &&;
  /// Converted as by static_cast (to bool: != 0); itself if the dtype is the same. Error if a NaN
  /// or a number out of range is to become an integer.
  Tensor to(DType dtype) const;

  /// The same data in another shape; one dimension may be -1. Error if the strides do not allow it.
  Tensor view(Shape shape) const;
  /// A view if possible, else a copy.
  Tensor reshape(Shape shape) const;
  /// A view with two axes exchanged.
  Tensor transpose(int64_t a, int64_t b) const;
  /// The transposed matrix, a view. Error unless dim() == 2.
  Tensor t() const;
  /// A view with a new axis of size 1 before `axis`; -1 appends.
  Tensor unsqueeze(int64_t axis) const;
  /// A view without the axis, which must have size 1.
  Tensor squeeze(int64_t axis) const;
  /// A view without all axes of size 1.
  Tensor squeeze() const;
  /// A view of [start, start + length) along `axis`.
  Tensor narrow(int64_t axis, int64_t start, int64_t length) const;
  /// A view of rows [begin, end) of the first axis.
  Tensor rows(int64_t begin, int64_t end) const { return narrow(0, begin, end - begin); }
  /// A view at one index of `axis`, which disappears.
  Tensor select(int64_t axis, int64_t index) const;
  /// A copy of these rows of the first axis, in this order.
  Tensor take_rows(std::span<const int64_t> rows) const;
  /// The same into the first rows of `out`, which is contiguous, of this dtype and row shape.
  void take_rows_into(std::span<const int64_t> rows, Tensor& out) const;

  /// Overwrites the elements. Error unless shape and dtype are the same.
  void copy_from(const Tensor& other);

  /// Printed as numpy prints it.
  std::string to_string() const;

 private:
  Tensor(std::shared_ptr<void> buffer, void* first, DType dtype, Shape shape, Shape strides);
  static Tensor wrap_bytes(void* memory, size_t count, DType dtype, Shape shape,
                           std::shared_ptr<void> owner);
  void* checked_data(DType wanted) const;
  const void* checked_item(DType wanted) const;
  int64_t checked_axis(int64_t axis, const char* what) const;
  Tensor with(int64_t offset, Shape shape, Shape strides) const;
  bool view_strides(const Shape& shape, Shape& strides) const;
  Shape resolve(Shape shape, const char* what) const;

  std::shared_ptr<void> buffer_;
  // Of the first element of this view; constness is the handle's, as for std::shared_ptr.
  void* first_ = nullptr;
  int64_t numel_ = 0;
  DType dtype_ = DType::f32;
  Shape shape_;
  Shape strides_;
};

Tensor zeros(Shape shape, DType dtype = DType::f32);
Tensor ones(Shape shape, DType dtype = DType::f32);
Tensor full(Shape shape, double value, DType dtype = DType::f32);
/// 0, 1, ..., count - 1.
Tensor arange(int64_t count, DType dtype = DType::f32);
/// start, start + step, ... before stop.
Tensor arange(double start, double stop, double step, DType dtype = DType::f32);
/// `count` evenly spaced numbers from lo to hi, both included, computed in f64.
Tensor linspace(double lo, double hi, int64_t count, DType dtype = DType::f32);

/// f32, uniform on [0, 1). The first form draws from default_generator().
Tensor rand(Shape shape);
Tensor rand(Shape shape, Generator& generator);
/// f32, standard normal.
Tensor randn(Shape shape);
Tensor randn(Shape shape, Generator& generator);
/// f32, normal around each element of `mean` (f32) with one standard deviation >= 0.
Tensor normal(const Tensor& mean, double std);
Tensor normal(const Tensor& mean, double std, Generator& generator);

/// Joined along an existing axis; all other sizes and the dtype are the same.
Tensor cat(std::initializer_list<Tensor> tensors, int64_t axis = 0);
Tensor cat(std::span<const Tensor> tensors, int64_t axis = 0);
/// Joined along a new axis; all shapes and the dtype are the same.
Tensor stack(std::initializer_list<Tensor> tensors, int64_t axis = 0);
Tensor stack(std::span<const Tensor> tensors, int64_t axis = 0);

/// Same dtype, shape and values (NaN differs from itself, -0 equals 0).
bool equal(const Tensor& a, const Tensor& b);
/// abs(a - b) <= atol + rtol * abs(b) everywhere, in f64; equal infinities are close. Error unless
/// the shapes are the same.
bool allclose(const Tensor& a, const Tensor& b, double rtol = 1e-5, double atol = 1e-8);
/// Over dtype, shape and the bytes of the elements in C order: equal only for equal bits.
uint64_t hash_tensor(const Tensor& tensor, uint64_t hash = fnv64_basis);

std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

namespace detail {
Tensor tensor_from_bytes(const void* bytes, size_t count, DType dtype, Shape shape);
/// Reports the row of a ragged literal. `path` is "row 1", "row 1, row 0", ...
[[noreturn]] void throw_ragged(const std::string& path, const std::string& got,
                               const std::string& expected);

template <class T>
void flatten(const Literal<T>& node, const Shape& shape, size_t depth, const std::string& path,
             std::vector<T>& out) {
  const auto describe = [](const Literal<T>& l) {
    return l.is_list ? fmt::format("{} elements", l.items.size()) : std::string("a number");
  };
  if (depth == shape.size()) {
    if (node.is_list) throw_ragged(path, describe(node), "a number");
    out.push_back(node.value);
    return;
  }
  if (!node.is_list || static_cast<int64_t>(node.items.size()) != shape[depth])
    throw_ragged(path, describe(node), fmt::format("{} elements", shape[depth]));
  for (size_t i = 0; i < node.items.size(); ++i)
    flatten(node.items[i], shape, depth + 1,
            fmt::format("{}{}row {}", path, path.empty() ? "" : ", ", i), out);
}
}  // namespace detail

template <class T>
Tensor Tensor::of(std::initializer_list<detail::Literal<T>> rows) {
  const detail::Literal<T> root(rows);
  Shape shape;
  for (const auto* node = &root; node->is_list; node = &node->items.front()) {
    shape.push_back(static_cast<int64_t>(node->items.size()));
    if (node->items.empty()) break;
  }
  std::vector<T> values;
  detail::flatten(root, shape, 0, "", values);
  if constexpr (std::is_same_v<T, bool>) {
    const std::vector<char> bytes(values.begin(), values.end());
    return detail::tensor_from_bytes(bytes.data(), bytes.size(), DType::boolean, std::move(shape));
  } else {
    return detail::tensor_from_bytes(values.data(), values.size(), dtype_of<T>, std::move(shape));
  }
}

template <class T>
Tensor Tensor::from(std::span<const T> values, Shape shape) {
  return detail::tensor_from_bytes(values.data(), values.size(), dtype_of<T>, std::move(shape));
}

}  // namespace sinter

template <>
struct fmt::formatter<sinter::Tensor> : fmt::formatter<fmt::string_view> {
  template <class Context>
  auto format(const sinter::Tensor& tensor, Context& context) const {
    return fmt::formatter<fmt::string_view>::format(tensor.to_string(), context);
  }
};
