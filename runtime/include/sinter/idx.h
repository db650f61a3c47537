#pragma once

#include <string>

#include <sinter/tensor.h>

namespace sinter {

/// Reads an IDX file (the format of MNIST), plain or gzipped, with a payload of u8, i8, i16, i32,
/// f32 or f64 (big endian), converted to `as`: pixels stay 0..255 in f32, labels are read as i64.
/// Sizes are checked against the length of the file before memory is taken, and inflating stops at
/// the declared size. Error with the path and the byte offset (in the inflated data) for a file
/// that is missing, truncated, too long or not IDX, and for a value that `as` cannot hold.
Tensor load_idx(const std::string& path, DType as = DType::f32);

}  // namespace sinter
