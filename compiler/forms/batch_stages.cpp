#include "compiler/forms/batch_stages.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "ir/op.h"

namespace sinter::compiler {

using ir::Func;
using ir::Op;
using ir::OpKind;
using ir::Trait;
using ir::Type;
using ir::ValueDef;
using ir::ValueId;

ValueId behind_plain_views(const Func& func, const std::vector<const Op*>& defs, ValueId v) {
  while (func[v].def == ValueDef::op) {
    const Op* op = defs[static_cast<size_t>(v.index)];
    if (!op || op->operands.empty()) return v;
    const Type &here = func.type(v), &there = func.type(op->operands[0]);
    const bool same =
        elements(here) == elements(there) && here.follows_batch() == there.follows_batch();
    // Folding one element leaves it as it is, except that argmax gives its place.
    const bool fold = def(*op).is(Trait::reduction) && op->kind != OpKind::argmax;
    if (!same || !(def(*op).is(Trait::view) || fold)) return v;
    v = op->operands[0];
  }
  return v;
}

size_t row_factor(const Func& func, const Op& product) {
  return func.type(product.operands[0]).follows_batch() ? 0 : 1;
}

std::optional<FactorStrides> factor_strides(const Func& func, const Op& product) {
  const size_t row = row_factor(func, product);
  const int64_t results = elements(func.type(product.result));
  const auto side = [&](int64_t j) {
    std::vector<std::pair<int64_t, int64_t>> list = contracted_elements(func, product, j);
    if (row == 1) {
      for (auto& [a, b] : list) std::swap(a, b);
    }
    return list;
  };
  const auto first = side(0);
  FactorStrides out;
  if (first.size() > 1) out.by_depth = first[1].second - first[0].second;
  if (results > 1) out.by_result = side(1)[0].second - first[0].second;
  for (const int64_t j : {int64_t{0}, std::min<int64_t>(1, results - 1), results - 1}) {
    const auto list = side(j);
    for (size_t k = 0; k < list.size(); ++k) {
      const auto depth = static_cast<int64_t>(k);
      if (list[k].first != depth || list[k].second != j * out.by_result + depth * out.by_depth) {
        return std::nullopt;
      }
    }
  }
  return out;
}

std::optional<Biased> biased_product(const Func& func, const BatchForm& form, const Op& product) {
  std::optional<Biased> out;
  auto readers = std::count(func.results.begin(), func.results.end(), product.result);
  for (const BatchOp& b : form.ops) {
    const std::vector<ValueId>& read = b.op->operands;
    const auto here = std::count(read.begin(), read.end(), product.result);
    readers += here;
    if (here != 1 || b.op->kind != OpKind::add) continue;
    if (func.type(b.op->result) != func.type(product.result)) continue;
    out = {b.op->result, read[0] == product.result ? read[1] : read[0]};
  }
  return readers == 1 ? out : std::nullopt;
}

std::optional<Biased> uniformly_biased_product(const Func& func, const BatchForm& form,
                                               const Op& product) {
  std::optional<Biased> out = biased_product(func, form, product);
  return out && !func.type(out->bias).follows_batch() ? out : std::nullopt;
}

namespace {

// A product by row of as many results keeps them in registers while it goes through its depth.
constexpr int64_t most_dot_results = 2;
// A total of a product with as many features is added up where the other factor is computed.
constexpr int64_t few_features = 4;

class Planner {
 public:
  Planner(const Func& func, const BatchForm& form, int pass)
      : func_(func), form_(form), pass_(pass), defs_(func.values.size(), nullptr) {
    for (const BatchOp& b : form.ops) {
      if (b.op->result.valid()) defs_[static_cast<size_t>(b.op->result.index)] = b.op;
    }
  }

  StagesAnalysis run() {
    find_needed();
    for (const BatchOp& b : form_.ops) {
      if (needed_.count(b.op) && !place(b)) return {std::nullopt, reason_};
    }
    for (const auto& [v, stage] : kept_at_) {
      if (kept_.count(v)) stage_at(stage).kept.push_back(def_of(v));
    }
    for (const auto& [key, stage] : stages_) out_.stages.push_back(stage);
    return {std::move(out_), {}};
  }

