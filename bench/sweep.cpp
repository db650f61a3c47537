#include "bench/sweep.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include <fmt/core.h>

#include "bench/workloads.h"

namespace sinter::bench {

namespace {

Workload workload_of(int64_t width, int64_t batch) {
  Workload out{};
  out.name = fmt::format("16-{0}-{0}-10, {1} rows", width, batch);
  out.sizes = {16, width, width, 10};
  out.batch = batch;
  return out;
}

struct Training {
  Training(const Workload& workload, int threads)
      : data(make_data(workload)),
        net(make_net(workload)),
        trainer(net, loss_of(false), make_optimizer("adam"),
                {.max_batch = workload.batch, .threads = threads}) {}
  Data data;
  Mlp net;
  Trainer trainer;
};

// The least of a few short blocks; the first, which wakes and warms, is not counted.
double least_us(Trainer& trainer, const Tensor& x, const Tensor& y) {
  using Clock = std::chrono::steady_clock;
  constexpr double block_us = 500;
  constexpr int blocks = 5;
  double least = 1e300;
  int64_t count = 4;
  for (int i = 0; i <= blocks; ++i) {
    const Clock::time_point begin = Clock::now();
    trainer.steps(x, y, {.count = count});
    const double us = std::chrono::duration<double, std::micro>(Clock::now() - begin).count() /
                      static_cast<double>(count);
    if (i > 0) least = std::min(least, us);
    count = std::clamp<int64_t>(static_cast<int64_t>(block_us / us), 1, 2000);
  }
  return least;
}

const char* varied(Sweep sweep) { return sweep == Sweep::widths ? "width" : "batch"; }

}  // namespace

std::vector<double> time_sweep(Sweep sweep, int64_t up_to, int rounds, int threads) {
  std::vector<double> out(static_cast<size_t>(up_to), 1e300);
  const auto take = [&](int64_t size, double us) {
    double& least = out[static_cast<size_t>(size - 1)];
    least = std::min(least, us);
  };
  constexpr int64_t rows = 64, width = 64;
  // All nets first: passes that lie apart in time meet the machine in different moods.
  std::vector<std::unique_ptr<Training>> trainings;
  if (sweep == Sweep::widths) {
    for (int64_t size = 1; size <= up_to; ++size) {
      trainings.push_back(std::make_unique<Training>(workload_of(size, rows), threads));
    }
  } else {
    trainings.push_back(std::make_unique<Training>(workload_of(width, up_to), threads));
  }
  for (int round = 0; round < rounds; ++round) {
    for (int64_t size = 1; size <= up_to; ++size) {
      if (sweep == Sweep::widths) {
        Training& t = *trainings[static_cast<size_t>(size - 1)];
        take(size, least_us(t.trainer, t.data.x, t.data.y));
      } else {
        Training& t = *trainings[0];
        take(size, least_us(t.trainer, t.data.x.rows(0, size), t.data.y.rows(0, size)));
      }
    }
  }
  return out;
}

std::vector<Cliff> cliffs(const std::vector<double>& us) {
  constexpr size_t near = 8;
  std::vector<Cliff> out;
  for (size_t i = 0; i < us.size(); ++i) {
    const auto last = us.begin() + static_cast<long>(std::min(us.size(), i + 1 + near));
    const auto least = std::min_element(us.begin() + static_cast<long>(i), last);
    if (*least == us[i]) continue;
    out.push_back(
        {static_cast<int64_t>(i + 1), static_cast<int64_t>(least - us.begin() + 1), us[i], *least});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Cliff& a, const Cliff& b) { return a.ratio() > b.ratio(); });
  return out;
}

void print_sweep(Sweep sweep, const std::vector<double>& us) {
  fmt::print("us a step by {}:\n", varied(sweep));
  constexpr size_t per_line = 10;
  for (size_t i = 0; i < us.size(); i += per_line) {
    fmt::print("{:>5} ", i + 1);
    for (size_t j = i; j < std::min(us.size(), i + per_line); ++j) fmt::print(" {:>8.2f}", us[j]);
    fmt::print("\n");
  }
  const std::vector<Cliff> found = cliffs(us);
  if (found.empty()) {
    fmt::print("no {} takes longer than a larger one\n", varied(sweep));
    return;
  }
  fmt::print("longer than a larger one, the worst of {}:\n", found.size());
  for (size_t i = 0; i < std::min<size_t>(found.size(), 10); ++i) {
    const Cliff& c = found[i];
    fmt::print("  {} {}: {:.2f} us, {}: {:.2f} us, {:.2f}x\n", varied(sweep), c.size, c.us,
               c.larger, c.larger_us, c.ratio());
  }
}

}  // namespace sinter::bench
