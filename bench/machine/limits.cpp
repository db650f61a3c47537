#include "bench/machine/limits.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <vector>

#include <fmt/format.h>
#include <sys/mman.h>

#include <sinter/error.h>
#include <sinter/thread_team.h>

#include "bench/machine/probes.h"

namespace sinter::bench {

namespace {

using Clock = std::chrono::steady_clock;
// Short repeats and many of them: on a busy machine some run undisturbed on all cores at once.
constexpr double kSeconds = 0.4e-3, kTotalSeconds = 30e-3;
constexpr int kLeastRepeats = 5;

// A mapping with its pages touched. Huge pages, so that the sweeps measure memory and not the TLB.
class Pages {
 public:
  explicit Pages(int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {
    void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw Error("no memory for the probes").help("free {} bytes", bytes_);
    madvise(at, bytes_, MADV_HUGEPAGE);
    data_ = static_cast<float*>(at);
    std::fill_n(data_, bytes_ / sizeof(float), 1.0f);
  }
  ~Pages() { munmap(data_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  float* data() { return data_; }

 private:
  size_t bytes_;
  float* data_;
};

std::array<int64_t, kLevels> cache_sizes() {
  std::array<int64_t, kLevels> out = {32 << 10, 512 << 10, 16 << 20, 0};
  for (int i = 0; i < 8; ++i) {
    const std::string folder = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", i);
    std::ifstream level_file(folder + "level"), type_file(folder + "type"),
        size_file(folder + "size");
    int level = 0;
    int64_t kib = 0;
    std::string type;
    if (!(level_file >> level) || !(type_file >> type) || !(size_file >> kib)) continue;
    if (level < 1 || level > 3 || type == "Instruction" || kib <= 0) continue;
    out[static_cast<size_t>(level - 1)] = kib << 10;
  }
  return out;
}

// Runs work(tid) on every thread of the team.
void run_all(ThreadTeam& team, std::function<void(int)> work) {
  team.run([](void* w, int tid, int) { (*static_cast<std::function<void(int)>*>(w))(tid); }, &work);
}

double seconds_of(ThreadTeam& team, const std::function<void(int)>& work) {
  const Clock::time_point start = Clock::now();
  run_all(team, work);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double least_seconds(ThreadTeam& team, double total, const std::function<void(int)>& work) {
  double least = seconds_of(team, work), spent = least;
  for (int i = 1; i < kLeastRepeats || spent < total; ++i) {
    const double seconds = seconds_of(team, work);
    least = std::min(least, seconds);
    spent += seconds;
  }
  return least;
}

// The best rate in units/s of work(tid, rounds), which does `units` for each round and thread.
double best_rate(ThreadTeam& team, double units, const std::function<void(int, int64_t)>& work) {
  int64_t rounds = 1;
  const auto least = [&](double total) {
    return least_seconds(team, total, [&](int tid) { work(tid, rounds); });
  };
  for (double seconds = 0; (seconds = least(0)) < kSeconds;) {
    const double factor = kSeconds / std::max(seconds, 1e-9) * 1.1;
    rounds = static_cast<int64_t>(double(rounds) * std::clamp(factor, 1.2, 8.0)) + 1;
  }
  return units * double(rounds) * team.size() / least(kTotalSeconds);
}

// The same where cores share nothing: each thread times itself, so that it does not matter whether
// another program keeps the threads from running at the same moment.
double best_private_rate(ThreadTeam& team, double units,
                         const std::function<void(int, int64_t)>& work) {
  const auto seconds_on = [&](int tid, int64_t rounds) {
    const Clock::time_point start = Clock::now();
    work(tid, rounds);
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  int64_t rounds = 1;
  while (std::min(seconds_on(0, rounds), seconds_on(0, rounds)) < kSeconds) rounds *= 2;
  // Far enough apart that no two threads write one line.
  std::vector<double> least(static_cast<size_t>(team.size()) * 8, 1e9);
  run_all(team, [&](int tid) {
    double& mine = least[static_cast<size_t>(tid) * 8];
    for (double spent = 0; spent < kTotalSeconds;) {
      const double seconds = seconds_on(tid, rounds);
      mine = std::min(mine, seconds);
      spent += seconds;
    }
  });
  double rate = 0;
  for (size_t i = 0; i < least.size(); i += 8) rate += units * double(rounds) / least[i];
  return rate;
}

Rates measure_rates(ThreadTeam& team, const std::array<int64_t, kLevels>& capacity, Pages& pages,
                    int64_t pages_bytes) {
  const Probes& p = host_probes();
  const int threads = team.size();
  // Far enough apart that no two threads write one line.
  std::vector<float> sinks(static_cast<size_t>(threads * kSinkFloats * 8), 0.25f);
  const auto sink = [&](int tid) { return sinks.data() + tid * kSinkFloats * 8; };
  const float* data = pages.data();

  Rates out;
  out.fma_registers = best_private_rate(team, double(p.fma_registers(1, sink(0))),
                                        [&](int tid, int64_t r) { p.fma_registers(r, sink(tid)); });
  out.fma_loads = best_private_rate(team, double(p.fma_loads(1, data, sink(0))),
                                    [&](int tid, int64_t r) { p.fma_loads(r, data, sink(tid)); });
  out.any_op = best_private_rate(team, double(p.fma_and_add(1, sink(0))),
                                 [&](int tid, int64_t r) { p.fma_and_add(r, sink(tid)); });

  for (size_t level = 0; level < kLevels; ++level) {
    int64_t bytes = capacity[level] / 2;
    if (level == kL3) bytes = std::min<int64_t>(bytes, 8 << 20) / threads;
    if (level == kDram) bytes = pages_bytes / threads;
    const int64_t count = bytes / 4 / 128 * 128;
    const auto rate = [&](Probes::Sweep sweep) {
      const auto best = level < kL3 ? best_private_rate : best_rate;
      return best(team, double(count) * 4, [&](int tid, int64_t r) {
        sweep(pages.data() + tid * (pages_bytes / 4 / threads), count, r, sink(tid));
      });
    };
    out.bandwidth[level] = {rate(p.read), rate(p.write), rate(p.rmw)};
  }
  return out;
}

double measure_barrier(ThreadTeam& team) {
  constexpr int kWaits = 1000;
  const auto wait = [&](int tid) {
    for (int i = 0; i < kWaits; ++i) sinter_barrier_wait(team.barrier(), tid);
  };
  return least_seconds(team, kTotalSeconds, wait) / kWaits;
}

Rates best_of(const Rates& a, const Rates& b) {
  Rates out = a;
  out.fma_registers = std::max(a.fma_registers, b.fma_registers);
  out.fma_loads = std::max(a.fma_loads, b.fma_loads);
  out.any_op = std::max(a.any_op, b.any_op);
  for (size_t i = 0; i < kLevels; ++i) {
    const Bandwidth &x = a.bandwidth[i], &y = b.bandwidth[i];
    out.bandwidth[i] = {std::max(x.read, y.read), std::max(x.write, y.write),
                        std::max(x.rmw, y.rmw)};
  }
  return out;
}

}  // namespace

Limits measure_limits(int threads) {
  Limits out;
  out.isa = host_probes().isa;
  out.cores = threads;
  out.capacity = cache_sizes();
  // Beyond the last cache, so that DRAM is what is measured.
  const int64_t bytes = std::clamp<int64_t>(2 * out.capacity[kL3], 64 << 20, 256 << 20);
  Pages pages(bytes);
  {
    ThreadTeam team(1);
    out.one = measure_rates(team, out.capacity, pages, bytes);
  }
  out.all = out.one;
  if (threads > 1) {
    ThreadTeam team(threads);
    out.all = measure_rates(team, out.capacity, pages, bytes);
    out.barrier = measure_barrier(team);
  }
  return out;
}

Limits best_of(const Limits& a, const Limits& b) {
  Limits out = a;
  out.one = best_of(a.one, b.one);
  out.all = best_of(a.all, b.all);
  out.barrier = std::min(a.barrier, b.barrier);
  return out;
}

}  // namespace sinter::bench
