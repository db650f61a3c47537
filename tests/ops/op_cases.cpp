// Samples hit the tails of vectors: static sizes are 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, and n
// is every number from 1 to 33 where compiled code is tried.
#include "tests/ops/op_cases.h"

#include <sinter/functions.h>

#include "ir/op.h"
#include "tests/ops/sampled_rows.h"

namespace sinter::test {

namespace {

using ir::OpKind;
using Samples = std::vector<std::string>;

const Samples kUnary = {"[n]",        "[n, 1]",    "[n, 7]",       "[n, 16]",      "[n, 33]",
                        "[5, 31]",    "[3]",       "[17]",         "[]",           "[2, n, 3]",
                        "[2, 9, 15]", "[n, 8, 2]", "[2, n, 3, 5]", "[1, 1, 3, 1]", "[n, 2, 1, 9]",
                        "[1]",        "f64[]",     "f64[3, n]",    "f64[n, 5]",    "f64[33]"};

const Samples kBinary = {"[n, 7], [n, 7]",    "[n, 33], [33]",     "[n, 8], [n, 1]",  "[n, 1], [5]",
                         "[n, 16], []",       "[5, 31], [5, 31]",  "[3, 1], [1, 17]", "[15], [15]",
                         "[2, n, 3], [n, 3]", "[2, 1, 9], [2, 1]", "[], []",          "[n], [n]",
                         "f64[n, 5], f64[5]", "f64[2], f64[2]"};

const Samples kIntegers = {"i64[n, 7], i64[7]", "i32[n, 3], i32[n, 3]", "i64[9], i64[]",
                           "i32[17], i32[17]",  "i32[], i32[]",         "i64[n], i64[n]"};

const Samples kFolded = {"[n, 7]",  "[n, 16]", "[n, 33]",  "[5, 31]",
                         "[1, 17]", "[n, 1]",  "f64[n, 9]"};
const Samples kFolded3 = {"[2, n, 3]", "[n, 5, 8]", "[3, 7, 15]", "[1, n, 2]", "[n, 2, 33]"};

Samples joined(Samples a, const Samples& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const Domain kAny = real(-2, 2);
const Domain kWhole = integers(-50, 50);

// Rows of a composite of the frontend stand with the op that it is made of.
std::vector<Row> arithmetic() {
  return {
      {OpKind::add, {kAny, kAny}, kBinary, [](const Inputs& x) { return x[0] + x[1]; }},
      {OpKind::add, {kWhole, kWhole}, kIntegers, [](const Inputs& x) { return x[0] + x[1]; }},
      {OpKind::sub, {kAny, kAny}, kBinary, [](const Inputs& x) { return x[0] - x[1]; }},
      {OpKind::sub, {kWhole, kWhole}, kIntegers, [](const Inputs& x) { return x[0] - x[1]; }},
      {OpKind::mul, {kAny, kAny}, kBinary, [](const Inputs& x) { return x[0] * x[1]; }},
      {OpKind::mul, {kWhole, kWhole}, kIntegers, [](const Inputs& x) { return x[0] * x[1]; }},
      {OpKind::mul, {nonzero(0.5, 2)}, kUnary, [](const Inputs& x) { return pow(x[0], 5); }},
      {OpKind::div, {kAny, nonzero(0.5, 2)}, kBinary, [](const Inputs& x) { return x[0] / x[1]; }},
      // Among the divisors is 0.
      {OpKind::div,
       {kWhole, integers(-3, 3)},
       kIntegers,
       [](const Inputs& x) { return x[0] / x[1]; }},
      {OpKind::neg, {kAny}, kUnary, [](const Inputs& x) { return -x[0]; }},
      {OpKind::neg, {kWhole}, {"i64[n, 7]", "i32[17]"}, [](const Inputs& x) { return -x[0]; }},
      {OpKind::exp, {real(-5, 5)}, kUnary, [](const Inputs& x) { return exp(x[0]); }},
      {OpKind::exp,
       {real(-80, 80)},
       {"[n, 33]", "[5, 31]"},
       [](const Inputs& x) { return exp(x[0]); }},
      {OpKind::log, {real(0.01, 10)}, kUnary, [](const Inputs& x) { return log(x[0]); }},
      {OpKind::log,
       {real(0.9, 1.1)},
       {"[n, 33]", "[5, 31]"},
       [](const Inputs& x) { return log(x[0]); }},
      {OpKind::sqrt, {real(0.01, 10)}, kUnary, [](const Inputs& x) { return sqrt(x[0]); }},
      {OpKind::tanh, {real(-4, 4)}, kUnary, [](const Inputs& x) { return tanh(x[0]); }},
      {OpKind::tanh,
       {real(-0.01, 0.01)},
       {"[n, 33]", "[5, 31]"},
       [](const Inputs& x) { return tanh(x[0]); }},
      {OpKind::tanh, {real(-4, 4)}, kUnary, [](const Inputs& x) { return gelu(x[0]); }},
      {OpKind::sigmoid, {real(-8, 8)}, kUnary, [](const Inputs& x) { return sigmoid(x[0]); }},
      {OpKind::sigmoid, {real(-8, 8)}, kUnary, [](const Inputs& x) { return silu(x[0]); }},
      {OpKind::softplus, {real(-30, 30)}, kUnary, [](const Inputs& x) { return softplus(x[0]); }},
      {OpKind::relu, {nonzero(0.1, 2)}, kUnary, [](const Inputs& x) { return relu(x[0]); }},
  };
}

std::vector<Row> functions() {
  const Domain angles = real(-20, 20), steps = real(-5, 5);
  const Samples few = {"[n, 33]", "[5, 31]"};
  return {
      {OpKind::abs, {nonzero(0.1, 2)}, kUnary, [](const Inputs& x) { return abs(x[0]); }},
      {OpKind::abs, {kWhole}, {"i64[n, 7]", "i32[17]"}, [](const Inputs& x) { return abs(x[0]); }},
      // The result has no slope of its own: that of x stands beside it.
      {OpKind::sign, {kAny}, kUnary, [](const Inputs& x) { return x[0] * sign(x[0]); }},
      {OpKind::sign,
       {kWhole},
       {"i64[n, 7]", "i32[17]"},
       [](const Inputs& x) { return sign(x[0]); }},
      {OpKind::floor, {steps}, kUnary, [](const Inputs& x) { return x[0] - floor(x[0]); }},
      {OpKind::floor, {steps}, kUnary, [](const Inputs& x) { return x[0] * ceil(x[0]); }},
      {OpKind::floor, {real(-1e7, 1e7)}, few, [](const Inputs& x) { return x[0] * floor(x[0]); }},
      {OpKind::round, {steps}, kUnary, [](const Inputs& x) { return x[0] - round(x[0]); }},
      {OpKind::round, {real(-1e7, 1e7)}, few, [](const Inputs& x) { return x[0] * round(x[0]); }},
      {OpKind::sqrt, {real(0.01, 10)}, kUnary, [](const Inputs& x) { return rsqrt(x[0]); }},
      {OpKind::sin, {angles}, kUnary, [](const Inputs& x) { return sin(x[0]); }},
      {OpKind::sin, {real(-1e30, 1e30)}, few, [](const Inputs& x) { return sin(x[0]); }},
      {OpKind::cos, {angles}, kUnary, [](const Inputs& x) { return cos(x[0]); }},
      {OpKind::cos, {real(-1e30, 1e30)}, few, [](const Inputs& x) { return cos(x[0]); }},
      {OpKind::erf, {real(-3, 3)}, kUnary, [](const Inputs& x) { return erf(x[0]); }},
      {OpKind::erf, {real(-0.01, 0.01)}, few, [](const Inputs& x) { return erf(x[0]); }},
      {OpKind::pow,
       {real(0.1, 4), real(-3, 3)},
       kBinary,
       [](const Inputs& x) { return pow(x[0], x[1]); }},
      {OpKind::pow, {real(0.1, 4)}, kUnary, [](const Inputs& x) { return pow(x[0], 2.5); }},
      // Whole exponents of negative numbers.
      {OpKind::pow,
       {real(-4, -0.1)},
       {"[n, 7]", "[17]", "[n, 33]"},
       [](const Inputs& x) { return pow(x[0], round(x[0])); }},
  };
}

std::vector<Row> choices() {
  // Few numbers, so that many pairs are equal.
  const Domain few = integers(0, 2);
  const Samples compared = joined(kBinary, kIntegers);
  return {
      {OpKind::equal, {few, few}, compared, [](const Inputs& x) { return equal(x[0], x[1]); }},
      {OpKind::less, {few, few}, compared, [](const Inputs& x) { return less(x[0], x[1]); }},
      {OpKind::less_equal,
       {few, few},
       compared,
       [](const Inputs& x) { return less_equal(x[0], x[1]); }},
      {OpKind::select,
       {flags(), kAny, kAny},
       {"bool[n, 7], [n, 7], [n, 7]", "bool[n, 1], [n, 9], []", "bool[33], [n, 33], [33]",
        "bool[5, 31], [], [5, 31]", "bool[], [2], [2]", "bool[n], [n], [n]",
        "bool[2, 1, 3], [2, n, 3], [3]", "bool[n, 5], f64[n, 5], f64[5]"},
       [](const Inputs& x) { return where(x[0], x[1], x[2]); }},
      {OpKind::select,
       {flags(), kWhole, kWhole},
       {"bool[n, 7], i64[n, 7], i64[7]", "bool[17], i32[17], i32[]"},
       [](const Inputs& x) { return where(x[0], x[1], x[2]); }},
      {OpKind::select,
       {distinct(), real(-1, 1)},
       kBinary,
       [](const Inputs& x) { return maximum(x[0], x[1]); }},
      {OpKind::select,
       {real(-2, 2)},
       kUnary,
       [](const Inputs& x) { return clamp(x[0], -0.75, 1.25); }},
      {OpKind::equal, {few, few}, compared, [](const Inputs& x) { return not_equal(x[0], x[1]); }},
      {OpKind::less, {few, few}, compared, [](const Inputs& x) { return logical_and(x[0], x[1]); }},
      {OpKind::less_equal,
       {flags(), flags()},
       {"bool[n, 7], bool[n, 7]", "bool[5, 31], bool[31]", "bool[n, 33], bool[]"},
       [](const Inputs& x) { return logical_or(x[0], x[1]); }},
      {OpKind::equal,
       {flags(), flags()},
       {"bool[n, 7], bool[n, 7]", "bool[5, 31], bool[31]", "bool[n, 33], bool[]"},
       [](const Inputs& x) { return logical_xor(x[0], x[1]); }},
      {OpKind::cast,
       {real(-100, 100)},
       {"[n, 7], i64[n, 7]", "[17], i32[17]", "[n, 33], f64[n, 33]", "f64[n, 5], f32[n, 5]",
        "[5, 31], i64[5, 31]", "f64[], f32[]", "f64[n, 3], i32[n, 3]", "[5, 31], f64[5, 31]",
        "[2, n, 3], f64[2, n, 3]", "[1, 2, 3, 5], i32[1, 2, 3, 5]", "f64[33], i64[33]"},
       [](const Inputs& x) { return cast(x[0], x.declared().dtype); }},
      {OpKind::cast,
       {kWhole},
       {"i64[n, 7], f32[n, 7]", "i32[17], f64[17]", "i64[n, 33], i32[n, 33]", "i32[5], i64[5]",
        "i64[n, 3], bool[n, 3]", "i64[2, n, 3], f64[2, n, 3]"},
       [](const Inputs& x) { return cast(x[0], x.declared().dtype); }},
      {OpKind::cast,
       {flags()},
       {"bool[n, 9], f32[n, 9]", "bool[15], i64[15]", "bool[], f64[]"},
       [](const Inputs& x) { return cast(x[0], x.declared().dtype); }},
  };
}

std::vector<Row> sources() {
  const auto iota = [](int64_t axis) {
    return
        [axis](const Inputs& x) { return x.record(OpKind::iota, {{"axis", axis}}, x.declared()); };
  };
  const auto extent = [](ir::Shape of) {
    return [of](const Inputs& x) { return x.record(OpKind::extent, {{"of", of}}, x.declared()); };
  };
  return {
      {OpKind::constant,
       {},
       {"[n, 7]", "[17]", "[]", "f64[n, 5]", "i64[n, 3]", "i32[9]", "bool[5, 31]", "[2, n, 3]",
        "[1, 1, 3, 1]", "[n]", "f64[33]", "i32[n, 8]", "bool[n]", "i64[]"},
       [](const Inputs& x) { return x.record(OpKind::constant, {{"value", 3.0}}, x.declared()); }},
      {OpKind::constant,
       {},
       {"[n, 33]", "[5, 31]", "f64[]", "i64[n, 2, 3]", "i32[]", "f64[n]"},
       [](const Inputs& x) { return x.record(OpKind::constant, {{"value", -7.0}}, x.declared()); }},
      {OpKind::iota, {}, {"[n, 7]", "[17]", "i64[n]", "i32[n, 3]", "f64[2, n, 3]"}, iota(0)},
      {OpKind::iota, {}, {"[n, 7]", "i64[n, 33]", "i32[5, 31]", "f64[2, n, 3]"}, iota(1)},
      {OpKind::iota, {}, {"[2, n, 3, 5]", "i64[1, 2, 7, 1]", "i32[n, 1, 2, 9]"}, iota(2)},
      {OpKind::extent, {}, {"[]", "f64[]"}, extent({ir::batch_dim})},
      {OpKind::extent, {}, {"[]", "f64[]"}, extent({ir::Dim{2, true}, ir::Dim{7}})},
      {OpKind::extent, {}, {"[]", "f64[]"}, extent({ir::Dim{33}})},
      {OpKind::extent, {}, {"[]", "f64[]"}, extent({})},
      {OpKind::extent, {}, {"[]", "f64[]"}, extent({ir::Dim{1}, ir::Dim{5, true}})},
      {OpKind::extent, {}, {"[]", "f64[]"}, extent({ir::Dim{17}, ir::batch_dim, ir::Dim{3}})},
      {OpKind::extent, {}, {"[]", "f64[]"}, extent({ir::Dim{2}, ir::Dim{3}, ir::Dim{5}})},
      {OpKind::extent, {}, {"[]", "f64[]"}, extent({ir::batch_dim, ir::batch_dim})},
      {OpKind::extent, {}, {"[]", "f64[]"}, extent({ir::Dim{1 << 20}})},
      {OpKind::extent, {}, {"[]", "f64[]"}, extent({ir::Dim{9}, ir::Dim{1}, ir::Dim{9}})},
      {OpKind::rng_bits,
       {integers(0, 1LL << 40), integers(0, 1LL << 33)},
       {"i64[], i64[], i64[n, 7]", "i64[], i64[], i64[17]", "i64[], i64[], i64[]",
        "i64[], i64[], i64[5, 31]", "i64[], i64[], i64[n]", "i64[], i64[], i64[2, n, 3]",
        "i64[], i64[], i64[n, 33]", "i64[], i64[], i64[1, 2, 3, 5]", "i64[], i64[], i64[n, 1]",
        "i64[], i64[], i64[3, n]"},
       [](const Inputs& x) {
         return x.record(OpKind::rng_bits, {{"stream", int64_t{0x9ABCDEF1}}}, x.declared());
       }},
      {OpKind::rng_bits,
       {integers(0, 3), integers(0, 1LL << 40)},
       {"i64[], i64[], i64[n, 7]", "i64[], i64[], i64[17]", "i64[], i64[], i64[]",
        "i64[], i64[], i64[n, 16]", "i64[], i64[], i64[n]", "i64[], i64[], i64[2, n, 3]",
        "i64[], i64[], i64[33]", "i64[], i64[], i64[n, 2, 1, 3]", "i64[], i64[], i64[9, 1]",
        "i64[], i64[], i64[1]"},
       [](const Inputs& x) {
         return x.record(OpKind::rng_bits, {{"stream", int64_t{0}}}, x.declared());
       }},
  };
}

std::vector<Row> shapes() {
  const auto reshaped = [](const Inputs& x) { return x.record(OpKind::reshape, {}, x.declared()); };
  const auto broadcast = [](const Inputs& x) {
    return x.record(OpKind::broadcast, {}, x.declared());
  };
  return {
      {OpKind::reshape,
       {kAny},
       {"[n, 6], [n, 2, 3]", "[n, 2, 3], [n, 6]", "[n], [n, 1]", "[n, 1], [n]", "[33], [3, 11]",
        "[5, 31], [155]", "[1], []", "[n, 6], [6n]", "[2, n, 3], [2n, 3]", "f64[n, 4], f64[2n, 2]",
        "i64[n, 6], i64[n, 3, 2]"},
       reshaped},
      {OpKind::reshape,
       {kAny},
       {"[n, 6]", "[n, 33]"},
       [](const Inputs& x) { return reshape(x[0], {-1, 1, 3}); }},
      {OpKind::transpose,
       {kAny},
       {"[n, 7]", "[n, 16]", "[n, 33]", "[5, 31]", "[1, 17]", "f64[n, 3]"},
       [](const Inputs& x) { return t(x[0]); }},
      {OpKind::transpose,
       {kAny},
       {"[2, n, 3]", "[n, 5, 8]", "[3, 7, 15]", "f64[1, n, 2]"},
       [](const Inputs& x) { return permute(x[0], {2, 0, 1}); }},
      {OpKind::transpose,
       {kAny},
       {"[2, n, 3, 5]", "[n, 1, 8, 2]", "[3, 2, 1, 15]", "f64[2, 3, n, 1]", "[n, 2, 2, 9]"},
       [](const Inputs& x) { return permute(x[0], {3, 1, 0, 2}); }},
      {OpKind::transpose,
       {kAny},
       {"[2, n, 3]", "[n, 5, 8]", "[3, 7, 15]"},
       [](const Inputs& x) { return transpose(x[0], 0, 1); }},
      {OpKind::transpose,
       {kWhole},
       {"i64[n, 7]", "i32[5, 3]"},
       [](const Inputs& x) { return t(x[0]); }},
      {OpKind::broadcast,
       {kAny},
       {"[7], [n, 7]", "[n, 1], [n, 9]", "[], [n, 5]", "[3, 1], [3, 17]", "[1, 33], [n, 33]",
        "[n, 3], [2, n, 3]", "[1], [31]", "f64[5], f64[n, 5]", "[], [2, n, 3, 5]",
        "[1, 1], [n, 33]", "f64[], f64[17]", "[n, 1, 8], [n, 5, 8]", "[2, 1, 1, 3], [2, 7, 1, 3]",
        "[n, 1], [3, n, 16]"},
       broadcast},
      {OpKind::broadcast,
       {kAny},
       {"[7]", "[3, 1]", "f64[1, 1, 7]", "[5, 1, 1]"},
       [](const Inputs& x) { return broadcast_to(x[0], {5, 3, 7}); }},
  };
}

std::vector<Row> reductions() {
  std::vector<Row> out;
  const auto fold = [&](const Domain& domain, const Samples& samples,
                        const std::vector<int64_t>& axes, bool keepdims) {
    out.push_back({OpKind::sum, {domain}, samples, [=](const Inputs& x) {
                     return sum(x[0], axes, keepdims);
                   }});
    out.push_back({OpKind::mean, {domain}, samples, [=](const Inputs& x) {
                     return mean(x[0], axes, keepdims);
                   }});
  };
  fold(kAny, kFolded, {0}, false);
  fold(kAny, kFolded, {1}, true);
  fold(kAny, kFolded, {0, 1}, false);
  fold(kAny, kFolded3, {0}, true);
  fold(kAny, kFolded3, {1}, false);
  fold(kAny, kFolded3, {0, 2}, false);
  fold(kAny, {"[n]", "[17]", "[33]", "[1]"}, {0}, false);
  out.push_back({OpKind::sum, {kWhole}, {"i64[n, 7]", "i32[5, 31]"}, [](const Inputs& x) {
                   return sum(x[0], 1);
                 }});
  out.push_back({OpKind::sum, {kWhole}, {"i64[n, 7]", "i32[5, 31]"}, [](const Inputs& x) {
                   return sum(x[0], 0);
                 }});

  // Without ties for the values, with many for the first of equals.
  const Domain ties = integers(0, 2);
  const auto extremes = [&](const Samples& samples, int64_t axis, bool keepdims) {
    for (const Domain& domain : {distinct(), ties}) {
      out.push_back({OpKind::max, {domain}, samples, [=](const Inputs& x) {
                       return max(x[0], axis, keepdims);
                     }});
      out.push_back({OpKind::argmax, {domain}, samples, [=](const Inputs& x) {
                       return argmax(x[0], axis, keepdims);
                     }});
    }
  };
  extremes(joined(kFolded, {"i64[n, 7]", "i32[5, 31]"}), 1, false);
  extremes(joined(kFolded, {"i64[n, 7]"}), 0, true);
  extremes(kFolded3, 1, true);
  extremes({"[n, 5, 8]", "[3, 7, 15]"}, 2, false);
  extremes({"[n]", "[17]", "[33]"}, 0, false);
  return out;
}

std::vector<Row> products() {
  using List = std::vector<int64_t>;
  const auto contraction = [](List a, List b, List a_batch, List b_batch) {
    return [=](const Inputs& x) {
      return x.record(OpKind::contraction,
                      {{"a", a}, {"b", b}, {"a_batch", a_batch}, {"b_batch", b_batch}});
    };
  };
  return {
      {OpKind::contraction,
       {kAny, kAny},
       {"[n, 7], [7, 5]", "[n, 1], [1, 10]", "[n, 16], [16, 33]", "[5, 31], [31, n]",
        "[3, 9], [9, 2]", "[1, 8], [8, 1]", "[n, 64], [64, 17]", "[2, n, 3], [3, 15]",
        "f64[n, 7], f64[7, 5]", "[17, 33], [33, 31]"},
       [](const Inputs& x) { return matmul(x[0], x[1]); }},
      {OpKind::contraction,
       {kAny, kAny},
       {"[2, n, 3], [2, 3, 7]", "[3, 5, 8], [3, 8, 9]", "[n, 2, 5], [n, 5, 3]"},
       [](const Inputs& x) { return matmul(x[0], x[1]); }},
      // The forms of a layer: x W^T, and d^T x.
      {OpKind::contraction,
       {kAny, kAny},
       {"[n, 7], [5, 7]", "[n, 33], [16, 33]", "[n, 8], [1, 8]", "[9, 15], [17, 15]"},
       [](const Inputs& x) { return linear(x[0], x[1]); }},
      {OpKind::contraction,
       {kAny, kAny},
       {"[n, 7], [n, 5]", "[n, 1], [n, 10]", "[n, 33], [n, 16]", "[n, 9], [n, 1]",
        "[15, 17], [15, 3]", "f64[n, 3], f64[n, 2]"},
       contraction({0}, {0}, {}, {})},
      // No axis, several axes, axes in another order, a batch axis that is not the first.
      {OpKind::contraction, {kAny, kAny}, {"[n], [7]", "[5], [9]"}, contraction({}, {}, {}, {})},
      {OpKind::contraction,
       {kAny, kAny},
       {"[n, 3, 5], [5, n, 3]", "[2, 3, 7], [7, 2, 3]"},
       contraction({0, 1, 2}, {1, 2, 0}, {}, {})},
      {OpKind::contraction,
       {kAny, kAny},
       {"[n, 3, 5], [5, 3, 8]", "[2, 3, 7], [7, 3, 2]"},
       contraction({2, 1}, {0, 1}, {}, {})},
      {OpKind::contraction,
       {kAny, kAny},
       {"[5, 2, n], [2, 3, 5]", "[7, 2, 3], [2, 9, 7]"},
       contraction({0}, {2}, {1}, {0})},
      {OpKind::linear,
       {kAny, kAny, kAny},
       {"[n, 1], [10, 1], [10]",   "[n, 10], [1, 10], [1]",          "[n, 2], [9, 2], [9]",
        "[n, 7], [5, 7], [5]",     "[n, 33], [31, 33], [31]",        "[5, 16], [17, 16], [17]",
        "[1, 8], [3, 8], [3]",     "[2, n, 3], [15, 3], [15]",       "f64[n, 3], f64[2, 3], f64[2]",
        "[1, 1], [1, 1], [1]",     "[n, 16], [8, 16], [8]",          "[n, 9], [33, 9], [33]",
        "[n, 2, 5], [7, 5], [7]",  "[2, 3, 1, 4], [5, 4], [5]",      "[n, 1, 3, 2], [1, 2], [1]",
        "[17, 31], [3, 31], [3]",  "f64[5, 7], f64[9, 7], f64[9]",   "[3, n, 1], [2, 1], [2]",
        "[n, 64], [16, 64], [16]", "f64[2, n, 2], f64[3, 2], f64[3]"},
       [](const Inputs& x) { return linear(x[0], x[1], x[2]); }},
      {OpKind::gather,
       {kAny, index_into(0, 0)},
       {"[6, 4], i64[n]", "[33, 7], i64[n]", "[2, 17], i32[n]", "[5, 1], i64[9]", "[1, 8], i64[3]",
        "f64[3, 5], i64[n]", "[n, 3], i64[n]"},
       [](const Inputs& x) { return gather(x[0], x[1]); }},
      {OpKind::gather,
       {kWhole, index_into(0, 0)},
       {"i64[6, 4], i64[n]"},
       [](const Inputs& x) { return gather(x[0], x[1]); }},
      // Fewer rows than indices: some rows get several.
      {OpKind::scatter_add,
       {kAny, index_into(0, 0), kAny},
       {"[6, 4], i64[n], [n, 4]", "[33, 7], i64[n], [n, 7]", "[2, 17], i32[n], [n, 17]",
        "[5, 1], i64[9], [9, 1]", "[1, 8], i64[3], [3, 8]", "f64[3, 5], i64[n], f64[n, 5]",
        "[9, 2, 3], i64[n], [n, 2, 3]", "[17, 16], i32[5], [5, 16]", "[1, 1], i64[n], [n, 1]"},
       [](const Inputs& x) { return scatter_add(x[0], x[1], x[2]); }},
  };
}

std::vector<Row> losses() {
  const Domain logits = real(-4, 4);
  const Samples classes = {"[n, 10]", "[n, 1]",    "[n, 2]",  "[n, 33]",   "[5, 17]",
                           "[3, 8]",  "f64[n, 5]", "[n, 16]", "f64[9, 3]", "[1, 31]"};
  const Samples pairs = {"[n, 1], [n, 1]",      "[n, 7], [n, 7]",       "[n], [n]",
                         "[5, 31], [5, 31]",    "[n, 3, 5], [n, 3, 5]", "[17], [17]",
                         "f64[n, 2], f64[n, 2]"};
  const Samples labelled = {"[n, 10], i64[n]", "[n, 2], i64[n]",   "[n, 33], i32[n]",
                            "[5, 17], i64[5]", "[n, 3], i64[n]",   "[1, 8], i64[1]",
                            "[n, 31], i64[n]", "f64[n, 5], i64[n]"};
  std::vector<Row> out = {
      {OpKind::softmax, {logits}, classes, [](const Inputs& x) { return softmax(x[0], 1); }},
      {OpKind::softmax,
       {logits},
       {"[3, 7]", "[16, n]", "[1, 9]", "f64[5, n]", "[33, 2]"},
       [](const Inputs& x) { return softmax(x[0], 0); }},
      {OpKind::softmax,
       {logits},
       {"[2, n, 3]", "[n, 5, 8]", "[2, 3, 1, 7]", "[n, 2, 2, 3]", "[17]"},
       [](const Inputs& x) { return softmax(x[0]); }},
      {OpKind::log_softmax,
       {logits},
       classes,
       [](const Inputs& x) { return log_softmax(x[0], 1); }},
      {OpKind::log_softmax,
       {logits},
       {"[3, 7]", "[16, n]", "[1, 9]", "f64[5, n]", "[33, 2]"},
       [](const Inputs& x) { return log_softmax(x[0], 0); }},
      {OpKind::log_softmax,
       {logits},
       {"[2, n, 3]", "[n, 5, 8]", "[2, 3, 1, 7]", "[n, 2, 2, 3]", "[17]"},
       [](const Inputs& x) { return log_softmax(x[0]); }},
  };
  for (Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
    out.push_back({OpKind::mse_loss, {kAny, kAny}, pairs, [=](const Inputs& x) {
                     return mse_loss(x[0], x[1], {.reduction = reduction});
                   }});
    out.push_back(
        {OpKind::cross_entropy, {logits, index_into(0, 1)}, labelled, [=](const Inputs& x) {
           return cross_entropy(x[0], x[1], {.reduction = reduction});
         }});
    out.push_back({OpKind::cross_entropy,
                   {logits, index_into(0, 1, -1)},
                   {"[n, 10], i64[n]"},
                   [=](const Inputs& x) {
                     return cross_entropy(x[0], x[1], {.reduction = reduction, .ignore_index = -1});
                   }});
  }
  return out;
}

}  // namespace

const std::vector<Row>& op_rows() {
  static const std::vector<Row> rows = [] {
    std::vector<Row> all;
    for (auto part : {arithmetic, functions, choices, sources, shapes, reductions, products, losses,
                      sampled_rows}) {
      const std::vector<Row> more = part();
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }();
  return rows;
}

const std::vector<Exemption>& exempt_ops() {
  static const std::vector<Exemption> list = {
      {OpKind::gradient, "the gradient test replaces it: it has no meaning of its own"},
      {OpKind::assign, "an effect on a global; whole trainings check it"},
      {OpKind::kernel, "made by fuse around ops that have rows"},
      {OpKind::barrier, "made by plan_memory; does not compute"},
  };
  return list;
}

}  // namespace sinter::test
