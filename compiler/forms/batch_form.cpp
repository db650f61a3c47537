#include "compiler/forms/batch_form.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "compiler/forms/batch_stages.h"
#include "compiler/forms/cost.h"
#include "compiler/forms/kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::Dim;
using ir::Func;
using ir::Op;
using ir::OpKind;
using ir::Shape;
using ir::Trait;
using ir::Type;
using ir::ValueDef;
using ir::ValueId;

bool batch_in_lanes(const Op& kernel) { return kernel.attrs.text("lanes") == "batch"; }

bool makes_zero(const Op* op) {
  return op && op->kind == OpKind::constant && op->attrs.real("value") == 0;
}

// ---- Elements --------------------------------------------------------------------------------

namespace {

using Index = std::vector<int64_t>;

int64_t size_of(const Dim& d) { return d.batch ? 1 : d.scale; }

Index unflatten(const Shape& shape, int64_t j) {
  Index out(shape.size());
  for (size_t i = shape.size(); i-- > 0;) {
    out[i] = j % size_of(shape[i]);
    j /= size_of(shape[i]);
  }
  return out;
}

int64_t flatten(const Shape& shape, const Index& index) {
  int64_t j = 0;
  for (size_t i = 0; i < shape.size(); ++i) j = j * size_of(shape[i]) + index[i];
  return j;
}

// Calls f(index) for every index along `axes` of `shape`, the last one fastest; others are 0.
template <class F>
void for_each_index(const Shape& shape, const std::vector<int64_t>& axes, F f) {
  Index index(shape.size(), 0);
  while (true) {
    f(index);
    size_t k = axes.size();
    for (; k > 0; --k) {
      const auto axis = static_cast<size_t>(axes[k - 1]);
      if (++index[axis] < size_of(shape[axis])) break;
      index[axis] = 0;
    }
    if (k == 0) return;
  }
}

std::vector<int64_t> folded_axes(const Op& op) {
  if (const ir::AttrValue* axes = op.attrs.find("axes")) {
    return std::get<std::vector<int64_t>>(*axes);
  }
  return {op.attrs.integer("axis")};
}

bool contains(const std::vector<int64_t>& list, int64_t x) {
  return std::find(list.begin(), list.end(), x) != list.end();
}

}  // namespace

int64_t elements(const Type& type) {
  int64_t out = 1;
  for (const Dim& d : type.shape) out *= size_of(d);
  return out;
}

int64_t index_along(const Type& type, int64_t j, int axis) {
  return unflatten(type.shape, j)[static_cast<size_t>(axis)];
}

int64_t operand_element(const Func& func, const Op& op, size_t i, int64_t j) {
  const Shape &from = func.type(op.operands[i]).shape, &to = func.type(op.result).shape;
  if (op.kind == OpKind::reshape) return j;
  const Index index = unflatten(to, j);
  Index out(from.size(), 0);
  if (op.kind == OpKind::transpose) {
    const std::vector<int64_t>& p = op.attrs.integers("permutation");
    for (size_t k = 0; k < p.size(); ++k) out[static_cast<size_t>(p[k])] = index[k];
  } else if (op.kind == OpKind::slice || op.kind == OpKind::pad) {
    const auto axis = static_cast<size_t>(op.attrs.integer("axis"));
    const int64_t start = op.attrs.integer("start"), step = op.attrs.integer("step");
    out = index;
    if (op.kind == OpKind::slice) {
      out[axis] = start + step * index[axis];
    } else {
      out[axis] = (index[axis] - start) / step;
      const bool inside =
          (index[axis] - start) % step == 0 && out[axis] >= 0 && out[axis] < size_of(from[axis]);
      if (!inside) return -1;
    }
  } else {
    const size_t extra = to.size() - from.size();
    for (size_t k = 0; k < from.size(); ++k) {
      if (size_of(from[k]) > 1) out[k] = index[k + extra];
    }
  }
  return flatten(from, out);
}

