#pragma once

#include <type_traits>

#include <sinter/dtype.h>
#include <sinter/error.h>

namespace sinter::detail {

/// Calls f(std::type_identity<T>{}) with the C++ type of `dtype`.
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(std::type_identity<float>{});
    case DType::f64:
      return f(std::type_identity<double>{});
    case DType::i32:
      return f(std::type_identity<int32_t>{});
    case DType::i64:
      return f(std::type_identity<int64_t>{});
    case DType::boolean:
      return f(std::type_identity<bool>{});
  }
  throw InternalError("dtype is known", __FILE__, __LINE__, "");
}

}  // namespace sinter::detail
