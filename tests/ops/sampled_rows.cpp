#include "tests/ops/sampled_rows.h"

#include <random>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sinter/fnv.h>
#include <sinter/functions.h>

#include "ir/op.h"

namespace sinter::test {

namespace {

using ir::OpKind;
using Axis = std::optional<int64_t>;

const Domain kAny = real(-2, 2);
const Domain kWhole = integers(-9, 9);
const Domain kFew = integers(-2, 2);

// Draws the shapes of one op, by its name: a new op changes no sample of others. Sizes are those at
// which vectors have tails.
class Sampler {
 public:
  explicit Sampler(OpKind op) : op_(op), rng_(fnv1a_32(ir::def(op).name)) {}

  int64_t below(int64_t limit) {
    return static_cast<int64_t>(rng_() % static_cast<uint64_t>(limit));
  }

  // Four types of `rank` axes: one on the batch, one static, and two of another dtype, one of them
  // on the batch. `fixed` is an axis that does not follow it.
  std::vector<std::string> types(int64_t rank, Axis fixed = std::nullopt, const char* other = "f64",
                                 int64_t largest = 33) {
    std::vector<std::string> out;
    for (int i = 0; i < 4; ++i) {
      Axis batch;
      if (i % 2 == 0 && rank > (fixed ? 1 : 0)) {
        batch = below(rank);
        while (batch == fixed) batch = below(rank);
      }
      out.push_back((i < 2 ? "f32" : other) + shape(rank, batch, largest));
    }
    return out;
  }

  void row(std::vector<Domain> domains, std::vector<std::string> samples, Build build) {
    rows.push_back({op_, std::move(domains), std::move(samples), std::move(build)});
  }

  std::vector<Row> rows;

 private:
  std::string shape(int64_t rank, Axis batch, int64_t largest) {
    constexpr int64_t sizes[] = {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33};
    // Each element is one more run of the gradient check.
    int64_t left = batch ? 34 : 160;
    std::vector<std::string> dims;
    for (int64_t i = 0; i < rank; ++i) {
      if (i == batch) {
        dims.push_back("n");
        continue;
      }
      int64_t size = sizes[below(12)];
      while (size > left || size > largest) size = sizes[below(12)];
      left /= size;
      dims.push_back(std::to_string(size));
    }
    return fmt::format("[{}]", fmt::join(dims, ", "));
  }

