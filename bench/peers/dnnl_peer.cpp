// The step of gemm_step.h over oneDNN.
#include <dnnl.h>
#include <fmt/core.h>

#include <sinter/sinter.h>

#include "bench/peers/gemm_step.h"

namespace {

void product(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
             const float* b, float* c) {
  if (dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1, a,
                 transpose_a ? m : k, b, transpose_b ? k : n, 0, c, n) != dnnl_success)
    throw sinter::Error("dnnl_sgemm failed");
}

}  // namespace

int main(int argc, char** argv) {
  const dnnl_version_t& v = *dnnl_version();
  return sinter::bench::gemm_peer_main(argc, argv, "oneDNN",
                                       fmt::format("{}.{}.{}", v.major, v.minor, v.patch), product);
}
