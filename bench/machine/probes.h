// Loops that run as fast as the machine can: what a training step is compared with.
#pragma once

#include <cstdint>

namespace sinter::bench {

// The loops for one instruction set. Compute probes return how many scalar operations (an FMA is
// one) they did.
struct Probes {
  const char* isa;
  int64_t (*fma_registers)(int64_t rounds, float* sink);
  int64_t (*fma_loads)(int64_t rounds, const float* data, float* sink);
  int64_t (*fma_and_add)(int64_t rounds, float* sink);
  using Sweep = void (*)(float* data, int64_t count, int64_t passes, float* sink);
  Sweep read, write, rmw;
};

// How many floats a sink and the data of fma_loads need, for any instruction set.
inline constexpr int64_t kSinkFloats = 16, kLoadFloats = 8 * 12 * 16;

// The widest instruction set that this machine has.
const Probes& host_probes();

}  // namespace sinter::bench
