#include "runtime/tensor/strided_copy.h"

#include <cstring>

#include <sinter/error.h>

namespace sinter::detail {

namespace {

template <class Word>
void copy_axis(Word* to, const int64_t* to_strides, const Word* from, const int64_t* from_strides,
               std::span<const int64_t> shape) {
  if (shape.empty()) {
    *to = *from;
    return;
  }
  const int64_t count = shape[0], to_step = to_strides[0], from_step = from_strides[0];
  if (shape.size() == 1) {
    if (to_step == 1 && from_step == 1) {
      std::memcpy(to, from, static_cast<size_t>(count) * sizeof(Word));
    } else {
      for (int64_t i = 0; i < count; ++i) to[i * to_step] = from[i * from_step];
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i)
    copy_axis(to + i * to_step, to_strides + 1, from + i * from_step, from_strides + 1,
              shape.subspan(1));
}

}  // namespace

void copy_strided(void* to, const Shape& to_strides, const void* from, const Shape& from_strides,
                  const Shape& shape, size_t element_bytes) {
  for (int64_t d : shape)
    if (d == 0) return;
  const auto copy = [&]<class Word>(Word* target) {
    copy_axis(target, to_strides.data(), static_cast<const Word*>(from), from_strides.data(),
              std::span<const int64_t>(shape));
  };
  switch (element_bytes) {
    case 1:
      return copy(static_cast<uint8_t*>(to));
    case 4:
      return copy(static_cast<uint32_t*>(to));
    case 8:
      return copy(static_cast<uint64_t*>(to));
    default:
      SINTER_CHECK(false, "no dtype has {} bytes", element_bytes);
  }
}

void copy_row(void* to, const void* from, size_t bytes) {
  switch (bytes) {
    case 0:
      return;
    case 4:
      std::memcpy(to, from, 4);
      return;
    case 8:
      std::memcpy(to, from, 8);
      return;
    case 16:
      std::memcpy(to, from, 16);
      return;
    default:
      std::memcpy(to, from, bytes);
  }
}

}  // namespace sinter::detail
