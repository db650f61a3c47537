// The step of gemm_step.h over libxsmm: its product of large matrices, tiles of compiled kernels on
// the threads of OpenMP. What it has no tiles for, as a layer of 10 outputs, it leaves to a BLAS by
// itself, here to OpenBLAS.
#include <fmt/core.h>
#include <libxsmm.h>

#include "bench/peers/gemm_step.h"
#include "bench/peers/openblas.h"

namespace {

void product(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
             const float* b, float* c) {
  // libxsmm is column-major, where the same memory is the transpose: C' = op(B)' op(A)'.
  const libxsmm_blasint rows = libxsmm_blasint(n), columns = libxsmm_blasint(m);
  const libxsmm_blasint depth = libxsmm_blasint(k);
  const libxsmm_blasint ldb = transpose_b ? depth : rows, lda = transpose_a ? columns : depth;
  const float one = 1, zero = 0;
  libxsmm_sgemm_omp(transpose_b ? "T" : "N", transpose_a ? "T" : "N", &rows, &columns, &depth, &one,
                    b, &ldb, a, &lda, &zero, c, &rows);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace sinter::bench;
  use_widest_kernels(argv);
  const std::string version = fmt::format("{} (OpenBLAS {})", LIBXSMM_VERSION, openblas_version());
  return gemm_peer_main(argc, argv, "libxsmm", version, product);
}
