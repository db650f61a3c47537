// Times calls in blocks, as sinter_bench and the peers in C++ both do.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace sinter::bench {

// Microseconds per step of each timed block.
struct Timing {
  std::vector<double> us;
  double median() const;
  double min() const;
};

// Blocks of calls that take 20 ms or more, `steps_per_call` steps in each call. Calls before them
// warm up and are not counted.
Timing time_blocks(const std::function<void()>& call, int64_t steps_per_call, int blocks);

}  // namespace sinter::bench
