// No cliffs: every width and every batch from 1 on, and where one costs more than a larger one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sinter::bench {

// What is varied: the two hidden layers of 16-w-w-10 with 64 rows a batch, or the rows of a batch
// of 16-64-64-10. Adam, mean squared error.
enum class Sweep { widths, batches };

// Microseconds a step for 1, 2, ..., up_to: the least of `rounds` passes over all of them.
std::vector<double> time_sweep(Sweep sweep, int64_t up_to, int rounds, int threads);

// A size that takes longer than one up to eight larger, worst first.
struct Cliff {
  int64_t size, larger;
  double us, larger_us;
  double ratio() const { return us / larger_us; }
};
std::vector<Cliff> cliffs(const std::vector<double>& us);

void print_sweep(Sweep sweep, const std::vector<double>& us);

}  // namespace sinter::bench
