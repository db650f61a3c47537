#include "bench/machine/probes.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sinter::bench {

namespace {

#define PROBE_TABLE(name, ns)                 \
  constexpr Probes name = {#ns,               \
                           ns::fma_registers, \
                           ns::fma_loads,     \
                           ns::fma_and_add,   \
                           ns::read_sweep,    \
                           ns::write_sweep,   \
                           ns::rmw_sweep}

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx512f,prefer-vector-width=512")
#define Vec __m512
#define PROBE_NAME avx512
#define PROBE_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#include "bench/machine/probe_kernels.inl"
#undef Vec
#undef PROBE_NAME
#undef PROBE_FMA
#pragma GCC pop_options
PROBE_TABLE(avx512_probes, avx512);

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define Vec __m256
#define PROBE_NAME avx2
#define PROBE_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#include "bench/machine/probe_kernels.inl"
#undef Vec
#undef PROBE_NAME
#undef PROBE_FMA
#pragma GCC pop_options
PROBE_TABLE(avx2_probes, avx2);
#endif

// Elsewhere the baseline of the build: where that has no FMA, a product and a sum.
typedef float Vec4 __attribute__((vector_size(16)));
inline Vec4 fma4(Vec4 a, Vec4 b, Vec4 c) {
#if defined(__FMA__) || defined(__aarch64__)
  for (int i = 0; i < 4; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
#else
  return a * b + c;
#endif
}
#define Vec Vec4
#define PROBE_NAME generic
#define PROBE_FMA(a, b, c) fma4(a, b, c)
#include "bench/machine/probe_kernels.inl"
#undef Vec
#undef PROBE_NAME
#undef PROBE_FMA
PROBE_TABLE(generic_probes, generic);

}  // namespace

const Probes& host_probes() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return avx512_probes;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2_probes;
#endif
  return generic_probes;
}

}  // namespace sinter::bench
