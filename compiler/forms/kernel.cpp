#include "compiler/forms/kernel.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "ir/op.h"

namespace sinter::compiler {

using ir::Dim;
using ir::Func;
using ir::Module;
using ir::Op;
using ir::OpKind;
using ir::Shape;
using ir::Trait;
using ir::Type;
using ir::ValueId;

bool KernelForm::scatters() const { return root && root->kind == OpKind::scatter_add; }

bool KernelForm::goes_along_lines() const {
  return root && (root->kind == OpKind::cumsum || root->kind == OpKind::top_k);
}

bool KernelForm::keeps_to_own_rows(const Func& func) const {
  if (rank() != 2 || domain[0] != ir::batch_dim || domain[1].batch) return false;
  if (root && root->kind != OpKind::contraction) return false;
  return std::all_of(ops.begin(), ops.end(), [&](const KernelOp& k) {
    if (k.role == Role::pad) return false;
    if (k.role == Role::col_reduce) return sum_parts(*k.op) > 1;
    if (k.role != Role::contraction) return true;
    const Shape& a = func.type(k.op->operands[0]).shape;
    const std::vector<int64_t>& folded = k.op->attrs.integers("a");
    return std::none_of(folded.begin(), folded.end(),
                        [&](int64_t axis) { return a[static_cast<size_t>(axis)].batch; });
  });
}

void KernelForm::add(KernelOp op) {
  if (op.op->result.valid()) made_at_.emplace(op.op->result.index, ops.size());
  ops.push_back(std::move(op));
}

const KernelOp* KernelForm::find(ValueId value) const {
  const auto it = made_at_.find(value.index);
  return it == made_at_.end() ? nullptr : &ops[it->second];
}

namespace {

std::vector<int64_t> folded_axes(const Op& op) {
  if (is_fold(op)) return op.attrs.integers("axes");
  return {op.attrs.integer("axis")};
}

// Axes of values, joined where an op says that two of them run together.
class AxisClasses {
 public:
  explicit AxisClasses(const Func& func) : func_(func) {}

  int node(ValueId v, int axis) {
    auto [it, fresh] = first_.try_emplace(v, static_cast<int>(parent_.size()));
    if (fresh) {
      const int rank = func_.type(v).rank();
      for (int i = 0; i < rank; ++i) parent_.push_back(static_cast<int>(parent_.size()));
    }
    return it->second + axis;
  }
  int find(int node) {
    while (parent_[static_cast<size_t>(node)] != node) {
      node = parent_[static_cast<size_t>(node)] =
          parent_[static_cast<size_t>(parent_[static_cast<size_t>(node)])];
    }
    return node;
  }
  void join(ValueId a, int i, ValueId b, int j) {
    parent_[static_cast<size_t>(find(node(a, i)))] = find(node(b, j));
  }
  // Joins the axes of a broadcast operand with those of the result.
  void align(ValueId operand, ValueId result) {
    const Shape &from = func_.type(operand).shape, &to = func_.type(result).shape;
    const int extra = static_cast<int>(to.size()) - static_cast<int>(from.size());
    for (int i = 0; i < static_cast<int>(from.size()); ++i) {
      if (!from[static_cast<size_t>(i)].is_one()) join(operand, i, result, i + extra);
    }
  }

 private:
  const Func& func_;
  std::map<ValueId, int> first_;
  std::vector<int> parent_;
};

class Analyzer {
 public:
  Analyzer(const Module& module, const Func& func, const std::vector<const Op*>& ops)
      : module_(module), func_(func), list_(ops), classes_(func) {}

  KernelAnalysis run() {
    for (const Op* op : list_) {
      if (op->result.valid()) inside_.insert(op->result);
    }
    for (const Op* op : list_) {
      if (!check_parts(*op) || !connect(*op)) return fail();
    }
    if (!choose_domain()) return fail();
    for (const Op* op : list_) {
      if (!place(*op)) return fail();
    }
    if (!check_whole()) return fail();
    return {std::move(form_), {}};
  }

