#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <sinter/error.h>
#include <sinter/tensor.h>

#include "runtime/tensor/aligned_memory.h"
#include "runtime/tensor/convert.h"
#include "runtime/tensor/dispatch.h"
#include "runtime/tensor/strided_copy.h"

namespace sinter {

namespace {

// The deleter of buffers that a tensor has allocated, which tells them from wrapped memory.
struct Free : detail::FreeMemory {
  size_t bytes;
};

std::shared_ptr<void> allocate(size_t bytes) {
  constexpr size_t line_bytes = 64;
  if (bytes == 0) return nullptr;
  detail::AlignedMemory memory = detail::allocate_aligned(bytes, line_bytes);
  if (memory == nullptr)
    throw Error("out of memory: a tensor needs {} bytes", bytes)
        .help("use a smaller shape or batch");
  return {memory.release(), Free{{}, bytes}};
}

// A shape without elements may name sizes whose product no integer holds; nothing is read by
// strides then, and any will do.
Shape dense_strides(const Shape& shape) {
  Shape strides(shape.size(), 1);
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return strides;
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

void check_count(size_t count, const Shape& shape) {
  if (shape_numel(shape) != static_cast<int64_t>(count))
    throw Error("{} values do not fill shape {}", count, shape_to_string(shape))
        .help("the shape must have {} elements but has {}", count, shape_numel(shape));
}

void check_same_shape(const Tensor& a, const Tensor& b, const char* what) {
  if (a.shape() != b.shape())
    throw Error("{} needs two tensors of the same shape", what)
        .note("first  : {}", a.type_string())
        .note("second : {}", b.type_string())
        .help("reshape one of them");
}

}  // namespace

std::string shape_to_string(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape.begin(), shape.end(), ", "));
}

int64_t shape_numel(std::span<const int64_t> shape) {
  int64_t numel = 1;
  bool overflow = false;
  for (int64_t d : shape) {
    if (d < 0)
      throw Error("a dimension is negative in shape {}", shape_to_string(shape))
          .help("dimensions are 0 or more");
    // A later zero does not excuse an overflow before it.
    overflow |= d != 0 && __builtin_mul_overflow(numel, d, &numel);
    if (d == 0) numel = 0;
  }
  if (overflow || numel > std::numeric_limits<int64_t>::max() / 8)
    throw Error("shape {} has too many elements", shape_to_string(shape))
        .help("the elements of a tensor must take less than 2^63 bytes");
  return numel;
}

Tensor::Tensor() : shape_{0}, strides_{1} {}

Tensor::Tensor(std::initializer_list<detail::Literal<float>> rows) : Tensor(of<float>(rows)) {}

Tensor::Tensor(std::shared_ptr<void> buffer, void* first, DType dtype, Shape shape, Shape strides)
    : buffer_(std::move(buffer)),
      first_(first),
      numel_(shape_numel(shape)),
      dtype_(dtype),
      shape_(std::move(shape)),
      strides_(std::move(strides)) {}

Tensor Tensor::empty(Shape shape, DType dtype) {
  const auto numel = static_cast<size_t>(shape_numel(shape));
  auto buffer = allocate(numel * dtype_size(dtype));
  void* first = buffer.get();
  Shape strides = dense_strides(shape);
  return {std::move(buffer), first, dtype, std::move(shape), std::move(strides)};
}

Tensor Tensor::wrap_bytes(void* memory, size_t count, DType dtype, Shape shape,
                          std::shared_ptr<void> owner) {
  check_count(count, shape);
  // Of nobody's memory too: views of one buffer know each other by it.
  if (owner == nullptr) owner = {memory, [](void*) {}};
  Shape strides = dense_strides(shape);
  return {std::move(owner), memory, dtype, std::move(shape), std::move(strides)};
}

int64_t Tensor::size(int64_t axis) const {
  return shape_[static_cast<size_t>(checked_axis(axis, "size"))];
}

bool Tensor::is_contiguous() const {
  if (numel_ == 0) return true;
  int64_t expected = 1;
  for (size_t i = shape_.size(); i-- > 0;) {
    if (shape_[i] != 1 && strides_[i] != expected) return false;
    expected *= shape_[i];
  }
  return true;
}

std::string Tensor::type_string() const {
  return fmt::format("{}{}", dtype_, shape_to_string(shape_));
}

int64_t Tensor::checked_axis(int64_t axis, const char* what) const {
  const int64_t positive = axis < 0 ? axis + dim() : axis;
  if (positive < 0 || positive >= dim()) {
    Error error("{} got axis {} but the tensor has {} axes", what, axis, dim());
    error.note("tensor : {}", type_string());
    if (dim() == 0) throw error.help("a scalar has no axes; unsqueeze(0) gives it one");
    throw error.help("use an axis from {} to {}", -dim(), dim() - 1);
  }
  return positive;
}

void* Tensor::checked_data(DType wanted) const {
  if (wanted != dtype_)
    throw Error("data of {} was asked of a {} tensor", wanted, dtype_)
        .note("tensor : {}", type_string())
        .help("convert it first: .to(sinter::DType::{})",
              wanted == DType::boolean ? "boolean" : dtype_name(wanted));
  if (!is_contiguous())
    throw Error("data of a view whose elements are not in C order was asked for")
        .note("tensor : {}, strides {}", type_string(), shape_to_string(strides_))
        .help("copy it first: .contiguous()");
  return first_;
}

