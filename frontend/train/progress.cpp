#include "frontend/train/progress.h"

#include <algorithm>
#include <cstdio>

#include <fmt/core.h>
#include <unistd.h>

namespace sinter::detail {

namespace {

constexpr auto kBetweenDraws = std::chrono::milliseconds(100);
constexpr int kBarWidth = 10;

}  // namespace

ProgressLine::ProgressLine(Progress progress)
    : silent_(progress == Progress::silent),
      redraw_(progress == Progress::redraw ||
              (progress == Progress::automatic && ::isatty(STDOUT_FILENO) == 1)) {}

void ProgressLine::begin(int64_t epoch, int64_t epochs, int64_t first_batch, int64_t batches) {
  epoch_ = epoch;
  epochs_ = epochs;
  first_batch_ = first_batch;
  batches_ = batches;
  start_ = drawn_ = Clock::now();
}

std::string ProgressLine::line(int64_t done, const std::string& values) const {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const auto steps = static_cast<double>(std::max<int64_t>(done - first_batch_, 1));
  std::string bar;
  for (int i = 0; i < kBarWidth; ++i) bar += i * batches_ < done * kBarWidth ? "━" : "─";
  const auto width = fmt::formatted_size("{}", epochs_);
  return fmt::format("Epoch {:>{}}/{} {}/{} {} {:.1f}s {:.3g}ms/step - {}", epoch_, width, epochs_,
                     done, batches_, bar, seconds, 1e3 * seconds / steps, values);
}

void ProgressLine::update(int64_t batch, double loss) {
  if (silent_ || !redraw_ || Clock::now() - drawn_ < kBetweenDraws) return;
  drawn_ = Clock::now();
  // Back to the start of the line, and clear what is left of the old one.
  fmt::print("\r{}\033[K", line(batch, fmt::format("loss: {:.4f}", loss)));
  std::fflush(stdout);
}

void ProgressLine::end(const std::string& values) {
  if (silent_) return;
  fmt::print("{}{}{}\n", redraw_ ? "\r" : "", line(batches_, values), redraw_ ? "\033[K" : "");
  std::fflush(stdout);
}

}  // namespace sinter::detail
