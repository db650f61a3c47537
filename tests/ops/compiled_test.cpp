// Compiled code against the interpreter in f64. How far it may be off follows from the problem:
// four times what plain f32 loops are off, and a few roundings.
#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <limits>

#include "ir/op.h"
#include "tests/ops/op_cases.h"
#include "tests/ops/run_case.h"

namespace sinter::test {

namespace {

using ir::Array;

constexpr int64_t kMaxBatch = 33;

// Below this a float counts as right if it is zero: denormals are flushed.
constexpr double kSmallest = std::numeric_limits<float>::min();

// Whether the result has one rounding of its own in each element, which can be told apart.
bool is_one_elementwise_op(const Case& c) {
  int elementwise = 0, others = 0;
  for (const ir::Op& op : c.func().body) {
    const ir::OpDef& d = ir::def(op);
    if (d.is(ir::Trait::elementwise)) {
      ++elementwise;
    } else if (!d.is(ir::Trait::source)) {
      ++others;
    }
  }
  return elementwise == 1 && others == 0;
}

struct Run {
  int64_t n;
  Array<double> reference, naive, compiled;
};

double scale_of(const Array<double>& a) {
  double out = 0;
  for (double x : a.f) out = std::max(out, std::abs(x));
  return out;
}

// The interpreter in f32, which computes an f64 function in f32 too: `narrow` then makes its errors
// those of f64.
double naive_error(const Run& run, size_t i, double narrow) {
  return std::abs(run.naive.f[i] - run.reference.f[i]) * narrow;
}

// Describes the worst element, or is empty.
std::string compare(const Case& c, const std::vector<Run>& runs) {
  const DType dtype = runs[0].reference.dtype;
  const double eps = dtype == DType::f64 ? 0x1p-52 : 0x1p-23;
  const double narrow = dtype == DType::f64 ? 0x1p-29 : 1;
  const bool by_element = is_one_elementwise_op(c);
  double largest_naive = 0, scale = 0;
  for (const Run& run : runs) {
    scale = std::max(scale, scale_of(run.reference));
    for (size_t i = 0; i < run.reference.f.size(); ++i) {
      largest_naive = std::max(largest_naive, naive_error(run, i, narrow));
    }
  }
  for (const Run& run : runs) {
    if (run.compiled.dims != run.reference.dims) return "wrong shape";
    if (run.compiled.i != run.reference.i) return fmt::format("integers differ for n = {}", run.n);
    for (size_t i = 0; i < run.reference.f.size(); ++i) {
      const double want = run.reference.f[i], got = run.compiled.f[i];
      const double naive = by_element ? naive_error(run, i, narrow) : largest_naive;
      const double bound = 4 * naive + 8 * eps * (by_element ? std::abs(want) : scale) + kSmallest;
      // Written so that NaN fails.
      if (!(std::abs(got - want) <= bound)) {
        return fmt::format("n = {}, element {}: {} should be {}, off by {:.3g}, bound {:.3g}",
                           run.n, i, got, want, std::abs(got - want), bound);
      }
    }
  }
  return {};
}

std::string try_compiled(const Case& c, const compiler::Options& options) {
  CompiledCase compiled(c.module, options);
  std::vector<Run> runs;
  const int64_t last = c.follows_batch() ? kMaxBatch : 1;
  for (int64_t n = 1; n <= last; ++n) {
    const std::vector<Array<double>> args = draw(c, n, 7);
    Run run{n, interpreted<double>(c.module, args, n)[0], {}, compiled(args, n)[0]};
    const Array<float> naive = interpreted<float>(c.module, args, n)[0];
    run.naive.f.assign(naive.f.begin(), naive.f.end());
    runs.push_back(std::move(run));
  }
  return compare(c, runs);
}

}  // namespace

TEST_CASE("compiled ops are as exact as plain loops for every batch size") {
  for (ir::OpKind op : ir::all_ops()) {
    DYNAMIC_SECTION(ir::def(op).name) {
      for (const Row& row : op_rows()) {
        if (row.op != op) continue;
        for (const std::string& sample : row.samples) {
          const Case c = make_case(row, sample);
          INFO(c.label);
          std::string wrong;
          CHECK_NOTHROW(wrong = try_compiled(c, {.max_batch = kMaxBatch, .threads = 1}));
          CHECK(wrong == "");
        }
      }
    }
  }
}

TEST_CASE("compiled ops are as exact when three threads share the work") {
  for (const Row& row : op_rows()) {
    const Case c = make_case(row, row.samples.front());
    INFO(c.label);
    std::string wrong;
    CHECK_NOTHROW(wrong = try_compiled(
                      c, {.max_batch = kMaxBatch, .threads = 3, .oversubscribe = true}));
    CHECK(wrong == "");
  }
}

}  // namespace sinter::test