 private:
  KernelAnalysis fail() const { return {std::nullopt, reason_}; }
  bool no(std::string reason) {
    reason_ = std::move(reason);
    return false;
  }
  bool inside(ValueId v) const { return inside_.count(v) > 0; }
  const Shape& shape(ValueId v) const { return func_.type(v).shape; }

  Role role_of(const Op& op) const {
    const ir::OpDef& d = def(op);
    if (op.kind == OpKind::assign) return Role::assign;
    if (op.kind == OpKind::contraction) return Role::contraction;
    if (op.kind == OpKind::gather) return Role::gather;
    if (op.kind == OpKind::scatter_add) return Role::scatter_add;
    if (op.kind == OpKind::pad) return Role::pad;
    if (op.kind == OpKind::cumsum || op.kind == OpKind::top_k) return Role::line;
    if (d.is(Trait::view)) return Role::copy;
    if (d.is(Trait::reduction)) return Role::row_reduce;  // or col_reduce, once placed
    SINTER_CHECK(d.is(Trait::elementwise) || d.is(Trait::source), "{} reached fusion", d.name);
    return Role::elementwise;
  }

  // The first axis of a sum in parts is none of the domain's.
  bool check_parts(const Op& op) {
    for (ValueId v : op.operands) {
      if (in_parts_.count(v))
        return no("a sum in parts is complete only when all threads are done");
    }
    const int64_t parts = sum_parts(op);
    if (parts == 1) return true;
    if (form_.parts != 1 && form_.parts != parts) return no("it cuts the batch into other parts");
    form_.parts = parts;
    in_parts_.insert(op.result);
    return true;
  }

  // Joins axes that run together, op by op.
  bool connect(const Op& op) {
    switch (role_of(op)) {
      case Role::elementwise:
        for (ValueId v : op.operands) classes_.align(v, op.result);
        return true;
      case Role::assign:
        if (shape(op.operands[0]).size() > 0) {
          for (int i = 0; i < func_.type(op.operands[0]).rank(); ++i) {
            classes_.join(op.operands[0], i, op.operands[1], i);
          }
        }
        return true;
      case Role::copy:
        return connect_copy(op);
      case Role::row_reduce:
      case Role::col_reduce:
        connect_reduction(op);
        return true;
      case Role::contraction:
      case Role::gather:
      case Role::scatter_add:
      case Role::pad:
      case Role::line:
        for (ValueId v : op.operands) {
          if (inside(v)) return no(fmt::format("{} reads its operands from memory", def(op).name));
        }
        if (op.kind == OpKind::pad) return true;  // a load under a condition; any number of them
        if (form_.root) {
          return no(fmt::format("a kernel has one {}", def(*form_.root).name));
        }
        form_.root = &op;
        return true;
    }
    return true;
  }

  bool connect_copy(const Op& op) {
    const ValueId from = op.operands[0];
    if (op.kind == OpKind::broadcast) {
      classes_.align(from, op.result);
      return true;
    }
    if (op.kind == OpKind::transpose || op.kind == OpKind::slice) {
      if (inside(from)) return no(fmt::format("{} reads its operand from memory", def(op).name));
      return true;  // loaded through its access map; the result's axes are its own
    }
    std::vector<std::pair<int, int>> pairs;
    if (!match_non_unit(shape(from), shape(op.result), pairs)) {
      if (inside(from)) return no("a reshape that moves elements reads its operand from memory");
      return true;
    }
    for (const auto& [i, j] : pairs) classes_.join(from, i, op.result, j);
    return true;
  }