 private:
  using Place = std::pair<int, int64_t>;  // level, features

  bool no(std::string reason) {
    reason_ = std::move(reason);
    return false;
  }
  bool row(ValueId v) const { return func_.type(v).follows_batch(); }
  int64_t features(ValueId v) const { return elements(func_.type(v)); }
  const Op* def_of(ValueId v) const { return defs_[static_cast<size_t>(v.index)]; }
  ValueId base(ValueId v) const { return behind_plain_views(func_, defs_, v); }

  // The totals of this pass and every row value that they need.
  void find_needed() {
    std::set<ValueId> read;
    for (auto b = form_.ops.rbegin(); b != form_.ops.rend(); ++b) {
      const bool root = b->role == BatchRole::total && b->pass == pass_;
      if (!root && !(b->role == BatchRole::row && read.count(b->op->result))) continue;
      needed_.insert(b->op);
      read.insert(b->op->operands.begin(), b->op->operands.end());
    }
  }

  // Computed wherever it is read: a source, or a view that repeats elements.
  bool free(const Op& op) const { return def(op).is(Trait::source) || def(op).is(Trait::view); }

  BatchStage& stage_at(const Place& place) {
    BatchStage& stage = stages_[place];
    stage.level = place.first;
    stage.features = place.second;
    return stage;
  }

  // Where a value is complete, or the level in which a stage of as many features computes it.
  struct Known {
    int level = -1;
    bool inside = false;  // stages of its level and features compute it element by element
  };
  Known known(ValueId v) const {
    const auto it = known_.find(base(v));
    return it == known_.end() ? Known{} : it->second;
  }

  // The level of a stage of `count` features that reads `v`.
  int level_for(ValueId v, int64_t count) const {
    const Known k = known(v);
    return k.inside && features(v) == count ? k.level : k.level + 1;
  }

  // Notes that a stage (or a product, at its own place) reads `v`.
  void read(ValueId v, const Place& at) {
    v = base(v);
    if (!row(v)) return;
    if (func_[v].def != ValueDef::op) {
      if (std::find(out_.arguments.begin(), out_.arguments.end(), v) == out_.arguments.end()) {
        out_.arguments.push_back(v);
      }
      return;
    }
    const Op& op = *def_of(v);
    // A comparison is cheaper to make again than to keep.
    if (free(op) || (func_.type(v).dtype == DType::boolean && def(op).is(Trait::elementwise))) {
      for (const ValueId operand : op.operands) read(operand, at);
      return;
    }
    const auto it = kept_at_.find(v);
    if (it != kept_at_.end() && it->second != at) kept_.insert(v);
  }

  bool place(const BatchOp& b) {
    const Op& op = *b.op;
    if (biased_.count(op.result)) return true;
    if (!check_uniform_operands(op)) return false;
    if (b.role == BatchRole::total) return place_total(op);
    if (op.kind == OpKind::contraction) return place_product(op);
    if (def(op).is(Trait::reduction) && features(op.operands[0]) > 1) return place_fold(op);
    const int64_t count = features(op.result);
    if (op.kind == OpKind::argmax) return no(pattern(op));
    if (free(op) || def(op).is(Trait::reduction)) return place_free(op);
    // Padding and running sums need elements of other features.
    if (!def(op).is(Trait::elementwise)) return no(pattern(op));
    int level = 0;
    for (const ValueId v : op.operands) {
      if (!row(v)) continue;
      if (features(v) != count && features(v) != 1) return no(pattern(op));
      level = std::max(level, level_for(v, count));
    }
    const Place at{level, count};
    stage_at(at);
    for (const ValueId v : op.operands) read(v, at);
    known_[op.result] = {level, true};
    kept_at_[op.result] = at;
    return true;
  }

