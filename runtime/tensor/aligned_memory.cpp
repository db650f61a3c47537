#include "runtime/tensor/aligned_memory.h"

#include <algorithm>

#include <sys/mman.h>

namespace sinter::detail {

AlignedMemory allocate_aligned(size_t bytes, size_t alignment) {
  constexpr size_t huge_page = size_t{2} << 20, least_huge = 2 * huge_page;
  const bool huge = bytes >= least_huge;
  if (huge) alignment = std::max(alignment, huge_page);
  const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  if (rounded < bytes) return nullptr;
  void* memory = std::aligned_alloc(alignment, rounded);
#ifdef MADV_HUGEPAGE
  // Advice: where the system has no such pages, nothing is lost.
  if (huge && memory) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
  return AlignedMemory(static_cast<unsigned char*>(memory));
}

}  // namespace sinter::detail
