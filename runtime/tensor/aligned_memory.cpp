#include "runtime/tensor/aligned_memory.h"

#include <algorithm>

#include <stdlib.h>
#include <sys/mman.h>

namespace sinter::detail {

AlignedMemory allocate_aligned(size_t bytes, size_t alignment) {
  constexpr size_t huge_page = size_t{2} << 20, least_huge = 2 * huge_page;
  const bool huge = bytes >= least_huge;
  if (huge) alignment = std::max(alignment, huge_page);
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, bytes) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  // Advice: where the system has no such pages, nothing is lost.
  if (huge) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return AlignedMemory(static_cast<unsigned char*>(memory));
}

}  // namespace sinter::detail