std::vector<std::pair<int64_t, int64_t>> contracted_elements(const Func& func, const Op& op,
                                                             int64_t j) {
  const Shape &a = func.type(op.operands[0]).shape, &b = func.type(op.operands[1]).shape;
  const auto &a_sum = op.attrs.integers("a"), &b_sum = op.attrs.integers("b");
  const auto &a_batch = op.attrs.integers("a_batch"), &b_batch = op.attrs.integers("b_batch");
  const Index index = unflatten(func.type(op.result).shape, j);
  Index at_a(a.size(), 0), at_b(b.size(), 0);
  size_t next = 0;
  for (size_t i = 0; i < a_batch.size(); ++i) {
    at_a[static_cast<size_t>(a_batch[i])] = at_b[static_cast<size_t>(b_batch[i])] = index[next++];
  }
  const auto place = [&](Index& at, const std::vector<int64_t>& sum,
                         const std::vector<int64_t>& batch) {
    for (size_t i = 0; i < at.size(); ++i) {
      const auto axis = static_cast<int64_t>(i);
      if (!contains(sum, axis) && !contains(batch, axis)) at[i] = index[next++];
    }
  };
  place(at_a, a_sum, a_batch);
  place(at_b, b_sum, b_batch);
  std::vector<std::pair<int64_t, int64_t>> out;
  for_each_index(a, a_sum, [&](const Index& k) {
    for (size_t i = 0; i < a_sum.size(); ++i) {
      const auto axis = static_cast<size_t>(a_sum[i]);
      at_a[axis] = at_b[static_cast<size_t>(b_sum[i])] = k[axis];
    }
    out.emplace_back(flatten(a, at_a), flatten(b, at_b));
  });
  return out;
}

std::vector<int64_t> folded_elements(const Func& func, const Op& op, int64_t j) {
  const Shape &from = func.type(op.operands[0]).shape, &to = func.type(op.result).shape;
  const std::vector<int64_t> axes = folded_axes(op);
  const Index index = unflatten(to, j);
  const bool keep = op.attrs.flag("keepdims");
  Index base(from.size(), 0);
  size_t next = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    const bool folded = contains(axes, static_cast<int64_t>(i));
    if (!folded) base[i] = index[next];
    if (!folded || keep) ++next;
  }
  std::vector<int64_t> out;
  for_each_index(from, axes, [&](const Index& k) {
    Index at = base;
    for (int64_t axis : axes) at[static_cast<size_t>(axis)] = k[static_cast<size_t>(axis)];
    out.push_back(flatten(from, at));
  });
  return out;
}

// ---- Analysis --------------------------------------------------------------------------------

namespace {

// The axis n of a type; -1 if it has none.
int batch_axis(const Type& type) {
  for (size_t i = 0; i < type.shape.size(); ++i) {
    if (type.shape[i].batch) return static_cast<int>(i);
  }
  return -1;
}

class Analyzer {
 public:
  Analyzer(const Func& func, const std::vector<const Op*>& ops) : func_(func), list_(ops) {}

  BatchAnalysis run() {
    for (const Op* op : list_) {
      if (!place(*op)) return {std::nullopt, reason_};
    }
    if (totals_.empty()) return {std::nullopt, "nothing is summed over the batch"};
    finish_passes();
    for (const BatchOp& b : form_.ops) {
      if (!check_tail(b)) return {std::nullopt, reason_};
    }
    if (!check_results() || !weigh()) return {std::nullopt, reason_};
    return {std::move(form_), {}};
  }

 private:
  bool no(std::string reason) {
    reason_ = std::move(reason);
    return false;
  }
  bool row(ValueId v) const { return batch_axis(func_.type(v)) >= 0; }
  bool entry(ValueId v) const { return func_[v].def != ValueDef::op; }
  std::string_view name(const Op& op) const { return def(op).name; }

  // The first pass that can read `v`.
  int ready(ValueId v) const {
    const auto it = pass_.find(v);
    if (it == pass_.end()) return 0;
    return totals_.count(v) ? it->second + 1 : it->second;
  }

