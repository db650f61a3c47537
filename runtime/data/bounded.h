#pragma once

#include <array>
#include <cstdint>

#include <sinter/random.h>

namespace sinter::detail {

/// The 32-bit words of random_block(seed, stream, step, 0), (.., 1), ... one after the other.
class WordStream {
 public:
  WordStream(uint64_t seed, uint32_t stream, uint64_t step)
      : seed_(seed), stream_(stream), step_(step) {}

  uint32_t next() {
    if (used_ == words_.size()) {
      words_ = random_block(seed_, stream_, step_, block_++);
      used_ = 0;
    }
    return words_[used_++];
  }

  /// Uniform on [0, bound), bound > 0: the upper half of word * bound, drawn again in the few cases
  /// that would make some results more likely than others (Lemire 2019). Bounds above 2^32 take two
  /// words.
  uint64_t below(uint64_t bound) {
    if (bound <= UINT32_MAX) {
      const auto small = static_cast<uint32_t>(bound);
      uint64_t product = uint64_t{next()} * small;
      if (static_cast<uint32_t>(product) < small) {
        const uint32_t surplus = -small % small;
        while (static_cast<uint32_t>(product) < surplus) product = uint64_t{next()} * small;
      }
      return product >> 32;
    }
    __extension__ using Wide = unsigned __int128;
    const auto draw = [&] {
      const uint64_t high = next();
      return Wide{high << 32 | next()} * bound;
    };
    Wide product = draw();
    if (static_cast<uint64_t>(product) < bound) {
      const uint64_t surplus = -bound % bound;
      while (static_cast<uint64_t>(product) < surplus) product = draw();
    }
    return static_cast<uint64_t>(product >> 64);
  }

 private:
  uint64_t seed_;
  uint32_t stream_;
  uint64_t step_;
  uint64_t block_ = 0;
  std::array<uint32_t, 4> words_ = {};
  size_t used_ = 4;
};

}  // namespace sinter::detail