  bool place_free(const Op& op) {
    const bool reshapes = !op.operands.empty() && features(op.operands[0]) == features(op.result);
    if (def(op).is(Trait::view) && reshapes && features(op.result) > 1) {
      // A transpose or a slice backwards may move them.
      for (int64_t j = 0; j < features(op.result); ++j) {
        if (operand_element(func_, op, 0, j) != j) return no(pattern(op));
      }
    }
    if (def(op).is(Trait::source)) {
      // The number of an element must be its index.
      int wide = 0;
      for (const ir::Dim& d : func_.type(op.result).shape) wide += !d.batch && d.scale > 1 ? 1 : 0;
      if (wide > 1 && op.kind != OpKind::constant) return no(pattern(op));
      return op.kind != OpKind::rng_bits || no(pattern(op));
    }
    if (!reshapes && features(op.operands[0]) != 1) return no(pattern(op));
    // What repeats one element waits for it.
    if (!reshapes) known_[op.result] = {known(op.operands[0]).level, false};
    return true;
  }

  // Whether the elements of `v` lie in memory, or can be kept there.
  bool can_lie_in_memory(ValueId v) const {
    v = base(v);
    return func_[v].def != ValueDef::op || !free(*def_of(v));
  }

  bool place_fold(const Op& op) {
    const ValueId x = op.operands[0];
    if (features(op.result) != 1) return no(pattern(op));
    const Place at{std::max(0, known(x).level + (known(x).inside ? 0 : 1)), features(x)};
    stage_at(at).folds.push_back(&op);
    read(x, at);
    known_[op.result] = {at.first, false};
    return true;
  }

  bool place_product(const Op& op) {
    const size_t r = row_factor(func_, op);
    if (row(op.operands[1 - r])) return no("a product of two row values by row");
    const ValueId x = op.operands[r];
    if (!factor_strides(func_, op) || !can_lie_in_memory(x) ||
        !can_lie_in_memory(op.operands[1 - r])) {
      return no(pattern(op));
    }
    if (features(op.result) <= most_dot_results && features(op.result) < features(x)) {
      return place_dot(op, x);
    }
    const Place at{known(x).level + 1, features(op.result)};
    stage_at(at).products.push_back(&op);
    // It reads all of x, so x is complete.
    read(x, {-1, 0});
    known_[op.result] = {at.first, true};
    kept_at_[op.result] = at;
    return true;
  }

  bool place_dot(const Op& op, ValueId x) {
    const Place at{level_for(x, features(x)), features(x)};
    RowDot dot{&op, op.result, std::nullopt};
    if (const auto biased = uniformly_biased_product(func_, form_, op)) {
      dot.result = biased->sum;
      dot.bias = biased->bias;
      biased_.insert(biased->sum);
    }
    stage_at(at).dots.push_back(dot);
    read(x, at);
    known_[dot.result] = {at.first, false};
    return true;
  }

  bool place_total(const Op& op) {
    if (op.kind == OpKind::contraction) {
      for (const ValueId v : op.operands) {
        if (!can_lie_in_memory(v)) return no(pattern(op));
      }
      const int64_t left = features(op.operands[0]), right = features(op.operands[1]);
      for (const int64_t j : {int64_t{0}, left * right - 1}) {
        if (left * right != features(op.result)) return no(pattern(op));
        const auto list = contracted_elements(func_, op, j);
        if (list.size() != 1 || list[0].first * right + list[0].second != j) {
          return no(pattern(op));
        }
      }
      if (std::min(left, right) <= few_features) return place_total_dot(op, left < right ? 1 : 0);
      read(op.operands[0], {-1, 0});
      read(op.operands[1], {-1, 0});
      out_.products.push_back(&op);
      return true;
    }
    if (const auto sum = find_log_sum(op)) return place_log_sum(*sum);
    const ValueId x = op.operands[0];
    const int64_t count = features(op.result);
    if (count != 1 && count != features(x)) return no(pattern(op));
    const Place at{std::max(0, known(x).level + (known(x).inside ? 0 : 1)), features(x)};
    stage_at(at).sums.push_back(&op);
    read(x, at);
    return true;
  }

  bool place_total_dot(const Op& op, size_t side) {
    const ValueId x = op.operands[side], other = op.operands[1 - side];
    const Place at{std::max(level_for(x, features(x)), known(other).level + 1), features(x)};
    stage_at(at).total_dots.push_back({&op, side});
    read(x, at);
    read(other, at);
    return true;
  }

