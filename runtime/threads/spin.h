#pragma once

#include <sched.h>

namespace sinter::detail {

/// Tells the core that this is a spin loop.
inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Spins before it yields: about 1 ms where each thread has a core, so that waiting inside a step
/// makes no system call; next to nothing where threads share cores.
constexpr int spins_alone = 1 << 15;
constexpr int spins_shared = 32;

template <class Ready>
void spin_until(int spins, Ready ready) {
  for (int i = 0; !ready(); ++i) {
    if (i < spins) {
      pause();
    } else {
      ::sched_yield();
    }
  }
}

}  // namespace sinter::detail