  void connect_reduction(const Op& op) {
    const ValueId x = op.operands[0];
    const std::vector<int64_t> folded = folded_axes(op);
    const bool keep = op.attrs.flag("keepdims");
    int to = first_axis(op.result);
    for (int i = 0; i < func_.type(x).rank(); ++i) {
      const bool is_folded = std::find(folded.begin(), folded.end(), i) != folded.end();
      if (!is_folded && !shape(x)[static_cast<size_t>(i)].is_one()) {
        classes_.join(x, i, op.result, to);
      }
      if (!is_folded || keep) ++to;
    }
  }

  int first_axis(ValueId v) const { return in_parts_.count(v) ? 1 : 0; }

  // The value whose axes an op runs over.
  ValueId iterated(const Op& op) const {
    if (op.kind == OpKind::assign) return op.operands[1];
    return def(op).is(Trait::reduction) ? op.operands[0] : op.result;
  }

  bool choose_domain() {
    ValueId widest;
    size_t best = 0;
    for (const Op* op : list_) {
      const ValueId v = iterated(*op);
      size_t rank = 0;
      for (auto i = static_cast<size_t>(first_axis(v)); i < shape(v).size(); ++i) {
        rank += shape(v)[i].is_one() ? 0 : 1;
      }
      // Of equals the root decides the order of the axes.
      if (!widest.valid() || rank > best || (rank == best && op == form_.root)) {
        widest = v;
        best = rank;
      }
    }
    for (int i = first_axis(widest); i < func_.type(widest).rank(); ++i) {
      if (shape(widest)[static_cast<size_t>(i)].is_one()) continue;
      const int cls = classes_.find(classes_.node(widest, i));
      if (axis_of_.count(cls)) return no("an axis runs against itself");
      axis_of_[cls] = form_.rank();
      form_.domain.push_back(shape(widest)[static_cast<size_t>(i)]);
    }
    return true;
  }

  bool map_axes(ValueId v, AxisMap& out) {
    out.clear();
    uint32_t seen = 0;
    for (int i = 0; i < func_.type(v).rank(); ++i) {
      if (shape(v)[static_cast<size_t>(i)].is_one() || i < first_axis(v)) {
        out.push_back(-1);
        continue;
      }
      const auto it = axis_of_.find(classes_.find(classes_.node(v, i)));
      if (it == axis_of_.end()) {
        if (shape(v) == form_.domain) return no("it runs over rows of its own");
        return no(fmt::format("it runs over {}, not over {}", to_string(shape(v)),
                              to_string(form_.domain)));
      }
      if (seen & (1u << it->second)) return no("an axis runs against itself");
      seen |= 1u << it->second;
      out.push_back(it->second);
    }
    return true;
  }

  static uint32_t bits(const AxisMap& axes) {
    uint32_t out = 0;
    for (int a : axes) out |= a >= 0 ? 1u << a : 0u;
    return out;
  }

  bool place(const Op& op) {
    KernelOp k;
    k.op = &op;
    k.role = role_of(op);
    const ValueId main = k.role == Role::assign ? op.operands[1] : op.result;
    if (!map_axes(main, k.axes)) return false;
    k.varies = bits(k.axes);
    if (k.role == Role::elementwise || k.role == Role::copy || k.role == Role::row_reduce ||
        k.role == Role::assign) {
      for (ValueId v : op.operands) {
        if (k.role == Role::copy && !inside(v)) continue;  // loaded through its access map
        if (!place_read(v, k)) return false;
      }
    }
    if (k.role == Role::row_reduce && !place_reduction(op, k)) return false;
    form_.phases = std::max(form_.phases, k.phase + 1);
    form_.add(std::move(k));
    return true;
  }

  bool place_read(ValueId v, KernelOp& k) {
    AxisMap axes;
    if (!map_axes(v, axes)) return false;
    form_.reads[v] = axes;
    if (const KernelOp* from = form_.find(v)) {
      k.phase = std::max(k.phase, from->phase);
      k.late |= from->late;
    }
    return true;
  }

