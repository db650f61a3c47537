#include <numeric>
#include <utility>

#include <sinter/error.h>
#include <sinter/permutation.h>

#include "runtime/data/bounded.h"

namespace sinter {

void random_permutation(uint64_t seed, uint32_t stream, uint64_t step, std::span<int64_t> out) {
  std::iota(out.begin(), out.end(), int64_t{0});
  detail::WordStream words(seed, stream, step);
  for (size_t i = out.size(); i > 1; --i) std::swap(out[i - 1], out[words.below(i)]);
}

Tensor randperm(int64_t count) { return randperm(count, default_generator()); }

Tensor randperm(int64_t count, Generator& generator) {
  if (count < 0) throw Error("randperm of {} numbers", count).help("give a count of 0 or more");
  Tensor out = Tensor::empty({count}, DType::i64);
  random_permutation(generator.seed(), generator.stream(), generator.next_step(),
                     out.span<int64_t>());
  return out;
}

}  // namespace sinter
