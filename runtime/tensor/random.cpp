#include <atomic>
#include <cmath>
#include <numbers>

#include <sinter/random.h>

namespace sinter {

float normal_from_bits(uint32_t a, uint32_t b) {
  const double u1 = (static_cast<double>(a) + 1) * 0x1p-32;
  const double u2 = static_cast<double>(b) * 0x1p-32;
  const double radius = std::sqrt(-2 * std::log(u1));
  return static_cast<float>(radius * std::cos(2 * std::numbers::pi * u2));
}

// The step is a plain member, touched through atomic_ref only, so that a Generator can be copied.
uint64_t Generator::step() const {
  return std::atomic_ref(const_cast<uint64_t&>(step_)).load(std::memory_order_relaxed);
}

void Generator::set_step(uint64_t step) {
  std::atomic_ref(step_).store(step, std::memory_order_relaxed);
}

uint64_t Generator::next_step() {
  return std::atomic_ref(step_).fetch_add(1, std::memory_order_relaxed);
}

Generator& default_generator() {
  static Generator generator;
  return generator;
}

void manual_seed(uint64_t seed) { default_generator() = Generator(seed); }

}  // namespace sinter
