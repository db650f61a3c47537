#include "bench/timing.h"

#include <algorithm>
#include <chrono>

namespace sinter::bench {

namespace {

using Clock = std::chrono::steady_clock;
constexpr double kBlockSeconds = 0.02;

double seconds_of(const std::function<void()>& call, int64_t times) {
  const Clock::time_point start = Clock::now();
  for (int64_t i = 0; i < times; ++i) call();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

Timing time_blocks(const std::function<void()>& call, int64_t steps_per_call, int blocks) {
  call();
  int64_t times = 1;
  // The last trial is as long as a block, and warms up for them.
  for (double s = 0; (s = seconds_of(call, times)) < kBlockSeconds;) {
    times =
        static_cast<int64_t>(double(times) * std::clamp(kBlockSeconds / s * 1.1, 1.2, 10.0)) + 1;
  }
  Timing out;
  for (int i = 0; i < blocks; ++i) {
    out.us.push_back(seconds_of(call, times) / double(times * steps_per_call) * 1e6);
  }
  return out;
}

double Timing::median() const {
  std::vector<double> sorted = us;
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  return sorted.size() % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double Timing::min() const { return *std::min_element(us.begin(), us.end()); }

}  // namespace sinter::bench
