// The floating-point mode of compiled code: denormals count as zero. A compiled function sets it
// and restores the caller's mode by itself; whoever calls many of them sets it once around all.
#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
#endif

namespace sinter {

class DenormalsAreZero {
 public:
#if defined(__x86_64__) || defined(__i386__)
  DenormalsAreZero() : saved_(_mm_getcsr()) {
    constexpr unsigned flush_to_zero = 0x8000, denormals_are_zero = 0x0040;
    _mm_setcsr(saved_ | flush_to_zero | denormals_are_zero);
  }
  ~DenormalsAreZero() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;

 public:
#elif defined(__aarch64__)
  DenormalsAreZero() {
    constexpr uint64_t flush_to_zero = uint64_t{1} << 24;
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" : : "r"(saved_ | flush_to_zero));
  }
  ~DenormalsAreZero() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }

 private:
  uint64_t saved_;

 public:
#else
  DenormalsAreZero() {}
  ~DenormalsAreZero() {}
#endif
  DenormalsAreZero(const DenormalsAreZero&) = delete;
  DenormalsAreZero& operator=(const DenormalsAreZero&) = delete;
};

}  // namespace sinter