  bool check_type(ValueId v) {
    int axes = 0;
    for (const Dim& d : func_.type(v).shape) {
      axes += d.batch ? 1 : 0;
      if (d.batch && d.scale != 1) {
        return no(
            fmt::format("{} has several rows for each row of the batch", to_string(func_.type(v))));
      }
    }
    if (axes > 1) return no(fmt::format("{} pairs rows", to_string(func_.type(v))));
    if (entry(v) && axes == 1 && batch_axis(func_.type(v)) != 0) {
      return no(fmt::format("the rows of {} are not its first axis", to_string(func_.type(v))));
    }
    return true;
  }

  bool place(const Op& op) {
    for (ValueId v : op.operands) {
      if (!check_type(v)) return false;
    }
    if (op.result.valid() && !check_type(op.result)) return false;
    BatchOp b{&op, BatchRole::uniform, 0};
    for (ValueId v : op.operands) b.pass = std::max(b.pass, ready(v));
    if (!check_partial(op) || !choose_role(op, b)) return false;
    if (op.result.valid()) pass_[op.result] = b.pass;
    if (b.role == BatchRole::total) totals_.insert(op.result);
    const bool root = b.role == BatchRole::total || (b.role == BatchRole::row && result(op.result));
    if (root) form_.passes = std::max(form_.passes, b.pass + 1);
    form_.ops.push_back(b);
    return true;
  }

  // The sum of some axes of a uniform value is a step on the way to the sum of all of them.
  bool check_partial(const Op& op) {
    for (ValueId v : op.operands) {
      if (!partial_.count(v)) continue;
      if (op.kind != OpKind::sum && op.kind != OpKind::reshape) {
        return no(fmt::format("{} reads sums of parameters by axis", name(op)));
      }
      if (elements(func_.type(op.result)) > 1) partial_.insert(op.result);
    }
    return true;
  }

  bool result(ValueId v) const {
    return std::find(func_.results.begin(), func_.results.end(), v) != func_.results.end();
  }

  bool choose_role(const Op& op, BatchOp& b) {
    const ir::OpDef& d = def(op);
    if (sum_parts(op) > 1) return no(fmt::format("{} is already cut into parts", d.name));
    if (op.kind == OpKind::assign) {
      b.role = BatchRole::assign;
      return true;
    }
    if (op.kind == OpKind::contraction) return choose_contraction(op, b);
    if (d.is(Trait::reduction)) return choose_reduction(op, b);
    if ((op.kind == OpKind::pad || op.kind == OpKind::cumsum) && row(op.result)) {
      b.role = BatchRole::row;
      return true;
    }
    if (!d.is(Trait::elementwise) && !d.is(Trait::source) && !d.is(Trait::view)) {
      return no(fmt::format("{} has no form with rows in lanes", d.name));
    }
    if (op.kind == OpKind::reshape && row(op.result) && !keeps_rows(op)) {
      return no(fmt::format("the reshape to {} moves rows", to_string(func_.type(op.result))));
    }
    b.role = row(op.result) ? BatchRole::row : BatchRole::uniform;
    return true;
  }

  // Whether all axes before n have size 1 on both sides.
  bool keeps_rows(const Op& op) const {
    for (ValueId v : {op.operands[0], op.result}) {
      for (const Dim& d : func_.type(v).shape) {
        if (d.batch) break;
        if (d.scale != 1) return false;
      }
    }
    return row(op.operands[0]);
  }

  bool choose_contraction(const Op& op, BatchOp& b) {
    const bool left = row(op.operands[0]), right = row(op.operands[1]);
    if (row(op.result)) {
      b.role = BatchRole::row;
      return true;
    }
    if (!left || !right) return no("a product of two parameters has no form with rows in lanes");
    const Shape& gradient = func_.type(op.result).shape;
    const bool wide =
        gradient.size() > 1 && std::all_of(gradient.begin(), gradient.end(),
                                           [](const Dim& d) { return d.scale >= wide_layer; });
    if (wide) return no(fmt::format("the gradient {} would fill a vector", to_string(gradient)));
    b.role = BatchRole::total;
    return true;
  }

