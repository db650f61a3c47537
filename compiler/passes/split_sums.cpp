// Cuts the sums over the rows of a batch, which are the gradients of parameters, into parts of
// rows. A thread that owns the rows of a part then goes from the first layer to its gradients
// without waiting for others: what crosses between cores is the sums of each part, once, and the
// updated parameters. Otherwise threads share the features of each layer and hand over their
// activations.
//
// The parts follow from the shapes alone, and are added in order, so any number of threads gives
// the same bits.
#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"
#include "ir/op.h"

namespace sinter::compiler {

namespace {

using namespace ir;

// A part with fewer rows does not use a tile of a product well.
constexpr int64_t rows_of_part = 64, most_parts = 16;
// Less work is done sooner by one thread than by two. In products, of which a core does about
// 48,000 a microsecond (compiler/forms/cost.cpp).
constexpr int64_t least_products = 480'000;

bool folds_rows(const Type& x, const std::vector<int64_t>& axes) {
  return axes == std::vector<int64_t>{0} && x.rank() == 2 && x.shape[0] == batch_dim &&
         !x.shape[1].batch && x.shape[1].scale > 1;
}

class Splitter {
 public:
  Splitter(Module& module, Func& func, int64_t max_batch)
      : module_(module), func_(func), max_batch_(max_batch) {}

  void run() {
    if (max_batch_ < 2 * rows_of_part || !choose_parts()) return;
    find_row_sums();
    for (Op& op : std::exchange(func_.body, {})) {
      const Op* rows = op.kind == OpKind::sum ? row_sum_of(op) : nullptr;
      if (rows) {
        total(op, *rows);
      } else if (is_sum(op)) {
        cut(std::move(op));
      } else if (!row_sums_.count(op.result)) {
        func_.body.push_back(std::move(op));
      }
    }
    replace_uses(func_, replaced_);
    compact(func_);
  }

 private:
  const Type& type(const Op& op, size_t operand) const { return func_.type(op.operands[operand]); }

  bool is_sum(const Op& op) const {
    if (op.kind == OpKind::sum) {
      return folds_rows(type(op, 0), op.attrs.integers("axes")) && op.attrs.integer("parts") == 1 &&
             !op.attrs.flag("keepdims");
    }
    return op.kind == OpKind::contraction && folds_rows(type(op, 0), op.attrs.integers("a")) &&
           folds_rows(type(op, 1), op.attrs.integers("b")) && op.attrs.integer("parts") == 1;
  }

  // Whether a product over the batch has another form than that of a weight gradient.
  bool folds_batch_otherwise(const Op& op) const {
    if (op.kind != OpKind::contraction || is_sum(op)) return false;
    const std::vector<int64_t>& folded = op.attrs.integers("a");
    return std::any_of(folded.begin(), folded.end(), [&](int64_t axis) {
      return type(op, 0).shape[static_cast<size_t>(axis)].batch;
    });
  }

  // Compares what a core of two has to fetch from the other: of n rows, K features in and N out,
  //   features shared: half of the n K inputs and n N gradients, a quarter of the weights, which
  //   are updated by columns and read by rows;
  //   parts: half of the updated weights, and as much of each part of the other's sums.
  bool choose_parts() {
    if (std::any_of(func_.body.begin(), func_.body.end(), [&](const Op& op) {
          return op.kind == OpKind::kernel || folds_batch_otherwise(op);
        })) {
      return false;
    }
    parts_ = std::clamp(max_batch_ / rows_of_part, int64_t{2}, most_parts);
    int64_t products = 0, by_features = 0, by_parts = 0;
    for (const Op& op : func_.body) {
      if (op.kind != OpKind::contraction || !is_sum(op)) continue;
      const int64_t in = type(op, 1).shape[1].scale, out = type(op, 0).shape[1].scale;
      products += 3 * max_batch_ * in * out;
      by_features += max_batch_ * (in + out) / 2 + in * out / 4;
      by_parts += in * out * (parts_ + 2) / 4;
    }
    return products >= least_products && by_parts < by_features;
  }

  // Sums of each row that a sum over all rows alone reads, as those of a loss.
  void find_row_sums() {
    std::map<ValueId, int> readers;
    for (const Op& op : func_.body) {
      for (ValueId v : op.operands) ++readers[v];
    }
    for (ValueId v : func_.results) ++readers[v];
    for (const Op& op : func_.body) {
      const bool by_row = op.kind == OpKind::sum && op.attrs.flag("keepdims") &&
                          op.attrs.integers("axes") == std::vector<int64_t>{1} &&
                          folds_rows(type(op, 0), {0});
      if (by_row && readers[op.result] == 1) row_sums_.emplace(op.result, op);
    }
    // Those that another op reads stay.
    for (const Op& op : func_.body) {
      if (op.kind == OpKind::sum && row_sum_of(op)) continue;
      for (ValueId v : op.operands) row_sums_.erase(v);
    }
  }

  const Op* row_sum_of(const Op& op) const {
    const auto it = row_sums_.find(op.operands[0]);
    const bool whole = op.attrs.integers("axes") == std::vector<int64_t>{0, 1};
    return it == row_sums_.end() || !whole ? nullptr : &it->second;
  }

  // The columns first and the rest at the end: no row is summed across lanes.
  void total(const Op& op, const Op& rows) {
    Builder b(module_, func_);
    b.set_loc(op.loc);
    const Expr x(b, rows.operands[0]);
    const Dim width = x.type().shape[1];
    const Expr columns = sum_of_parts(
        b.apply(OpKind::sum, {x}, {{"axes", std::vector<int64_t>{0}}, {"parts", parts_}}), {width});
    replace(op, reshape(sum(columns, {0}, false), func_.type(op.result).shape));
  }

  void cut(const Op& op) {
    Builder b(module_, func_);
    b.set_loc(op.loc);
    std::vector<Expr> operands;
    for (ValueId v : op.operands) operands.emplace_back(b, v);
    Attrs attrs = op.attrs;
    attrs.set("parts", parts_);
    const Shape whole = func_.type(op.result).shape;
    replace(op, sum_of_parts(b.apply(op.kind, operands, attrs), whole));
  }

  Expr sum_of_parts(Expr parts, const Shape& whole) const {
    std::optional<Expr> out;
    for (int64_t part = 0; part < parts_; ++part) {
      const Expr one = reshape(slice(parts, 0, {.start = part, .step = 1, .size = 1}), whole);
      out = out ? *out + one : one;
    }
    return *out;
  }

  void replace(const Op& op, Expr by) {
    hand_over_name(func_, op.result, by.id());
    replaced_.emplace_back(op.result, by.id());
  }

  Module& module_;
  Func& func_;
  const int64_t max_batch_;
  int64_t parts_ = 1;
  std::map<ValueId, Op> row_sums_;  // that `total` takes the place of
  std::vector<std::pair<ValueId, ValueId>> replaced_;
};

}  // namespace

void split_sums(Module& module, const Options& options) {
  for (Func& func : module.funcs) Splitter(module, func, options.max_batch).run();
}

}  // namespace sinter::compiler