  OpKind op_;
  std::mt19937_64 rng_;
};

int64_t size_of(const Inputs& x, int64_t axis) {
  return x.types[0].shape[static_cast<size_t>(axis)].scale;
}

// A part of an axis that follows from its size and a number: all of it, its end, its middle.
struct Part {
  int64_t start, stop, step;
};
Part part_of(int64_t size, int64_t number) {
  const int64_t start = number % size, step = number / 3 % 3 + 1;
  const int64_t stop = std::max(start + 1, size - number / 5 % 3);
  return {start, stop, step};
}

std::vector<Row> slices() {
  Sampler s(OpKind::slice);
  for (int64_t number = 0; number < 6; ++number) {
    const int64_t rank = 1 + number % 4, axis = number == 3 ? 3 : s.below(rank);
    s.row({kAny}, s.types(rank, axis), [=](const Inputs& x) {
      const int64_t size = size_of(x, axis);
      const Part p = part_of(size, number + 1);
      // A slice of everything is no op: the second half of twice that instead.
      const bool all = p.start == 0 && p.stop == size && (p.step == 1 || size == 1);
      return all ? slice(concat({x[0], x[0]}, axis), axis, size)
                 : slice(x[0], axis, p.start, p.stop, p.step);
    });
  }
  // One sliced again, one turned, one of a view, one of whole numbers and of flags.
  s.row({kAny}, {"[n, 9, 7]", "[5, 8, 3]", "f64[n, 7, 2]", "[n, 6, 33]"},
        [](const Inputs& x) { return slice(slice(x[0], 1, 1, to_end, 2), -1, -2); });
  s.row({kAny}, {"[n, 9]", "[5, 8]", "f64[n, 7]", "[n, 33]"},
        [](const Inputs& x) { return flip(x[0], 1); });
  s.row({kAny}, {"[n, 9]", "[5, 8]", "f64[2, 17]", "[n, 33]"},
        [](const Inputs& x) { return slice(t(x[0]), 0, 1, to_end, 2); });
  s.row({kAny}, {"[n, 9]", "[5, 16]", "f64[n, 17]", "[33, 4]"}, [](const Inputs& x) {
    const std::vector<Value> parts = split(x[0], 3, 1);
    return parts.front() * parts[parts.size() > 2 ? 1 : 0];
  });
  s.row({kWhole}, {"i64[n, 7]", "i32[5, 9]", "i64[17, 3]", "i32[n, 33]"},
        [](const Inputs& x) { return slice(x[0], 1, 1, -1); });
  s.row({flags()}, {"bool[n, 7]", "bool[5, 9]"}, [](const Inputs& x) { return slice(x[0], 1, 2); });
  return s.rows;
}

std::vector<Row> pads() {
  Sampler s(OpKind::pad);
  for (int64_t number = 0; number < 5; ++number) {
    const int64_t rank = 1 + number % 4, axis = number == 3 ? 3 : s.below(rank);
    const int64_t before = s.below(9), after = before == 0 ? 3 : s.below(5);
    const double value = number % 2 == 0 ? 0 : 1.5;
    s.row({kAny}, s.types(rank, axis),
          [=](const Inputs& x) { return pad(x[0], axis, before, after, value); });
  }
  // With steps, as the derivative of a slice has them, forwards and backwards.
  for (const int64_t step : {2, -1, -3}) {
    const int64_t axis = step == 2 ? 1 : 0;
    s.row({kAny}, s.types(2, axis), [=](const Inputs& x) {
      ir::Type wide = x.types[0];
      ir::Dim& dim = wide.shape[static_cast<size_t>(axis)];
      const int64_t reach = std::abs(step) * (dim.scale - 1);
      dim.scale = reach + 4;
      const int64_t start = step > 0 ? 1 : reach + 1;
      return x.record(OpKind::pad,
                      {{"axis", axis}, {"start", start}, {"step", step}, {"value", 0.0}}, wide);
    });
  }
  s.row({kWhole}, s.types(2, 1, "i64"), [](const Inputs& x) { return pad(x[0], 1, 3, 1, 7); });
  s.row({flags()}, {"bool[n, 7]", "bool[5, 9]"},
        [](const Inputs& x) { return pad(x[0], 1, 2, 3, 1); });
  for (int64_t axis = 0; axis < 3; ++axis) {
    s.row({kAny}, s.types(3, axis), [=](const Inputs& x) {
      return concat({x[0], slice(x[0], axis, 0, 1), exp(x[0])}, axis);
    });
  }
  s.row({kAny, kAny}, {"[n, 7], [n, 7]", "[3, 5], [3, 5]", "f64[n, 2], f64[n, 2]", "[n], [n]"},
        [](const Inputs& x) { return stack({x[0], x[1], x[0] * x[1]}, -1); });
  s.row({kAny, kAny}, {"[n, 7], [n, 7]", "[3, 5], [3, 5]", "f64[n, 2], f64[n, 2]", "[n], [n]"},
        [](const Inputs& x) { return stack({x[0], x[1]}, 0); });
  s.row({flags(), flags()}, {"bool[n, 7], bool[n, 2]", "bool[3, 5], bool[3, 9]"},
        [](const Inputs& x) { return concat({x[0], x[1]}, 1); });
  s.row({kWhole, kWhole}, {"i64[n, 7], i64[n, 2]", "i32[3, 5], i32[3, 9]"},
        [](const Inputs& x) { return concat({x[0], x[1]}, 1); });
  return s.rows;
}

// A random set of axes of a rank.
std::vector<int64_t> some_axes(Sampler& s, int64_t rank) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < rank; ++i) {
    if (s.below(2) == 0) out.push_back(s.below(2) == 0 ? i : i - rank);
  }
  if (out.empty()) out.push_back(rank - 1);
  return out;
}