  bool choose_reduction(const Op& op, BatchOp& b) {
    if (row(op.result)) {
      b.role = BatchRole::row;
      return true;
    }
    if (!row(op.operands[0])) {
      const Type& result = func_.type(op.result);
      if (op.kind == OpKind::sum && is_float(result.dtype)) {
        if (elements(result) > 1) partial_.insert(op.result);
        return true;
      }
      return no(fmt::format("{} folds a value that does not follow the batch", name(op)));
    }
    if (op.kind != OpKind::sum || !is_float(func_.type(op.result).dtype)) {
      return no(fmt::format("{} over the batch is no sum of floats", name(op)));
    }
    b.role = BatchRole::total;
    return true;
  }

  // A total that only the tail reads waits for the last pass, which computes most of what it needs
  // anyway; others are complete before the first pass that reads them. So are rows of results.
  void finish_passes() {
    const int last = form_.passes - 1;
    std::map<ValueId, int> deadline;  // the last pass that may compute a uniform value
    for (auto b = form_.ops.rbegin(); b != form_.ops.rend(); ++b) {
      if (b->role == BatchRole::assign) {
        b->pass = form_.passes;
        continue;
      }
      const ValueId v = b->op->result;
      const auto found = deadline.find(v);
      const int latest = found == deadline.end() ? last : found->second;
      if (b->role == BatchRole::total) b->pass = latest;
      const int needed_by = b->role == BatchRole::uniform ? latest : b->pass - 1;
      // It is stored in the last pass, and computed wherever a total reads it before.
      if (b->role == BatchRole::row && result(v)) b->pass = last;
      for (const ValueId operand : b->op->operands) {
        if (row(operand)) continue;
        const auto [it, fresh] = deadline.try_emplace(operand, needed_by);
        if (!fresh) it->second = std::min(it->second, needed_by);
      }
    }
  }

  // Updates run over the elements of each parameter in vectors, in the order in which they lie.
  bool check_tail(const BatchOp& b) {
    const Op& op = *b.op;
    if (b.role == BatchRole::assign) {
      return !row(op.operands[1]) || no("it updates a global by row");
    }
    if (b.role != BatchRole::uniform || elements(func_.type(op.result)) == 1 ||
        partial_.count(op.result)) {
      return true;
    }
    if (def(op).is(Trait::source) && op.kind != OpKind::constant) {
      return no(fmt::format("{} in an update depends on where the element lies", name(op)));
    }
    for (size_t i = 0; i < op.operands.size(); ++i) {
      const Type& type = func_.type(op.operands[i]);
      if (elements(type) == 1) continue;
      const bool moves = (op.kind == OpKind::transpose && !trivial(op)) || op.kind == OpKind::slice;
      if (moves || elements(type) != elements(func_.type(op.result))) {
        return no(fmt::format("the update of {} reads {} in another order",
                              to_string(func_.type(op.result)), to_string(type)));
      }
    }
    return true;
  }

  bool trivial(const Op& transpose) const {
    const int64_t count = elements(func_.type(transpose.result));
    for (int64_t j = 0; j < count; ++j) {
      if (operand_element(func_, transpose, 0, j) != j) return false;
    }
    return true;
  }

  bool check_results() {
    for (ValueId v : func_.results) {
      if (partial_.count(v)) return no("it returns sums of parameters by axis");
      if (entry(v)) return no("it returns a value that no op computes");
      if (row(v) && batch_axis(func_.type(v)) != 0) {
        return no(fmt::format("the rows of {} are not its first axis", to_string(func_.type(v))));
      }
    }
    return true;
  }

  // Vector operations for one vector of rows: each pass computes all that its totals and results
  // need.
  bool weigh() {
    for (int pass = 0; pass < form_.passes; ++pass) {
      std::set<ValueId> needed;
      for (auto b = form_.ops.rbegin(); b != form_.ops.rend(); ++b) {
        const Op& op = *b->op;
        const bool root = b->pass == pass && (b->role == BatchRole::total ||
                                              (b->role == BatchRole::row && result(op.result)));
        if (!root && !(b->role == BatchRole::row && needed.count(op.result))) continue;
        for (ValueId v : op.operands) needed.insert(v);
        form_.row_ops += cost(op);
      }
    }
    std::optional<DType> first_total;
    for (const BatchOp& b : form_.ops) {
      if (b.role != BatchRole::total) continue;
      form_.totals += elements(func_.type(b.op->result));
      const DType dtype = func_.type(b.op->result).dtype;
      form_.one_dtype &= dtype == first_total.value_or(dtype);
      first_total = dtype;
    }
    form_.loops = has_loops();
    return form_.loops || form_.row_ops <= max_straight_row_ops;
  }

