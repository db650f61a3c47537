#pragma once

#include <string>

#include <sinter/tensor.h>

namespace sinter {

/// Writes NPY version 1.0 (little endian, C order, data at a multiple of 64 bytes). A crash leaves
/// the old file or the new one. Error if the file cannot be written.
void save_npy(const std::string& path, const Tensor& tensor);

/// Reads NPY versions 1 to 3, C or Fortran order, of little-endian f4, f8, i4, i8 and b1. The
/// result is contiguous. Everything is checked against the length of the file before memory is
/// taken; Error with the byte offset for a file that is truncated, too long, or not NPY, and for
/// any other dtype (objects, which are programs, included).
Tensor load_npy(const std::string& path);

}  // namespace sinter
