#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <fmt/format.h>

namespace sinter {

enum class DType : uint8_t { f32, f64, i32, i64, boolean };

/// "f32", "f64", "i32", "i64", "bool".
constexpr std::string_view dtype_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::boolean:
      return "bool";
  }
  return "?";
}

/// The inverse of dtype_name; nothing for any other text.
constexpr std::optional<DType> dtype_from_name(std::string_view name) {
  for (DType d : {DType::f32, DType::f64, DType::i32, DType::i64, DType::boolean})
    if (dtype_name(d) == name) return d;
  return std::nullopt;
}

/// Bytes of one element; a bool takes one byte, 0 or 1.
constexpr size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::boolean:
      return 1;
  }
  return 0;
}

constexpr bool is_float(DType dtype) { return dtype == DType::f32 || dtype == DType::f64; }
constexpr bool is_int(DType dtype) { return dtype == DType::i32 || dtype == DType::i64; }

namespace detail {
template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::boolean;
};
}  // namespace detail

/// The dtype of a C++ type: float, double, int32_t, int64_t or bool.
template <class T>
inline constexpr DType dtype_of = detail::DTypeOf<T>::value;

}  // namespace sinter

template <>
struct fmt::formatter<sinter::DType> : fmt::formatter<fmt::string_view> {
  template <class Context>
  auto format(sinter::DType dtype, Context& context) const {
    auto name = sinter::dtype_name(dtype);
    return fmt::formatter<fmt::string_view>::format({name.data(), name.size()}, context);
  }
};
