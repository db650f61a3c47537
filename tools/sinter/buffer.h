// Memory that compiled code reads and writes, filled from the interpreter's arrays and back.
#pragma once

#include <cstdint>

#include "ir/eval.h"
#include "ir/type.h"
#include "runtime/tensor/aligned_memory.h"

namespace sinter::command {

// Contiguous elements of one tensor for n rows, aligned at 64 bytes. Every byte starts as 0xFF (NaN
// for floats), and so do the guards around the elements: an element that is never written shows,
// and so does a write past either end.
class Buffer {
 public:
  Buffer(const ir::Type& type, int64_t n);

  void* data() const { return data_.get() + kGuard; }
  void write(const ir::Array<double>& array);
  ir::Array<double> read() const;
  // Whether the bytes before and behind the elements are as they were.
  bool guards_hold() const;

 private:
  static constexpr size_t kGuard = 64;

  ir::Type type_;
  int64_t n_;
  size_t bytes_, allocated_;
  detail::AlignedMemory data_;
};

}  // namespace sinter::command
