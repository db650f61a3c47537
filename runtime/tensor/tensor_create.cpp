#include <algorithm>
#include <cmath>

#include <sinter/error.h>
#include <sinter/random.h>
#include <sinter/tensor.h>
#include <sinter/thread_team.h>

#include "runtime/tensor/convert.h"
#include "runtime/tensor/dispatch.h"
#include "runtime/tensor/strided_copy.h"
#include "runtime/threads/on_threads.h"

namespace sinter {

namespace {

/// Fills with f(i), computed in f64.
template <class F>
Tensor fill(Shape shape, DType dtype, F f) {
  Tensor result = Tensor::empty(std::move(shape), dtype);
  detail::dispatch(dtype, [&]<class T>(std::type_identity<T>) {
    T* data = result.data<T>();
    for (int64_t i = 0; i < result.numel(); ++i) {
      const double value = f(i);
      if (!detail::convert(value, data[i]))
        throw Error("{} cannot hold {}", dtype, value).help("use a floating-point dtype");
    }
  });
  return result;
}

/// Fills with f of the first two words of each element's block.
template <class F>
Tensor draw(Shape shape, Generator& generator, F f) {
  constexpr int64_t together = 16;
  constexpr int64_t worth_a_thread = int64_t{1} << 15;  // 300 us
  const uint64_t step = generator.next_step();
  Tensor result = Tensor::empty(std::move(shape));
  float* data = result.data<float>();
  const int64_t count = result.numel();
  int64_t parts = std::max<int64_t>(count / worth_a_thread, 1);
  if (parts > 1) parts = std::min<int64_t>(parts, ThreadTeam::available_cores());
  detail::on_threads(static_cast<int>(parts), [&](int part) {
    const int64_t end = count * (part + 1) / parts;
    for (int64_t first = count * part / parts; first < end; first += together) {
      const auto words = random_blocks<together>(generator.seed(), generator.stream(), step,
                                                 static_cast<uint64_t>(first));
      const auto here = static_cast<size_t>(std::min(together, end - first));
      for (size_t i = 0; i < here; ++i)
        data[first + static_cast<int64_t>(i)] = f(words[0][i], words[1][i]);
    }
  });
  return result;
}

}  // namespace

Tensor zeros(Shape shape, DType dtype) { return full(std::move(shape), 0, dtype); }

Tensor ones(Shape shape, DType dtype) { return full(std::move(shape), 1, dtype); }

Tensor full(Shape shape, double value, DType dtype) {
  return fill(std::move(shape), dtype, [value](int64_t) { return value; });
}

Tensor arange(int64_t count, DType dtype) {
  return fill({count}, dtype, [](int64_t i) { return static_cast<double>(i); });
}

Tensor arange(double start, double stop, double step, DType dtype) {
  const double count = std::ceil((stop - start) / step);
  if (step == 0 || !std::isfinite(count) || count > 0x1p60)
    throw Error("arange from {} to {} by {} has no finite number of elements", start, stop, step)
        .help("use a finite step other than 0");
  return fill({std::max<int64_t>(0, static_cast<int64_t>(count))}, dtype,
              [=](int64_t i) { return start + static_cast<double>(i) * step; });
}

Tensor linspace(double lo, double hi, int64_t count, DType dtype) {
  if (count < 0) throw Error("linspace got {} elements", count).help("ask for 0 elements or more");
  const double intervals = static_cast<double>(std::max<int64_t>(count - 1, 1));
  const double step = (hi - lo) / intervals;
  return fill({count}, dtype, [=](int64_t i) {
    if (i > 0 && i == count - 1) return hi;
    // As numpy: a step that underflows to 0 is spread by dividing last.
    const double x = static_cast<double>(i);
    return step == 0 ? x / intervals * (hi - lo) + lo : x * step + lo;
  });
}

Tensor rand(Shape shape) { return rand(std::move(shape), default_generator()); }

Tensor rand(Shape shape, Generator& generator) {
  return draw(std::move(shape), generator,
              [](uint32_t a, uint32_t) { return uniform_from_bits(a); });
}

Tensor randn(Shape shape) { return randn(std::move(shape), default_generator()); }

Tensor randn(Shape shape, Generator& generator) {
  return draw(std::move(shape), generator, normal_from_bits);
}

Tensor normal(const Tensor& mean, double std) { return normal(mean, std, default_generator()); }

Tensor normal(const Tensor& mean, double std, Generator& generator) {
  if (!(std >= 0)) throw Error("normal got a standard deviation of {}", std).help("use 0 or more");
  const Tensor dense = mean.contiguous();
  const float* center = dense.data<float>();
  Tensor result = randn(mean.shape(), generator);
  float* data = result.data<float>();
  for (int64_t i = 0; i < result.numel(); ++i)
    data[i] = static_cast<float>(double{center[i]} + std * double{data[i]});
  return result;
}

Tensor cat(std::initializer_list<Tensor> tensors, int64_t axis) {
  return cat(std::span<const Tensor>(tensors.begin(), tensors.size()), axis);
}

Tensor cat(std::span<const Tensor> tensors, int64_t axis) {
  if (tensors.empty()) throw Error("cat got no tensors").help("give it at least one");
  const Tensor& first = tensors[0];
  // size() checks the axis.
  int64_t total = first.size(axis);
  const size_t place = static_cast<size_t>(axis < 0 ? axis + first.dim() : axis);
  for (size_t i = 1; i < tensors.size(); ++i) {
    Shape expected = first.shape();
    if (tensors[i].dim() == first.dim()) expected[place] = tensors[i].shape()[place];
    if (tensors[i].shape() != expected || tensors[i].dtype() != first.dtype())
      throw Error("cat along axis {} got tensors that do not fit together", axis)
          .note("tensor 0 : {}", first.type_string())
          .note("tensor {} : {}", i, tensors[i].type_string())
          .help("all dtypes and all sizes but that of axis {} must be the same", axis);
    total += expected[place];
  }
  Shape shape = first.shape();
  shape[place] = total;
  Tensor result = Tensor::empty(std::move(shape), first.dtype());
  int64_t start = 0;
  for (const Tensor& tensor : tensors) {
    const int64_t length = tensor.shape()[place];
    Tensor target = result.narrow(static_cast<int64_t>(place), start, length);
    detail::copy_strided(target.raw(), target.strides(), tensor.raw(), tensor.strides(),
                         tensor.shape(), dtype_size(tensor.dtype()));
    start += length;
  }
  return result;
}

Tensor stack(std::initializer_list<Tensor> tensors, int64_t axis) {
  return stack(std::span<const Tensor>(tensors.begin(), tensors.size()), axis);
}

Tensor stack(std::span<const Tensor> tensors, int64_t axis) {
  std::vector<Tensor> widened;
  widened.reserve(tensors.size());
  for (const Tensor& tensor : tensors) {
    if (tensor.shape() != tensors[0].shape())
      throw Error("stack got tensors of different shapes")
          .note("tensor 0 : {}", tensors[0].type_string())
          .note("tensor {} : {}", widened.size(), tensor.type_string())
          .help("use cat() to join along an axis that exists");
    widened.push_back(tensor.unsqueeze(axis));
  }
  return cat(widened, axis);
}

}  // namespace sinter