// Functions that fold, over one axis, several, all.
std::vector<Row> folds() {
  std::vector<Row> out;
  using Fold = std::function<Value(const Value&, const Axes&, bool)>;
  const auto rows = [&](OpKind op, const Domain& domain, int64_t count, const char* other,
                        int64_t largest, const Fold& fold) {
    Sampler s(op);
    for (int64_t number = 0; number < count; ++number) {
      const int64_t rank = number == 0 ? 1 : 2 + number % 3;
      const std::vector<int64_t> axes = some_axes(s, rank);
      const bool keepdims = s.below(2) == 0;
      s.row({domain}, s.types(rank, std::nullopt, other, largest),
            [=](const Inputs& x) { return fold(x[0], axes, keepdims); });
    }
    out.insert(out.end(), s.rows.begin(), s.rows.end());
  };
  using V = const Value&;
  using A = const Axes&;
  rows(OpKind::sum, kAny, 3, "f64", 33, [](V x, A axes, bool keep) { return sum(x, axes, keep); });
  rows(OpKind::mean, kAny, 3, "f64", 33,
       [](V x, A axes, bool keep) { return mean(x, axes, keep); });
  rows(OpKind::max, distinct(), 3, "f64", 33,
       [](V x, A axes, bool keep) { return max(x, axes, keep); });
  rows(OpKind::max, kFew, 3, "i64", 33, [](V x, A axes, bool keep) { return min(x, axes, keep); });
  // The gradient of the gradient of a product takes the cube of the folded elements.
  rows(OpKind::prod, nonzero(0.5, 1.5), 5, "f64", 3,
       [](V x, A axes, bool keep) { return prod(x, axes, keep); });
  rows(OpKind::prod, kFew, 2, "i64", 2, [](V x, A axes, bool keep) { return prod(x, axes, keep); });
  rows(OpKind::logsumexp, real(-4, 4), 5, "f64", 33,
       [](V x, A axes, bool keep) { return logsumexp(x, axes, keep); });
  rows(OpKind::mean, kAny, 3, "f64", 33,
       [](V x, A axes, bool keep) { return var(x, axes, {.correction = 0, .keepdims = keep}); });
  // Added to, so that the square root has a slope where there is one element only.
  rows(OpKind::mean, kAny, 2, "f64", 33, [](V x, A axes, bool keep) {
    return sqrt(var(x, axes, {.correction = 0, .keepdims = keep}) + 1);
  });
  Sampler s(OpKind::argmax);
  for (const Domain& domain : {distinct(), kFew}) {
    for (int64_t rank = 1; rank < 4; ++rank) {
      const int64_t axis = s.below(rank);
      s.row({domain}, s.types(rank, std::nullopt, "i32"),
            [=](const Inputs& x) { return argmin(x[0], axis, rank == 2); });
    }
  }
  s.row({kFew}, s.types(2), [](const Inputs& x) { return argmax(x[0]); });
  out.insert(out.end(), s.rows.begin(), s.rows.end());
  // Zeros among the factors, and wide rows.
  out.push_back(
      {OpKind::prod, {kFew}, {"[n, 3]", "[2, 5]", "f64[n, 2]", "[n, 4]"}, [](const Inputs& x) {
         return prod(x[0], -1);
       }});
  out.push_back({OpKind::prod, {nonzero(0.9, 1.1)}, {"[n, 17]", "[2, 33]"}, [](const Inputs& x) {
                   return prod(x[0], 1);
                 }});
  return out;
}

