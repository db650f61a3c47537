#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace sinter::detail {

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};
using AlignedMemory = std::unique_ptr<unsigned char, FreeMemory>;

/// `bytes` that start at a multiple of `alignment`, a power of two from 8 on; null if there are
/// none. From 4 MB on they start at a huge page and ask for such pages: a sweep over weights then
/// needs one translation of addresses where it needed 512.
AlignedMemory allocate_aligned(size_t bytes, size_t alignment);

}  // namespace sinter::detail
