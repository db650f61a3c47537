// The reference meaning of ops that are not elementwise: loops over plain arrays, templated on the
// scalar (f32, f64, dual numbers), written for reading, not for speed.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/dual.h"
#include "ir/graph.h"

namespace sinter::ir {

// Values of one tensor in row-major order. Float dtypes use `f`, the others (bool as 0 and 1) `i`.
template <class T>
struct Array {
  DType dtype = DType::f32;
  std::vector<int64_t> dims;
  std::vector<T> f;
  std::vector<int64_t> i;

  Array() = default;
  Array(DType d, std::vector<int64_t> shape) : dtype(d), dims(std::move(shape)) {
    (is_float(dtype) ? f.resize(size()) : i.resize(size()));
  }
  size_t size() const {
    size_t count = 1;
    for (int64_t d : dims) count *= static_cast<size_t>(d);
    return count;
  }
  bool floats() const { return is_float(dtype); }
};

// Integer arithmetic wraps around: done on unsigned numbers, and cut to 32 bits for i32.
inline int64_t wrapped(uint64_t value, DType dtype) {
  return dtype == DType::i32 ? int64_t{static_cast<int32_t>(static_cast<uint32_t>(value))}
                             : static_cast<int64_t>(value);
}
inline int64_t wrapped_sum(int64_t a, int64_t b, DType dtype) {
  return wrapped(static_cast<uint64_t>(a) + static_cast<uint64_t>(b), dtype);
}
inline int64_t wrapped_product(int64_t a, int64_t b, DType dtype) {
  return wrapped(static_cast<uint64_t>(a) * static_cast<uint64_t>(b), dtype);
}

template <class T>
struct EvalArgs {
  const Op& op;
  std::vector<const Array<T>*> operands;
  Array<T>& result;  // allocated and zero
  int64_t n;
};

// Built from one generic lambda `[]<class T>(EvalArgs<T>& a) { ... }`.
struct EvalRule {
  void (*f32)(EvalArgs<float>&) = nullptr;
  void (*f64)(EvalArgs<double>&) = nullptr;
  void (*dual)(EvalArgs<Dual>&) = nullptr;

  EvalRule() = default;
  template <class F>
  EvalRule(F)  // NOLINT(google-explicit-constructor)
      : f32([](EvalArgs<float>& a) { F{}(a); }),
        f64([](EvalArgs<double>& a) { F{}(a); }),
        dual([](EvalArgs<Dual>& a) { F{}(a); }) {}

  explicit operator bool() const { return f32 != nullptr; }
  void operator()(EvalArgs<float>& a) const { f32(a); }
  void operator()(EvalArgs<double>& a) const { f64(a); }
  void operator()(EvalArgs<Dual>& a) const { dual(a); }
};

}  // namespace sinter::ir
