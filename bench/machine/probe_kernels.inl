// The probes' inner loops, once for each instruction set: included by probes.cpp with Vec (a vector
// of floats), PROBE_NAME (the namespace) and PROBE_FMA(a, b, c) = a * b + c defined, inside a target
// region. Twelve to fifteen independent chains hide the latency of an FMA (4 cycles x 2 units).
namespace PROBE_NAME {

constexpr int64_t kLanes = sizeof(Vec) / sizeof(float);

inline Vec splat(float value) {
  Vec out;
  for (int64_t i = 0; i < kLanes; ++i) out[i] = value;
  return out;
}
inline Vec load(const float* from) {
  Vec out;
  __builtin_memcpy(&out, from, sizeof(Vec));
  return out;
}
inline void store(float* to, Vec value) { __builtin_memcpy(to, &value, sizeof(Vec)); }

#define PROBE_CHAINS(DO) \
  DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)

int64_t fma_registers(int64_t rounds, float* sink) {
  const Vec half = splat(0.5f);
#define PROBE_START(i) Vec a##i = splat(float(i));
#define PROBE_STEP(i) a##i = PROBE_FMA(a##i, half, half);
#define PROBE_SUM(i) sum = sum + a##i;
  PROBE_CHAINS(PROBE_START)
  for (int64_t r = 0; r < rounds; ++r) {
    PROBE_CHAINS(PROBE_STEP)
  }
  Vec sum = half;
  PROBE_CHAINS(PROBE_SUM)
  store(sink, sum);
  return rounds * 12 * kLanes;
}

// One operand of each FMA comes from L1, as in a matrix product. Reads 96 vectors.
int64_t fma_loads(int64_t rounds, const float* data, float* sink) {
  const Vec half = splat(0.5f);
  PROBE_CHAINS(PROBE_START)
  for (int64_t r = 0; r < rounds; ++r) {
    const float* at = data + (r & 7) * 12 * kLanes;
#define PROBE_LOAD_STEP(i) a##i = PROBE_FMA(load(at + (i)*kLanes), half, a##i);
    PROBE_CHAINS(PROBE_LOAD_STEP)
  }
  Vec sum = half;
  PROBE_CHAINS(PROBE_SUM)
  store(sink, sum);
  return rounds * 12 * kLanes;
}

// FMAs and additions side by side: the most vector operations of any kind that the core takes,
// where additions have units of their own.
int64_t fma_and_add(int64_t rounds, float* sink) {
  const Vec half = splat(0.5f);
  PROBE_CHAINS(PROBE_START)
  PROBE_START(12) PROBE_START(13) PROBE_START(14)
#define PROBE_ADD(i) a##i = a##i + half;
  for (int64_t r = 0; r < rounds; ++r) {
    PROBE_STEP(0) PROBE_ADD(8) PROBE_STEP(1) PROBE_ADD(9) PROBE_STEP(2) PROBE_ADD(10)
    PROBE_STEP(3) PROBE_ADD(11) PROBE_STEP(4) PROBE_ADD(12) PROBE_STEP(5) PROBE_ADD(13)
    PROBE_STEP(6) PROBE_ADD(14) PROBE_STEP(7)
  }
  Vec sum = half;
  PROBE_CHAINS(PROBE_SUM)
  PROBE_SUM(12) PROBE_SUM(13) PROBE_SUM(14)
  store(sink, sum);
  return rounds * 15 * kLanes;
}

// The three sweeps take `count` floats, a multiple of 128, `passes` times.
void read_sweep(float* data, int64_t count, int64_t passes, float* sink) {
  PROBE_CHAINS(PROBE_START)
  for (int64_t p = 0; p < passes; ++p) {
    for (int64_t at = 0; at < count; at += 8 * kLanes) {
#define PROBE_READ(i) a##i = a##i + load(data + at + (i)*kLanes);
      PROBE_READ(0) PROBE_READ(1) PROBE_READ(2) PROBE_READ(3)
      PROBE_READ(4) PROBE_READ(5) PROBE_READ(6) PROBE_READ(7)
    }
    // Without it the compiler may see that every pass reads the same.
    asm volatile("" ::: "memory");
  }
  Vec sum = splat(0);
  PROBE_CHAINS(PROBE_SUM)
  store(sink, sum);
}

void write_sweep(float* data, int64_t count, int64_t passes, float* sink) {
  const Vec value = splat(*sink);
  for (int64_t p = 0; p < passes; ++p) {
    for (int64_t at = 0; at < count; at += 4 * kLanes) {
      store(data + at, value);
      store(data + at + kLanes, value);
      store(data + at + 2 * kLanes, value);
      store(data + at + 3 * kLanes, value);
    }
    asm volatile("" ::: "memory");
  }
}

void rmw_sweep(float* data, int64_t count, int64_t passes, float*) {
  const Vec half = splat(0.5f);
  for (int64_t p = 0; p < passes; ++p) {
    for (int64_t at = 0; at < count; at += 4 * kLanes) {
#define PROBE_RMW(i) store(data + at + (i)*kLanes, load(data + at + (i)*kLanes) + half);
      PROBE_RMW(0) PROBE_RMW(1) PROBE_RMW(2) PROBE_RMW(3)
    }
    asm volatile("" ::: "memory");
  }
}

#undef PROBE_CHAINS
#undef PROBE_START
#undef PROBE_STEP
#undef PROBE_SUM
#undef PROBE_LOAD_STEP
#undef PROBE_ADD
#undef PROBE_READ
#undef PROBE_RMW

}  // namespace PROBE_NAME
