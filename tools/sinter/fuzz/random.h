// The fuzzer's random numbers: the same on every platform, so that a seed means the same program
// everywhere (the distributions of <random> do not promise that).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <sinter/fnv.h>

namespace sinter::fuzz {

// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  // A stream of its own for each purpose.
  Random(uint64_t seed, std::string_view purpose, uint64_t index = 0)
      : state_(hash_bytes(
            &index, sizeof index,
            hash_bytes(purpose.data(), purpose.size(), hash_bytes(&seed, sizeof seed)))) {
    next();
  }

  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // low, ..., high, both included.
  int64_t pick(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(next() % static_cast<uint64_t>(high - low + 1));
  }
  size_t index(size_t count) { return static_cast<size_t>(next() % count); }
  bool chance(int percent) { return pick(1, 100) <= percent; }
  // Uniform in [0, 1), a multiple of 2^-24.
  double unit() { return static_cast<double>(next() >> 40) * 0x1p-24; }
  template <class T>
  const T& of(const std::vector<T>& list) {
    return list[index(list.size())];
  }

 private:
  uint64_t state_;
};

}  // namespace sinter::fuzz