const void* Tensor::checked_item(DType wanted) const {
  if (numel_ != 1)
    throw Error("item() needs exactly one element but the tensor has {}", numel_)
        .note("tensor : {}", type_string())
        .help("choose an element with at({{i, j}})");
  return checked_data(wanted);
}

double Tensor::item() const {
  return detail::dispatch(dtype_, [&]<class T>(std::type_identity<T>) {
    return static_cast<double>(*static_cast<const T*>(checked_item(dtype_)));
  });
}

double Tensor::at(std::initializer_list<int64_t> index) const {
  return at(std::span<const int64_t>(index.begin(), index.size()));
}

double Tensor::at(std::span<const int64_t> index) const {
  bool good = index.size() == shape_.size();
  int64_t offset = 0;
  for (size_t i = 0; good && i < index.size(); ++i) {
    const int64_t k = index[i] < 0 ? index[i] + shape_[i] : index[i];
    good = k >= 0 && k < shape_[i];
    offset += k * strides_[i];
  }
  if (!good)
    throw Error("index {} is outside the tensor", shape_to_string(index))
        .note("tensor : {}", type_string())
        .help("give one index an axis, each less than the axis's size");
  return detail::dispatch(dtype_, [&]<class T>(std::type_identity<T>) {
    return static_cast<double>(static_cast<const T*>(first_)[offset]);
  });
}

Tensor Tensor::contiguous() const { return is_contiguous() ? *this : clone(); }

Tensor Tensor::clone() const {
  Tensor result = empty(shape_, dtype_);
  detail::copy_strided(result.first_, result.strides_, first_, strides_, shape_,
                       dtype_size(dtype_));
  return result;
}

Tensor Tensor::unshared() && {
  const Free* ours = std::get_deleter<Free>(buffer_);
  const bool whole = ours != nullptr && ours->bytes == nbytes() && is_contiguous();
  return whole && buffer_.use_count() == 1 ? std::move(*this) : clone();
}

void Tensor::copy_from(const Tensor& other) {
  if (other.shape_ != shape_ || other.dtype_ != dtype_)
    throw Error("copy_from needs a tensor of the same dtype and shape")
        .note("into : {}", type_string())
        .note("from : {}", other.type_string())
        .help("convert the source with .to() or .reshape()");
  // Two views of one buffer may overlap in any order.
  const bool overlaps = buffer_ == other.buffer_ && buffer_ != nullptr;
  const Tensor source = overlaps ? other.clone() : other;
  detail::copy_strided(first_, strides_, source.first_, source.strides_, shape_,
                       dtype_size(dtype_));
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  const Tensor source = contiguous();
  Tensor result = empty(shape_, dtype);
  detail::dispatch(dtype_, [&]<class From>(std::type_identity<From>) {
    detail::dispatch(dtype, [&]<class To>(std::type_identity<To>) {
      const From* from = source.data<From>();
      To* to = result.data<To>();
      for (int64_t i = 0; i < numel_; ++i)
        if (!detail::convert(from[i], to[i]))
          throw Error("element {} is {}, which {} cannot hold", i, from[i], dtype)
              .note("tensor : {}", type_string())
              .help("replace NaN and numbers out of range before converting");
    });
  });
  return result;
}

bool equal(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  const Tensor x = a.contiguous(), y = b.contiguous();
  return detail::dispatch(a.dtype(), [&]<class T>(std::type_identity<T>) {
    const T* p = x.data<T>();
    return std::equal(p, p + x.numel(), y.data<T>());
  });
}

bool allclose(const Tensor& a, const Tensor& b, double rtol, double atol) {
  check_same_shape(a, b, "allclose");
  const Tensor x = a.to(DType::f64).contiguous(), y = b.to(DType::f64).contiguous();
  const double* p = x.data<double>();
  const double* q = y.data<double>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    // An infinite difference would pass where the bound is infinite too.
    const bool finite = std::isfinite(p[i]) && std::isfinite(q[i]);
    if (p[i] != q[i] && !(finite && std::abs(p[i] - q[i]) <= atol + rtol * std::abs(q[i])))
      return false;
  }
  return true;
}

uint64_t hash_tensor(const Tensor& tensor, uint64_t hash) {
  const auto dtype = static_cast<unsigned char>(tensor.dtype());
  hash = hash_bytes(&dtype, 1, hash);
  hash = hash_bytes(tensor.shape().data(), tensor.shape().size() * sizeof(int64_t), hash);
  const Tensor dense = tensor.contiguous();
  return hash_bytes(dense.raw(), dense.nbytes(), hash);
}

namespace detail {

Tensor tensor_from_bytes(const void* bytes, size_t count, DType dtype, Shape shape) {
  check_count(count, shape);
  Tensor result = Tensor::empty(std::move(shape), dtype);
  if (count != 0) std::memcpy(result.raw(), bytes, result.nbytes());
  return result;
}

void throw_ragged(const std::string& path, const std::string& got, const std::string& expected) {
  throw Error("ragged tensor literal: {} has {} where {} were expected", path, got, expected)
      .help("give all rows the length of the first");
}

}  // namespace detail

}  // namespace sinter