std::vector<Row> lines() {
  Sampler sums(OpKind::cumsum);
  for (int64_t number = 0; number < 6; ++number) {
    const int64_t rank = 1 + number % 4, axis = number == 3 ? 0 : sums.below(rank);
    sums.row({number == 5 ? kWhole : kAny}, sums.types(rank, axis, number == 5 ? "i64" : "f64"),
             [=](const Inputs& x) { return cumsum(x[0], axis); });
  }
  sums.row({kAny}, {"[n, 9]", "[7, 5]"}, [](const Inputs& x) { return cumsum(t(exp(x[0])), 0); });
  Sampler tops(OpKind::top_k);
  for (int64_t number = 0; number < 6; ++number) {
    const int64_t rank = 1 + number % 3, axis = tops.below(rank);
    const bool values = number % 2 == 1;
    const Domain domain = number < 4 ? distinct() : kFew;
    tops.row({domain}, tops.types(rank, axis, "f64"), [=](const Inputs& x) {
      const int64_t size = size_of(x, axis);
      const TopK top = top_k(x[0], std::max<int64_t>(1, number < 2 ? size : size / 2), axis);
      return values ? top.values : top.indices;
    });
  }
  tops.row({kFew}, {"i64[n, 7]", "i32[5, 9]"},
           [](const Inputs& x) { return top_k(x[0], 3).indices; });
  std::vector<Row> out = sums.rows;
  out.insert(out.end(), tops.rows.begin(), tops.rows.end());
  return out;
}

std::vector<Row> indexing() {
  std::vector<Row> out;
  // Tables and indices of any rank.
  out.push_back({OpKind::gather,
                 {kAny, index_into(0, 0)},
                 {"[6, 4], i64[n, 3]", "[33], i64[n]", "[2, 3, 5], i32[4]", "f64[5], i64[]",
                  "[7, 2], i64[3, 2]"},
                 [](const Inputs& x) { return gather(x[0], x[1]); }});
  out.push_back({OpKind::scatter_add,
                 {kAny, index_into(0, 0), kAny},
                 {"[6, 4], i64[n, 3], [n, 3, 4]", "[33], i64[n], [n]",
                  "[2, 3, 5], i32[4], [4, 3, 5]", "f64[5], i64[7], f64[7]"},
                 [](const Inputs& x) { return scatter_add(x[0], x[1], x[2]); }});
  out.push_back({OpKind::scatter_add,
                 {kWhole, index_into(0, 0), kWhole},
                 {"i64[6, 4], i64[n], i64[n, 4]", "i32[9], i64[17], i32[17]"},
                 [](const Inputs& x) { return scatter_add(x[0], x[1], x[2]); }});
  const auto along = [&](int64_t axis, const std::vector<std::string>& samples,
                         const std::vector<std::string>& with_updates) {
    out.push_back({OpKind::gather,
                   {kAny, index_into(0, static_cast<int>(axis))},
                   samples,
                   [=](const Inputs& x) { return gather(x[0], axis, x[1]); }});
    out.push_back({OpKind::scatter_add,
                   {kAny, index_into(0, static_cast<int>(axis)), kAny},
                   with_updates,
                   [=](const Inputs& x) { return scatter_add(x[0], axis, x[1], x[2]); }});
  };
  along(1,
        {"[n, 7], i64[n, 3]", "[n, 16], i64[n, 1]", "[5, 9], i32[5, 17]", "f64[n, 2], i64[n, 5]"},
        {"[n, 7], i64[n, 3], [n, 3]", "[5, 9], i32[5, 17], [5, 17]"});
  along(0, {"[9, 4], i64[3, 4]", "[7, n], i64[2, n]"}, {"[9, 4], i64[3, 4], [3, 4]"});
  along(1, {"[n, 5, 3], i64[n, 2, 3]", "[2, 8, n], i64[2, 3, n]"},
        {"[n, 5, 3], i64[n, 2, 3], [n, 2, 3]", "f64[2, 4, 3], i64[2, 9, 3], f64[2, 9, 3]"});
  const Domain classes = integers(0, 8);
  out.push_back(
      {OpKind::iota, {classes}, {"i64[n]", "i32[n, 3]", "i64[17]", "i64[]"}, [](const Inputs& x) {
         return one_hot(x[0], 9);
       }});
  out.push_back({OpKind::iota, {classes}, {"i64[n]", "i32[5]"}, [](const Inputs& x) {
                   return one_hot(x[0], 9, DType::boolean);
                 }});
  out.push_back({OpKind::iota, {kAny}, {"[n, 7]", "[3, 17]", "f64[2, n, 3]"}, [](const Inputs& x) {
                   return x[0] * iota_like(x[0], 1, x[0].dtype());
                 }});
  return out;
}

