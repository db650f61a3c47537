// The time below which no program can do a training step on this machine.
#pragma once

#include <cstdint>
#include <string>

#include "bench/machine/limits.h"
#include "ir/graph.h"

namespace sinter::bench {

// What a step has to do, however it is compiled. Everything here is a lower bound: work that a
// clever kernel can fold into other work is left out.
struct Work {
  double fmas = 0;        // multiply-adds of all contractions
  double ops = 0;         // the same, and elementwise operations that nothing absorbs
  double read_bytes = 0;  // inputs once, and weights once for the forward pass
  double rmw_bytes = 0;   // whatever the step updates
  double data_bytes = 0;  // inputs, weights and optimizer state: decides the level of memory
};

// Counts `func` of a module in which gradients are expanded but nothing is fused, for `rows` rows.
Work count_work(const ir::Module& module, const ir::Func& func, int64_t rows);

struct Floor {
  double seconds = 0;
  std::string bound;  // "fma, 1 core"
};

// max(FMAs / peak, operations / peak, bytes / bandwidth), plus two barriers on several cores (one
// between the passes, one after the update); the better of one core and all cores.
Floor floor_of(const Work& work, const Limits& limits);

}  // namespace sinter::bench
