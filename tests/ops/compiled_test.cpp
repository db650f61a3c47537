// Compiled code against the interpreter in f64. How far it may be off follows from the problem:
// four times what plain f32 loops are off, and a few roundings.
#include <limits>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <sinter/functions.h>

#include "compiler/passes/passes.h"
#include "ir/op.h"
#include "tests/ops/gradient_case.h"
#include "tests/ops/run_case.h"

namespace sinter::test {

namespace {

using ir::Array;

constexpr int64_t kMaxBatch = 33;

// Below this a float counts as right if it is zero: denormals are flushed.
constexpr double kSmallest = std::numeric_limits<float>::min();

// Whether each element of the result has one rounding of its own, so that it is judged alone.
bool is_one_elementwise_op(const ir::Module& module) {
  int elementwise = 0, others = 0;
  for (const ir::Op& op : module.funcs.front().body) {
    const ir::OpDef& d = ir::def(op);
    if (d.is(ir::Trait::elementwise)) {
      ++elementwise;
    } else if (!d.is(ir::Trait::source)) {
      ++others;
    }
  }
  return elementwise == 1 && others == 0;
}

// One result for one n.
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

// Describes an element that is off by too much, or is empty.
std::string compare(const std::vector<Run>& runs, bool by_element) {
  const DType dtype = runs[0].reference.dtype;
  const double eps = dtype == DType::f64 ? 0x1p-52 : 0x1p-23;
  const double narrow = dtype == DType::f64 ? 0x1p-29 : 1;
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

using DrawArguments = std::function<std::vector<Array<double>>(int64_t n)>;

// `module` has no gradient ops; `recorded` may have.
std::string try_compiled(const ir::Module& recorded, const ir::Module& module,
                         const std::vector<int64_t>& batches, const DrawArguments& arguments,
                         const compiler::Options& options) {
  CompiledCase compiled(recorded, options);
  std::vector<std::vector<Run>> runs(module.funcs.front().results.size());
  for (int64_t n : batches) {
    const std::vector<Array<double>> args = arguments(n);
    const auto reference = interpreted<double>(module, args, n);
    const auto naive = interpreted<float>(module, args, n);
    const auto got = compiled(args, n);
    for (size_t i = 0; i < runs.size(); ++i) {
      Run run{n, reference[i], {}, got[i]};
      run.naive.f.assign(naive[i].f.begin(), naive[i].f.end());
      runs[i].push_back(std::move(run));
    }
  }
  for (const std::vector<Run>& result : runs) {
    const std::string wrong = compare(result, is_one_elementwise_op(module));
    if (!wrong.empty()) return wrong;
  }
  return {};
}

std::string try_case(const Case& c, const compiler::Options& options) {
  std::vector<int64_t> batches;
  for (int64_t n = 1; n <= (c.follows_batch() ? kMaxBatch : 1); ++n) batches.push_back(n);
  return try_compiled(
      c.module, c.module, batches, [&](int64_t n) { return draw(c, n, 7); }, options);
}

// The loss and its gradients by all operands, in one function.
std::string try_gradients(GradientCase& g, const compiler::Options& options) {
  const Value loss = g.loss_of(g.c.result);
  std::vector<Value> results{loss};
  for (size_t i : g.operands()) results.push_back(grad(loss, g.c.inputs[i]));
  const ir::Module recorded = g.module(results);
  ir::Module module = recorded;
  compiler::differentiate(module, options);
  const std::vector<int64_t> batches = g.c.follows_batch()
                                           ? std::vector<int64_t>{1, 2, 7, 8, 17, kMaxBatch}
                                           : std::vector<int64_t>{1};
  return try_compiled(
      recorded, module, batches, [&](int64_t n) { return g.draw_all(n, 7); }, options);
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
          CHECK_NOTHROW(wrong = try_case(c, {.max_batch = kMaxBatch, .threads = 1}));
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
    CHECK_NOTHROW(wrong =
                      try_case(c, {.max_batch = kMaxBatch, .threads = 3, .oversubscribe = true}));
    CHECK(wrong == "");
  }
}

TEST_CASE("compiled gradients are as exact as plain loops") {
  int checked = 0;
  for (const Row& row : op_rows()) {
    for (const std::string& sample : {row.samples.front(), row.samples.back()}) {
      GradientCase g(row, sample);
      if (!g.exists()) continue;
      ++checked;
      INFO(g.c.label);
      std::string wrong;
      CHECK_NOTHROW(wrong = try_gradients(g, {.max_batch = kMaxBatch, .threads = 1}));
      CHECK(wrong == "");
    }
  }
  CHECK(checked > 100);
}

}  // namespace sinter::test
