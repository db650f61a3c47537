#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace sinter::detail {

/// static_cast where that is defined; false for a NaN or a number that an integer type cannot hold.
template <class From, class To>
bool convert(From from, To& to) {
  if constexpr (std::is_same_v<To, bool>) {
    to = from != From{};
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    // 2^31 and 2^63 are exact in every float type, the largest integers are not.
    constexpr From limit = -static_cast<From>(std::numeric_limits<To>::min());
    const From truncated = std::trunc(from);
    if (!(truncated >= -limit && truncated < limit)) return false;
    to = static_cast<To>(truncated);
  } else if constexpr (std::is_integral_v<To>) {
    to = static_cast<To>(from);
    return static_cast<int64_t>(to) == static_cast<int64_t>(from);
  } else {
    to = static_cast<To>(from);
  }
  return true;
}

}  // namespace sinter::detail
