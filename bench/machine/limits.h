// What this machine can do at most, measured in the same process as the workloads.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace sinter::bench {

enum Level : uint8_t { kL1, kL2, kL3, kDram, kLevels };
inline constexpr std::array<const char*, kLevels> kLevelNames = {"L1", "L2", "L3", "DRAM"};

// Bytes/s; rmw counts each byte once.
struct Bandwidth {
  double read = 0, write = 0, rmw = 0;
};

struct Rates {
  double fma_registers = 0;  // FMA/s on scalars, operands in registers
  double fma_loads = 0;      // FMA/s on scalars, one operand from L1
  double any_op = 0;         // scalar operations/s of FMAs and additions mixed
  std::array<Bandwidth, kLevels> bandwidth{};

  double fma() const { return fma_loads > fma_registers ? fma_loads : fma_registers; }
};

struct Limits {
  std::string isa;
  int cores = 1;
  // Bytes: L1 and L2 of one core, L3 of all; 0 for DRAM.
  std::array<int64_t, kLevels> capacity{};
  Rates one, all;
  double barrier = 0;  // seconds for one barrier of all cores; 0 with one core
};

// Takes about a second.
Limits measure_limits(int threads);
// The better of two measurements, figure by figure: interference only ever slows a probe down.
Limits best_of(const Limits& a, const Limits& b);

}  // namespace sinter::bench
