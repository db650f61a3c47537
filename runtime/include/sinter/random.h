#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include <sinter/fnv.h>

namespace sinter {

namespace detail {

/// One of the ten rounds of Philox4x32, on the words of a counter.
constexpr void philox_round(uint32_t& w0, uint32_t& w1, uint32_t& w2, uint32_t& w3,
                            const std::array<uint32_t, 2>& key) {
  const uint64_t p0 = uint64_t{0xD2511F53u} * w0;
  const uint64_t p1 = uint64_t{0xCD9E8D57u} * w2;
  w0 = static_cast<uint32_t>(p1 >> 32) ^ w1 ^ key[0];
  w1 = static_cast<uint32_t>(p1);
  w2 = static_cast<uint32_t>(p0 >> 32) ^ w3 ^ key[1];
  w3 = static_cast<uint32_t>(p0);
}

/// The keys of the rounds.
constexpr std::array<std::array<uint32_t, 2>, 10> philox_keys(std::array<uint32_t, 2> key) {
  std::array<std::array<uint32_t, 2>, 10> out{};
  for (auto& round : out) {
    round = key;
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return out;
}

constexpr std::array<uint32_t, 2> random_key(uint64_t seed, uint32_t stream) {
  return {static_cast<uint32_t>(seed) ^ stream * 0x9E3779B9u, static_cast<uint32_t>(seed >> 32)};
}

constexpr std::array<uint32_t, 4> random_counter(uint64_t step, uint64_t element) {
  return {static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32),
          static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32)};
}

}  // namespace detail

/// Philox4x32-10: a bijection of the counter for each key. Source: Salmon, Moraes, Dror, Shaw,
/// "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
constexpr std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter,
                                             std::array<uint32_t, 2> key) {
  for (const auto& k : detail::philox_keys(key)) {
    detail::philox_round(counter[0], counter[1], counter[2], counter[3], k);
  }
  return counter;
}

/// The four words that belong to one element: key = {lo32(seed) ^ stream * 0x9E3779B9, hi32(seed)},
/// counter = {lo32(element), hi32(element), lo32(step), hi32(step)}. Compiled code does the same.
constexpr std::array<uint32_t, 4> random_block(uint64_t seed, uint32_t stream, uint64_t step,
                                               uint64_t element) {
  return philox4x32(detail::random_counter(step, element), detail::random_key(seed, stream));
}

/// The words of elements first, first + 1, ..., [word][element]. A round waits for the one before
/// it, so that several elements take half as long together.
template <size_t N>
constexpr std::array<std::array<uint32_t, N>, 4> random_blocks(uint64_t seed, uint32_t stream,
                                                               uint64_t step, uint64_t first) {
  std::array<std::array<uint32_t, N>, 4> w{};
  for (size_t i = 0; i < N; ++i) {
    const auto counter = detail::random_counter(step, first + i);
    for (size_t k = 0; k < w.size(); ++k) w[k][i] = counter[k];
  }
  for (const auto& k : detail::philox_keys(detail::random_key(seed, stream))) {
    for (size_t i = 0; i < N; ++i) detail::philox_round(w[0][i], w[1][i], w[2][i], w[3][i], k);
  }
  return w;
}

/// Word 0 of random_block: the random bits of one element.
constexpr uint32_t random_bits(uint64_t seed, uint32_t stream, uint64_t step, uint64_t element) {
  return random_block(seed, stream, step, element)[0];
}

/// The top 24 bits of a word * 2^-24: uniform on [0, 1), every value exact in f32.
constexpr float uniform_from_bits(uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}

/// Standard normal by Box and Muller (1958) in f64, rounded: sqrt(-2 ln u1) cos(2 pi u2) with
/// u1 = (a + 1) * 2^-32 in (0, 1] and u2 = b * 2^-32, where a and b are words 0 and 1 of the block.
float normal_from_bits(uint32_t a, uint32_t b);

/// A stream for each purpose: the FNV-1a hash of a module path such as "hidden.weight".
constexpr uint32_t stream_id(std::string_view module_path) { return fnv1a_32(module_path); }

/// A position in the random numbers of (seed, stream): each draw of a tensor takes one step, and
/// element i of the draw is a function of (seed, stream, step, i) alone.
class Generator {
 public:
  explicit Generator(uint64_t seed = 0, uint32_t stream = stream_id("generator"))
      : seed_(seed), stream_(stream) {}

  uint64_t seed() const { return seed_; }
  uint32_t stream() const { return stream_; }
  /// The step that the next draw takes; save and restore it to resume.
  uint64_t step() const;
  void set_step(uint64_t step);
  /// Takes a step. Safe to call from several threads.
  uint64_t next_step();

 private:
  uint64_t seed_;
  uint32_t stream_;
  alignas(8) uint64_t step_ = 0;
};

/// The generator that is used where none is given: the one piece of process-wide state.
Generator& default_generator();

/// Sets the seed of the default generator and its step to 0. Do not call it while another thread
/// draws.
void manual_seed(uint64_t seed);

}  // namespace sinter