  // The op that computes a value for a single reader, if it is a `kind`.
  const Op* sole(ValueId v, OpKind kind) const {
    const Op* op = def_of(base(v));
    if (!op || op->kind != kind) return nullptr;
    int64_t readers = 0;
    for (const BatchOp& b : form_.ops) {
      for (const ValueId operand : b.op->operands) {
        // A plain view of it reads nothing itself.
        const bool view = b.op->result.valid() && base(b.op->result) == base(v);
        if (!view && base(operand) == base(v)) ++readers;
      }
    }
    return readers == 1 ? op : nullptr;
  }

  // Whether a value is sum(exp(x - max(x))) of not too many features.
  bool softmax_denominator(ValueId v) const {
    constexpr int64_t most = 4096;  // ** 8 vectors of a block is 2 ** 96
    const Op* sum = def_of(base(v));
    if (!sum || sum->kind != OpKind::sum || features(sum->operands[0]) > most) return false;
    const Op* exp = def_of(base(sum->operands[0]));
    const Op* sub = exp && exp->kind == OpKind::exp ? def_of(base(exp->operands[0])) : nullptr;
    if (!sub || sub->kind != OpKind::sub) return false;
    const Op* max = def_of(base(sub->operands[1]));
    return max && max->kind == OpKind::max && base(max->operands[0]) == base(sub->operands[0]);
  }

  std::optional<LogSum> find_log_sum(const Op& op) const {
    ValueId term = op.operands[0];
    if (features(term) != 1) return std::nullopt;
    LogSum out{&op, nullptr, {}, std::nullopt, std::nullopt};
    if (const Op* select = sole(term, OpKind::select)) {
      out.holds = makes_zero(def_of(select->operands[2]));
      if (!out.holds && !makes_zero(def_of(select->operands[1]))) return std::nullopt;
      out.condition = select->operands[0];
      term = select->operands[out.holds ? 1 : 2];
    }
    if (const Op* sub = sole(term, OpKind::sub)) {
      out.minus = sub->operands[1];
      term = sub->operands[0];
    }
    out.log = sole(term, OpKind::log);
    if (!out.log || !softmax_denominator(out.log->operands[0])) return std::nullopt;
    out.of = out.log->operands[0];
    return out;
  }

  bool place_log_sum(const LogSum& sum) {
    Place at{level_for(sum.of, 1), 1};
    const auto each = [&](const auto& f) {
      f(sum.of);
      if (sum.minus) f(*sum.minus);
      if (sum.condition) f(*sum.condition);
    };
    each([&](ValueId v) {
      if (row(v)) at.first = std::max(at.first, level_for(v, 1));
    });
    each([&](ValueId v) { read(v, at); });
    stage_at(at).log_sums.push_back(sum);
    return true;
  }

  // Uniform values that a loop reads lie in memory in the order of the loop.
  bool check_uniform_operands(const Op& op) {
    if (op.kind == OpKind::contraction || def(op).is(Trait::view)) return true;
    for (const ValueId v : op.operands) {
      if (row(v) || features(v) == 1) continue;
      if (features(v) != features(op.result)) return no(pattern(op));
    }
    return true;
  }

  std::string pattern(const Op& op) const {
    return fmt::format("{} of {} is no loop over features", def(op).name,
                       to_string(func_.type(op.result)));
  }

  const Func& func_;
  const BatchForm& form_;
  const int pass_;
  std::vector<const Op*> defs_;
  std::set<const Op*> needed_;
  std::map<ValueId, Known> known_;
  std::map<ValueId, Place> kept_at_;  // the stage that computes a value
  std::set<ValueId> kept_;
  std::set<ValueId> biased_;  // sums that products by row start with their bias
  std::map<Place, BatchStage> stages_;
  BatchStages out_;
  std::string reason_;
};

}  // namespace

StagesAnalysis plan_stages(const Func& func, const BatchForm& form, int pass) {
  return Planner(func, form, pass).run();
}

}  // namespace sinter::compiler
