// The line that fit() shows for an epoch, as Keras does.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <sinter/fit.h>

namespace sinter::detail {

class ProgressLine {
 public:
  explicit ProgressLine(Progress progress);

  void begin(int64_t epoch, int64_t epochs, int64_t first_batch, int64_t batches);
  // After a batch; redraws now and then, and only on a terminal.
  void update(int64_t batch, double loss);
  // "Epoch  1/10 63/63 ━━━━━━━━━━ 1.2s 19.0ms/step - loss: 0.3512 - accuracy: 0.9021".
  void end(const std::string& values);

 private:
  using Clock = std::chrono::steady_clock;
  std::string line(int64_t done, const std::string& values) const;

  bool silent_, redraw_;
  int64_t epoch_ = 0, epochs_ = 0, first_batch_ = 0, batches_ = 0;
  Clock::time_point start_, drawn_;
};

}  // namespace sinter::detail
