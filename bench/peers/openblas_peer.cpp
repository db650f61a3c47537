// The step of gemm_step.h over OpenBLAS, built for OpenMP: with threads of its own, they and those
// of the loops between would take the cores from each other.
#include "bench/peers/gemm_step.h"
#include "bench/peers/openblas.h"

namespace {

void product(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
             const float* b, float* c) {
  const auto op = [](bool transpose) { return transpose ? CblasTrans : CblasNoTrans; };
  cblas_sgemm(CblasRowMajor, op(transpose_a), op(transpose_b), blasint(m), blasint(n), blasint(k),
              1, a, blasint(transpose_a ? m : k), b, blasint(transpose_b ? k : n), 0, c,
              blasint(n));
}

}  // namespace

int main(int argc, char** argv) {
  using namespace sinter::bench;
  use_widest_kernels(argv);
  return gemm_peer_main(argc, argv, "OpenBLAS", openblas_version(), product);
}