std::vector<Row> einsums() {
  Sampler s(OpKind::contraction);
  const auto two = [&](const char* spec, const std::vector<std::string>& samples) {
    s.row({kAny, kAny}, samples, [=](const Inputs& x) { return einsum(spec, x[0], x[1]); });
  };
  two("bik,bkj->bij",
      {"[n, 3, 5], [n, 5, 2]", "[2, 7, 3], [2, 3, 4]", "f64[n, 2, 2], f64[n, 2, 3]"});
  two("ij,kj->ki", {"[n, 7], [3, 7]", "[5, 9], [4, 9]"});
  two("bhqd,bhkd->bhqk", {"[n, 2, 3, 4], [n, 2, 5, 4]", "[2, 1, 3, 2], [2, 1, 2, 2]"});
  two("ij,jk", {"[n, 7], [7, 3]", "[2, 3], [3, 17]"});
  two("abc,cb->a", {"[n, 3, 5], [5, 3]", "[2, 3, 4], [4, 3]"});
  two("ai,bi->", {"[n, 3], [5, 3]", "[2, 4], [3, 4]"});
  s.row({kAny, kAny, kAny}, {"[n, 3], [3, 4], [4, 2]", "f64[n, 2], f64[2, 3], f64[3, 5]"},
        [](const Inputs& x) { return einsum("ij,jk,kl->li", x[0], x[1], x[2]); });
  s.row({kAny, kAny}, {"[n, 2, 3, 4], [n, 2, 4, 5]", "[2, 3, 4, 1], [2, 3, 1, 2]"},
        [](const Inputs& x) { return matmul(x[0], x[1]); });
  std::vector<Row> out = s.rows;
  // Products that sum over nothing, and what one operand alone can do.
  out.push_back(
      {OpKind::mul, {kAny, kAny}, {"[n, 3], [5, 3]", "[2, 7], [3, 7]"}, [](const Inputs& x) {
         return einsum("bi,ai->iab", x[0], x[1]);
       }});
  out.push_back({OpKind::sum, {kAny}, {"[n, 3, 5]", "[2, 7, 3]"}, [](const Inputs& x) {
                   return einsum("bij->jb", x[0]);
                 }});
  return out;
}

std::vector<Row> views() {
  return {
      {OpKind::reshape,
       {kAny},
       {"[n, 3, 5]", "[2, 7, 3]", "f64[n, 2, 2]"},
       [](const Inputs& x) { return flatten(x[0], 1); }},
      {OpKind::reshape,
       {kAny},
       {"[n, 3, 5]", "[2, 7, 3]"},
       [](const Inputs& x) { return flatten(x[0]); }},
      {OpKind::reshape,
       {kAny},
       {"[n, 1, 5]", "[1, 7, 1]"},
       [](const Inputs& x) { return squeeze(x[0]); }},
      {OpKind::broadcast,
       {kAny},
       {"[n, 1]", "[7, 1]"},
       [](const Inputs& x) { return expand(unsqueeze(x[0], 0), {3, -1, 5}); }},
  };
}

}  // namespace

std::vector<Row> sampled_rows() {
  std::vector<Row> all;
  for (auto part : {slices, pads, folds, lines, indexing, einsums, views}) {
    const std::vector<Row> more = part();
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

}  // namespace sinter::test
