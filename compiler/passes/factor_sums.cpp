// Takes factors that all rows share out of sums over the batch: sum(u * r) becomes u * sum(r), for
// a sum or a contraction over n. In the backward half of a net this is the 1/n of a mean, and the
// weights of a layer with one output, whose gradients by row are d * w:
//
//   dW[j] = sum over n of where(h[n,j] > 0, d[n] * w[j], 0) * x[n]
//         = w[j] * sum over n of where(h[n,j] > 0, d[n], 0) * x[n]
//
// Each row has a product less, and where the factor is itself a total, as the number of rows that
// cross-entropy counts, rows no longer wait for it: one pass over the batch does what two did.
//
// Only for nets that run with rows in lanes (compiler/forms/batch_form.h), where this leaves less
// to do for a row. Elsewhere a gradient by row is an epilogue that nothing waits for.
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "compiler/forms/batch_form.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"
#include "ir/builder.h"
#include "ir/op.h"

namespace sinter::compiler {

namespace {

using namespace ir;

// A row value as a product: `factor` is the same for all rows. It has one element, or as many as
// the value has features, and then `rows` may have fewer features than the value.
struct Product {
  Expr factor, rows;
};

class Factorizer {
 public:
  Factorizer(Module& module, Func& func) : b_(module, func), func_(func) {}

  // Whether a sum has been factored.
  bool run() {
    for (Op& op : std::exchange(func_.body, {})) {
      b_.set_loc(op.loc);
      if (makes_zero(&op)) zeros_.insert(op.result);
      const bool by_row = op.result.valid() && row(op.result);
      if (by_row) {
        if (auto product = split(op)) products_.insert_or_assign(op.result, *product);
      } else if (const auto sum = factored_sum(op)) {
        hand_over_name(func_, op.result, sum->id());
        replaced_.emplace_back(op.result, sum->id());
        continue;
      }
      func_.body.push_back(std::move(op));
    }
    replace_uses(func_, replaced_);
    return !replaced_.empty();
  }

 private:
  bool row(ValueId v) const { return func_.type(v).follows_batch(); }
  bool scalar(Expr x) const { return elements(x.type()) == 1; }
  Expr operand(const Op& op, size_t i) { return {b_, op.operands[i]}; }

  const Product* product(ValueId v) const {
    const auto it = products_.find(v);
    return it == products_.end() ? nullptr : &it->second;
  }
  // That of a value which is `factor` times rows of the same type.
  const Product* scaled(ValueId v) const {
    const Product* p = product(v);
    return p && scalar(p->factor) ? p : nullptr;
  }

  Expr apply(const Op& op, size_t changed, Expr by) {
    std::vector<Expr> operands;
    for (size_t i = 0; i < op.operands.size(); ++i) {
      operands.push_back(i == changed ? by : operand(op, i));
    }
    std::optional<Type> declared;
    if (def(op).is(Trait::view)) declared = func_.type(op.result);
    return b_.apply(op.kind, operands, op.attrs, declared);
  }

  // `op`, which is linear in operand i, of that product.
  std::optional<Product> through(const Op& op, size_t i, const Product* p) {
    if (!p) return std::nullopt;
    return Product{p->factor, apply(op, i, p->rows)};
  }

  std::optional<Product> split(const Op& op) {
    if (!is_float(func_.type(op.result).dtype)) return std::nullopt;
    if (op.kind == OpKind::mul) return split_mul(op);
    if (op.kind == OpKind::neg) return through(op, 0, product(op.operands[0]));
    if (op.kind == OpKind::select) return split_select(op);
    if (op.kind == OpKind::contraction) return split_contraction(op);
    if (op.kind == OpKind::sum || def(op).is(Trait::view)) {
      return through(op, 0, scaled(op.operands[0]));
    }
    return std::nullopt;
  }

  std::optional<Product> split_mul(const Op& op) {
    for (const size_t i : {size_t{0}, size_t{1}}) {
      const Expr rows = operand(op, i), factor = operand(op, 1 - i);
      if (!row(rows.id())) continue;
      const Product* p = product(rows.id());
      if (row(factor.id())) {
        if (p) return through(op, i, p);
        continue;
      }
      if (!scalar(factor)) return std::nullopt;
      return p ? Product{p->factor * factor, p->rows} : Product{factor, rows};
    }
    return std::nullopt;
  }

  // where(c, u * r, 0) and where(c, 0, u * r).
  std::optional<Product> split_select(const Op& op) {
    for (const size_t i : {size_t{1}, size_t{2}}) {
      if (zeros_.count(op.operands[3 - i])) return through(op, i, product(op.operands[i]));
    }
    return std::nullopt;
  }

  // A layer of one output gives each row d * w, as a product whose depth is 1.
  std::optional<Product> split_contraction(const Op& op) {
    const size_t side = row(op.operands[0]) ? 0 : 1;
    if (row(op.operands[1 - side])) return std::nullopt;
    const Product* p = scaled(op.operands[side]);
    const Type& type = func_.type(op.result);
    const Expr d = p ? p->rows : operand(op, side), w = operand(op, 1 - side);
    const bool outer = type.rank() == 2 && d.type().rank() == 2 && elements(d.type()) == 1 &&
                       elements(type) == elements(w.type()) && type.shape[0].batch &&
                       d.type().shape[0].batch;
    if (!outer) return through(op, side, p);
    const Expr factor = reshape(w, {type.shape[1]});
    return Product{p ? factor * p->factor : factor, d};
  }

  // A sum over the batch of a product.
  std::optional<Expr> factored_sum(const Op& op) {
    if (op.kind != OpKind::sum && op.kind != OpKind::contraction) return std::nullopt;
    const Type result = func_.type(op.result);
    for (size_t i = 0; i < op.operands.size(); ++i) {
      const Product* p = row(op.operands[i]) ? product(op.operands[i]) : nullptr;
      if (!p) continue;
      // Each element of the sum has a factor of its own.
      const bool by_feature = p->rows.type() == func_.type(op.operands[i]) &&
                              elements(p->factor.type()) == elements(result);
      if (!scalar(p->factor) && !by_feature) continue;
      const Expr sum = apply(op, i, p->rows);
      return sum * reshape(p->factor, scalar(p->factor) ? Shape{} : result.shape);
    }
    return std::nullopt;
  }

  Builder b_;
  Func& func_;
  std::set<ValueId> zeros_;
  std::map<ValueId, Product> products_;
  std::vector<std::pair<ValueId, ValueId>> replaced_;
};

bool cheaper(const BatchForm& a, const BatchForm& b) {
  return a.passes < b.passes || (a.passes == b.passes && a.row_ops < b.row_ops);
}

}  // namespace

void factor_sums(Module& module, const Options& options) {
  for (size_t i = 0; i < module.funcs.size(); ++i) {
    const BatchAnalysis before = analyze_batch(module.funcs[i]);
    if (!before.form) continue;
    Module candidate = module;
    if (!Factorizer(candidate, candidate.funcs[i]).run()) continue;
    cse(candidate, options);
    dce(candidate, options);
    const BatchAnalysis after = analyze_batch(candidate.funcs[i]);
    if (after.form && cheaper(*after.form, *before.form)) {
      module.funcs[i] = std::move(candidate.funcs[i]);
    }
  }
}

}  // namespace sinter::compiler
