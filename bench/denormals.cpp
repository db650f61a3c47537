#include "bench/denormals.h"

#include <algorithm>
#include <chrono>

#include <fmt/core.h>

#include "bench/workloads.h"

namespace sinter::bench {

double print_denormals(int threads) {
  using Clock = std::chrono::steady_clock;
  Workload workload{};
  workload.sizes = {16, 64, 64, 10};
  workload.batch = 64;
  const Data data = make_data(workload);
  Mlp net = make_net(workload);
  Trainer trainer(net, loss_of(false), make_optimizer("adam", 1e-3), {.threads = threads});
  constexpr int64_t window = 200, windows = 10, at_once = 20;
  trainer.steps(data.x, data.y, {.count = window});
  const Tensor dead = zeros(data.x.shape());
  double least = 1e300, most = 0;
  fmt::print("steps with a dead first layer   us a step\n");
  for (int64_t w = 0; w < windows; ++w) {
    double of_window = 1e300;
    for (int64_t i = 0; i < window; i += at_once) {
      const Clock::time_point begin = Clock::now();
      trainer.steps(dead, data.y, {.count = at_once});
      const double us = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
      of_window = std::min(of_window, us / static_cast<double>(at_once));
    }
    fmt::print("{:>10} to {:>4} {:>25.2f}\n", w * window, (w + 1) * window, of_window);
    least = std::min(least, of_window);
    most = std::max(most, of_window);
  }
  fmt::print("the slowest 200 take {:.2f} times as long as the quickest\n", most / least);
  return most / least;
}

}  // namespace sinter::bench
