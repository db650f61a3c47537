// From the start of a process to its first trained step.
#pragma once

#include <string_view>
#include <vector>

#include "bench/workloads.h"

namespace sinter::bench {

// Milliseconds from starting this program anew to the loss of its first step, `repeats` times after
// one that warms the file cache.
std::vector<double> time_first_step(const Workload& workload, int repeats);
// What the new process does: one step; writes a byte to stdout when its loss is known.
int first_step_child(const Workload& workload);

}  // namespace sinter::bench
