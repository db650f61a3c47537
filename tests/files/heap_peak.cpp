// Every allocation of the process is counted: by hooks of AddressSanitizer where it owns malloc,
// else by a malloc of our own around that of the C library, which lets a program define it.
#include "tests/files/heap_peak.h"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

#include <malloc.h>

#ifdef __SANITIZE_ADDRESS__
// From compiler-rt's sanitizer/allocator_interface.h, which GCC 12 leaves out beside its libasan.
extern "C" {
size_t __sanitizer_get_allocated_size(const volatile void* memory);
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, size_t),
                                              void (*on_free)(const volatile void*));
}
#endif

namespace {

std::atomic<size_t> in_use{0}, peak{0};

void add(size_t bytes) {
  const size_t now = in_use.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  size_t most = peak.load(std::memory_order_relaxed);
  while (most < now && !peak.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
  }
}

void remove(size_t bytes) { in_use.fetch_sub(bytes, std::memory_order_relaxed); }

}  // namespace

#ifdef __SANITIZE_ADDRESS__

namespace {

void on_malloc(const volatile void*, size_t size) { add(size); }
void on_free(const volatile void* memory) {
  if (memory != nullptr) remove(__sanitizer_get_allocated_size(memory));
}

// What was allocated before is freed after, but never within what is measured.
const int installed = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);

}  // namespace

#else

extern "C" {

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

static void* counted(void* memory) {
  if (memory != nullptr) add(malloc_usable_size(memory));
  return memory;
}

void* malloc(size_t size) { return counted(__libc_malloc(size)); }
void* calloc(size_t count, size_t size) { return counted(__libc_calloc(count, size)); }
void* realloc(void* old, size_t size) {
  if (old != nullptr) remove(malloc_usable_size(old));
  return counted(__libc_realloc(old, size));
}
void* memalign(size_t alignment, size_t size) { return counted(__libc_memalign(alignment, size)); }
void* aligned_alloc(size_t alignment, size_t size) {
  return counted(__libc_memalign(alignment, size));
}
int posix_memalign(void** out, size_t alignment, size_t size) {
  *out = counted(__libc_memalign(alignment, size));
  return *out ? 0 : ENOMEM;
}
void free(void* memory) {
  if (memory != nullptr) remove(malloc_usable_size(memory));
  __libc_free(memory);
}

}  // extern "C"

#endif

namespace sinter::files {

size_t heap_bytes() { return in_use.load(); }
size_t heap_peak() { return peak.load(); }
void reset_heap_peak() { peak = in_use.load(); }

}  // namespace sinter::files