  bool place_reduction(const Op& op, KernelOp& k) {
    const uint32_t operand = bits(form_.reads[op.operands[0]]);
    const uint32_t folded = operand & ~k.varies;
    if (k.late) return no("the sum it reads is complete only at the end");
    if (folded == 0) {
      k.role = Role::copy;
      return true;
    }
    const uint32_t rows = form_.full() & ~form_.columns();
    if (folded == form_.columns() && operand == form_.full()) {
      form_.row_reduces = true;
      ++k.phase;
      return true;
    }
    if (folded == rows && operand == form_.full() && is_fold(op)) {
      k.role = Role::col_reduce;
      k.late = true;
      form_.col_reduces = true;
      return true;
    }
    return no(fmt::format("{} folds {} of {}: that takes partial sums", def(op).name,
                          to_string(shape(op.operands[0])), to_string(form_.domain)));
  }

  bool check_whole() {
    if (form_.parts > 1 && !check_rows_of_parts()) return false;
    if (form_.row_reduces && form_.col_reduces) {
      return no("sums over rows and over columns in one kernel take partial sums");
    }
    if (form_.scatters() && form_.ops.size() > 1) {
      return no("scatter_add finishes its rows in order before anything reads them");
    }
    if (form_.goes_along_lines() && form_.ops.size() > 1) {
      return no(fmt::format("{} goes along its axis by itself", def(*form_.root).name));
    }
    if (form_.root && form_.root->kind == OpKind::contraction) {
      const KernelOp* root = form_.find(form_.root->result);
      if (root->varies != form_.full()) {
        return no("the contraction would run again for every row");
      }
    }
    const bool narrow = form_.rank() > 0 && !form_.domain.back().batch &&
                        form_.domain.back().scale <= max_row_in_registers;
    // A row that does not fit would be computed alone, without tiles and packing: far slower than
    // storing the product and reading it again.
    if (form_.root && form_.root->kind == OpKind::contraction && form_.row_reduces &&
        form_.rank() > 1 && !narrow) {
      return no(fmt::format("a row of {} does not stay in registers until it is reduced",
                            to_string(form_.domain.back())));
    }
    for (const KernelOp& k : form_.ops) {
      if (k.late && (k.varies & ~form_.columns())) {
        return no("it needs a sum over rows that is complete only at the end");
      }
      // Updates wait for the last phase, since every phase may read the old value.
      const bool needs_row_again = k.phase > 0 || (k.role == Role::assign && form_.phases > 1);
      if (form_.root && needs_row_again && (k.varies & form_.columns()) && !narrow) {
        return no(fmt::format("a row of {} does not stay in registers until it is reduced",
                              to_string(form_.domain.back())));
      }
      if (k.role == Role::assign && !check_assign(k)) return false;
    }
    return true;
  }

  // Whether the domain has the rows of the batch for its rows, or the depth of its product has.
  bool check_rows_of_parts() {
    for (const KernelOp& k : form_.ops) {
      if (sum_parts(*k.op) == 1) continue;
      if (form_.rank() != 2) return no("sums in parts take rows and columns");
      const bool deep = k.role == Role::contraction;
      if (!deep && k.role != Role::col_reduce) return no("sums in parts fold rows");
      if (deep && form_.ops.size() > 1) return no("its sums in parts are all that it computes");
      if (!deep && form_.domain[0] != ir::batch_dim) return no("its rows are not the batch's");
    }
    return true;
  }

  bool check_assign(const KernelOp& k) {
    const ValueId global = k.op->operands[0];
    if (k.varies != form_.full() && !form_.serial() &&
        !(k.varies == form_.columns() && form_.col_reduces)) {
      return no("other threads still read the global that it updates");
    }
    for (const Op* op : list_) {
      const bool from_memory = reads_memory(*op) || role_of(*op) == Role::copy;
      for (ValueId v : op->operands) {
        if (from_memory && v == global) {
          return no("it updates the global that the kernel reads as a whole");
        }
      }
    }
    return true;
  }

