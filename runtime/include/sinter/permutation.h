#pragma once

#include <cstdint>
#include <span>

#include <sinter/random.h>
#include <sinter/tensor.h>

namespace sinter {

/// Fills `out` with 0, 1, ..., out.size() - 1 in an order that is a function of the three numbers
/// alone; every order is equally likely. Source: the shuffle of Fisher and Yates in Durstenfeld's
/// form (1964) with the unbiased bounded numbers of Lemire, "Fast random integer generation in an
/// interval", 2019, from the words of random_block(seed, stream, step, 0), (.., 1), ...
void random_permutation(uint64_t seed, uint32_t stream, uint64_t step, std::span<int64_t> out);

/// The numbers 0 to count - 1 in random order, i64. The first form draws from default_generator().
Tensor randperm(int64_t count);
Tensor randperm(int64_t count, Generator& generator);

}  // namespace sinter