  // Whether each pass can be loops over features; else says why not.
  bool has_loops() {
    if (form_.totals > max_totals) {
      return no(fmt::format("gradients have {} elements, more than {}", form_.totals, max_totals));
    }
    const bool rows_returned =
        std::any_of(func_.results.begin(), func_.results.end(), [&](ValueId v) { return row(v); });
    if (rows_returned) return no("it returns rows");
    for (int pass = 0; pass < form_.passes; ++pass) {
      StagesAnalysis stages = plan_stages(func_, form_, pass);
      if (!stages.stages) return no(std::move(stages.reason));
    }
    return true;
  }

  double cost(const Op& op) const {
    const auto count = static_cast<double>(elements(func_.type(op.result)));
    if (op.kind == OpKind::contraction) {
      return count * static_cast<double>(contracted_elements(func_, op, 0).size());
    }
    if (def(op).is(Trait::reduction)) {
      return static_cast<double>(elements(func_.type(op.operands[0])));
    }
    if (op.kind == OpKind::cumsum) return count;
    const bool moves = def(op).is(Trait::view) || op.kind == OpKind::pad;
    return moves ? 0 : count * element_operations(func_, op);
  }

  const Func& func_;
  const std::vector<const Op*>& list_;
  BatchForm form_;
  std::map<ValueId, int> pass_;
  std::set<ValueId> totals_;
  std::set<ValueId> partial_;
  std::string reason_;
};

}  // namespace

BatchAnalysis analyze_batch(const Func& func) {
  std::vector<const Op*> ops;
  bool follows_batch = false;
  for (const Op& op : func.body) {
    if (op.kind == OpKind::kernel) return {};
    ops.push_back(&op);
    for (ValueId v : op.operands) follows_batch |= func.type(v).follows_batch();
  }
  return follows_batch ? Analyzer(func, ops).run() : BatchAnalysis{};
}

int64_t chunk_totals(const BatchForm& form) {
  constexpr int64_t most_lanes = 16;
  return (form.totals + most_lanes - 1) / most_lanes * most_lanes;
}

BatchChunks batch_chunks(const Func& func, const BatchForm& form, int64_t max_batch) {
  // Below the first number of vector operations one thread is quicker than two; a chunk has about
  // as many as the second, and there are not many more chunks than keep a few threads busy.
  constexpr double worth_sharing = 4e5, in_a_chunk = 1e5;
  constexpr int64_t most_chunks = 32, granule = 64;
  BatchChunks out;
  const double rows = static_cast<double>(max_batch);
  const bool rows_returned = std::any_of(func.results.begin(), func.results.end(),
                                         [&](ValueId v) { return func.type(v).follows_batch(); });
  if (form.passes != 1 || !form.one_dtype || rows_returned || form.row_ops * rows < worth_sharing) {
    return out;
  }
  const double wanted = std::max(in_a_chunk / form.row_ops, rows / most_chunks);
  out.rows = (static_cast<int64_t>(wanted) / granule + 1) * granule;
  if (out.rows >= max_batch) return {};
  int64_t size = 8;
  for (const BatchOp& b : form.ops) {
    if (b.role == BatchRole::total) {
      size = static_cast<int64_t>(dtype_size(func.type(b.op->result).dtype));
    }
  }
  out.bytes = (max_batch + out.rows - 1) / out.rows * chunk_totals(form) * size;
  return out;
}

BatchForm batch_form(const Func& func, const Op& kernel) {
  std::vector<const Op*> ops;
  for (const Op& op : kernel.body) ops.push_back(&op);
  BatchAnalysis analysis = Analyzer(func, ops).run();
  SINTER_CHECK(analysis.form.has_value(), "{} has no rows in lanes: {}", kernel.attrs.text("name"),
               analysis.reason);
  return std::move(*analysis.form);
}

}  // namespace sinter::compiler