  const Module& module_;
  const Func& func_;
  const std::vector<const Op*>& list_;
  AxisClasses classes_;
  std::set<ValueId> inside_;
  std::set<ValueId> in_parts_;  // results of sums in parts
  std::map<int, int> axis_of_;
  KernelForm form_;
  std::string reason_;
};

}  // namespace

KernelAnalysis analyze_kernel(const Module& module, const Func& func,
                              const std::vector<const Op*>& ops) {
  return Analyzer(module, func, ops).run();
}

KernelForm kernel_form(const Module& module, const Func& func, const Op& kernel) {
  std::vector<const Op*> ops;
  for (const Op& op : kernel.body) ops.push_back(&op);
  KernelAnalysis analysis = analyze_kernel(module, func, ops);
  SINTER_CHECK(analysis.form.has_value(), "{} is no kernel: {}", kernel.attrs.text("name"),
               analysis.reason);
  return std::move(*analysis.form);
}

bool reads_memory(const Op& op) {
  return op.kind == OpKind::contraction || op.kind == OpKind::gather ||
         op.kind == OpKind::scatter_add || op.kind == OpKind::pad || op.kind == OpKind::cumsum ||
         op.kind == OpKind::top_k;
}

int64_t sum_parts(const Op& op) {
  const ir::AttrValue* parts = op.attrs.find("parts");
  return parts && op.kind != OpKind::kernel ? std::get<int64_t>(*parts) : 1;
}

bool is_fold(const Op& op) { return def(op).is(Trait::reduction) && op.attrs.find("axes"); }

AxisMap contraction_axes(const Func& func, const KernelForm& form, int side) {
  const Op& op = *form.root;
  const AxisMap& result = form.find(op.result)->axes;
  // The result has the parts, the shared axes, then what each operand has left.
  size_t next = (sum_parts(op) > 1 ? 1 : 0) + op.attrs.integers("a_batch").size();
  AxisMap axes[2];
  const auto add = [&](AxisMap& out, size_t of, const std::vector<int64_t>& folded,
                       const std::vector<int64_t>& shared) {
    for (int64_t i = 0; i < func.type(op.operands[of]).rank(); ++i) {
      const auto fold = std::find(folded.begin(), folded.end(), i);
      const auto both = std::find(shared.begin(), shared.end(), i);
      if (fold != folded.end()) {
        out.push_back(form.rank() + static_cast<int>(fold - folded.begin()));
      } else if (both != shared.end()) {
        out.push_back(result[static_cast<size_t>(both - shared.begin())]);
      } else {
        out.push_back(result[next++]);
      }
    }
  };
  add(axes[0], 0, op.attrs.integers("a"), op.attrs.integers("a_batch"));
  add(axes[1], 1, op.attrs.integers("b"), op.attrs.integers("b_batch"));
  return axes[side];
}

double contraction_depth(const Func& func, const Op& contraction, int64_t n) {
  double depth = 1;
  const Shape& a = func.type(contraction.operands[0]).shape;
  for (int64_t axis : contraction.attrs.integers("a")) {
    depth *= static_cast<double>(a[static_cast<size_t>(axis)].at(n));
  }
  return depth;
}

double kernel_flops(const Func& func, const KernelForm& form, int64_t n) {
  double domain = 1;
  for (const Dim& d : form.domain) domain *= static_cast<double>(d.at(n));
  double total = 0;
  for (const KernelOp& k : form.ops) {
    if (k.role == Role::contraction) {
      total += 2 * contraction_depth(func, *k.op, n) * domain;
    } else if (k.role == Role::scatter_add || k.role == Role::line) {
      total += static_cast<double>(func.type(k.op->operands[0]).numel(n));
    } else if (k.varies == form.full() || k.role == Role::row_reduce ||
               k.role == Role::col_reduce) {
      total += domain;
    }
  }
  return total;
}

}  // namespace sinter::compiler
