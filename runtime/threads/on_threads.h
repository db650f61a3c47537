#pragma once

#include <system_error>
#include <thread>
#include <vector>

#include "runtime/threads/signals_blocked.h"

namespace sinter::detail {

/// Calls f(0), ..., f(count - 1) at the same time: the first on this thread, each other on a new
/// one, which takes about 20 us to start, or on this one if the system refuses more. f must not
/// throw.
template <class F>
void on_threads(int count, const F& f) {
  std::vector<std::jthread> others;
  int made = 1;
  if (count > 1) {
    const SignalsBlocked blocked;
    try {
      for (; made < count; ++made) others.emplace_back([&f, i = made] { f(i); });
    } catch (const std::system_error&) {
    }
  }
  f(0);
  for (int i = made; i < count; ++i) f(i);
}

}  // namespace sinter::detail
