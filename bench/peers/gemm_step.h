// W6 to W8 as a programmer builds them on a library's matrix product: all three products of a layer
// are calls, with loops of OpenMP between for bias, ReLU, loss and update.
#pragma once

#include <cstdint>
#include <string>

namespace sinter::bench {

// C = op(A) op(B), where op(A) is [m, k], op(B) [k, n] and C [m, n]. All three are row-major and
// dense. It runs on as many threads as OpenMP's next parallel region would have.
using Product = void (*)(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                         const float* a, const float* b, float* c);

// peer_main of the step over this product, on one thread and on two.
int gemm_peer_main(int argc, char** argv, const std::string& name, const std::string& version,
                   Product product);

}  // namespace sinter::bench
