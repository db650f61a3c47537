#pragma once

#include <sinter/tensor.h>

namespace sinter::detail {

/// Copies shape-many elements between two views; strides in elements. The views do not overlap.
void copy_strided(void* to, const Shape& to_strides, const void* from, const Shape& from_strides,
                  const Shape& shape, size_t element_bytes);

/// memcpy of small rows without the call.
void copy_row(void* to, const void* from, size_t bytes);

}  // namespace sinter::detail
