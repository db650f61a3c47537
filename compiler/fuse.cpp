// Fusion: one mechanism for all of linear+bias+ReLU, mask+bias gradient, softmax+cross-entropy and
// weight gradient+optimizer update. Ops start as groups of one; two groups merge when one reads
// what the other computes, analyze_kernel says that both together are one kernel, and no third
// group has to run between them. What remains apart keeps the reason as a note.
//
// Invariants:
//  1. Free ops cost nothing and belong to whoever reads them: each reader has private copies of the
//     sources (constant, iota, extent), the views, and the scalar arithmetic on entry values that it
//     needs. So no kernel waits for `1 - beta1`, and no memory holds it.
//  2. A group may only read memory that is written before it runs: groups form an acyclic graph over
//     three kinds of edges: value computed -> value read, and global read -> global assigned, since
//     assigns happen in place and `@w` means the value on entry everywhere.
//  3. Positions (indices into ops_) keep the recorded order inside every kernel.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "compiler/free_ops.h"
#include "compiler/kernel.h"
#include "compiler/passes.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::Func;
using ir::Module;
using ir::Op;
using ir::OpKind;
using ir::Trait;
using ir::ValueDef;
using ir::ValueId;

namespace {

class Fuser {
 public:
  Fuser(const Module& module, Func& func) : module_(module), func_(func), free_ops_(func) {}

  void run() {
    make_groups();
    sink_into_readers();
    merge_along_edges();
    merge_scalar_groups();
    rebuild();
  }

 private:
  struct Group {
    std::set<int> ops;  // positions
    bool alive = true;
  };

  bool entry(ValueId v) const { return func_[v].def != ValueDef::op; }
  bool is_view(const Op& op) const { return def(op).is(Trait::view); }

  // ---- Groups --------------------------------------------------------------------------------

  void make_groups() {
    recorded_ = std::move(func_.body);
    func_.body.clear();
    for (const Op& op : recorded_) {
      if (op.result.valid()) original_[op.result] = &op;
    }
    for (const Op& op : recorded_) {
      if (op.result.valid() && free_ops_.belong_to_readers(op.result)) continue;
      const size_t before = ops_.size();
      Group group = group_of_one(op, true);
      if (copied_view(group) && !is_kernel(group)) {
        // A value beside a view of it may run along two axes of a loop: %x[n] < %x[n, 1].
        remove_from(before);
        group = group_of_one(op, false);
      }
      groups_.push_back(std::move(group));
    }
  }

  // The group of `op` with copies of the free ops that it reads. Without views, those of memory stay
  // at the top level.
  Group group_of_one(const Op& op, bool views) {
    Group group;
    std::map<ValueId, ValueId> copies;
    Op own = op;
    if (!reads_memory(op) && !moves_elements(func_, op)) {
      for (ValueId& v : own.operands) {
        if (views || !views_memory(v)) v = private_copy(v, group, copies);
      }
    }
    group.ops.insert(add(std::move(own), groups_.size()));
    return group;
  }

  bool views_memory(ValueId v) const {
    while (free_ops_.belong_to_readers(v) && is_view(*original_.at(v))) {
      v = original_.at(v)->operands[0];
    }
    return !free_ops_.belong_to_readers(v);
  }

  bool copied_view(const Group& group) const {
    return std::any_of(group.ops.begin(), group.ops.end(), [&](int position) {
      const Op& op = *ops_[static_cast<size_t>(position)];
      return is_view(op) && copy_of_.count(op.result);
    });
  }

  bool is_kernel(const Group& group) const {
    std::vector<const Op*> list;
    for (int position : group.ops) list.push_back(ops_[static_cast<size_t>(position)].get());
    return analyze_kernel(module_, func_, list).form.has_value();
  }

  // Forgets the ops from a position on.
  void remove_from(size_t position) {
    for (size_t i = position; i < ops_.size(); ++i) {
      made_at_.erase(ops_[i]->result);
      copy_of_.erase(ops_[i]->result);
    }
    ops_.resize(position);
    group_of_.resize(position);
  }

  int add(Op op, size_t group) {
    const int position = static_cast<int>(ops_.size());
    if (op.result.valid()) made_at_[op.result] = position;
    ops_.push_back(std::make_unique<Op>(std::move(op)));
    group_of_.push_back(static_cast<int>(group));
    return position;
  }

  // The value itself, or for a free one that of a copy of its op inside `group`.
  ValueId private_copy(ValueId v, Group& group, std::map<ValueId, ValueId>& copies) {
    if (!free_ops_.belong_to_readers(v)) return v;
    if (const auto it = copies.find(v); it != copies.end()) return it->second;
    Op copy = *original_.at(v);
    // What it shows in another order lies in memory; the views in between stay at the top level.
    if (!moves_elements(func_, copy)) {
      for (ValueId& operand : copy.operands) operand = private_copy(operand, group, copies);
    }
    copy.result = func_.add_value(func_.type(v), "", ValueDef::op);
    copies[v] = copy.result;
    copy_of_[copy.result] = v;
    const ValueId result = copy.result;
    group.ops.insert(add(std::move(copy), groups_.size()));
    return result;
  }

  // Position of the op that computes what `v` reads, looking through top-level views; -1 for
  // entry values.
  int producer(ValueId v) const {
    while (!entry(v)) {
      if (const auto it = made_at_.find(v); it != made_at_.end()) return it->second;
      v = original_.at(v)->operands[0];
    }
    return -1;
  }
  ValueId behind_views(ValueId v) const {
    while (!entry(v) && !made_at_.count(v)) v = original_.at(v)->operands[0];
    return v;
  }

  // ---- The graph of groups -------------------------------------------------------------------

  // Groups that must run before `g`.
  std::set<int> predecessors(int g) const {
    std::set<int> out;
    for (int position : groups_[static_cast<size_t>(g)].ops) {
      const Op& op = *ops_[static_cast<size_t>(position)];
      for (size_t i = 0; i < op.operands.size(); ++i) {
        const int from = producer(op.operands[i]);
        if (from >= 0) out.insert(group_of_[static_cast<size_t>(from)]);
      }
      if (op.kind == OpKind::assign) {
        for (int reader : readers_of_global(op.operands[0])) out.insert(reader);
      }
    }
    out.erase(g);
    return out;
  }

  std::set<int> readers_of_global(ValueId global) const {
    std::set<int> out;
    const auto it = global_readers_.find(global);
    if (it != global_readers_.end()) {
      for (int position : it->second) out.insert(group_of_[static_cast<size_t>(position)]);
    }
    return out;
  }

  void index_global_readers() {
    for (size_t i = 0; i < ops_.size(); ++i) {
      const Op& op = *ops_[i];
      for (size_t k = 0; k < op.operands.size(); ++k) {
        if (op.kind == OpKind::assign && k == 0) continue;
        const ValueId base = behind_views(op.operands[k]);
        if (func_[base].def == ValueDef::global) {
          global_readers_[base].push_back(static_cast<int>(i));
        }
      }
    }
  }

  // Whether `to` can be reached backwards from `from` by a way of more than one step, or at all.
  bool reaches(int from, int to, bool skip_direct) const {
    std::vector<int> todo;
    std::set<int> seen;
    for (int p : predecessors(from)) {
      if (!(skip_direct && p == to)) todo.push_back(p);
    }
    while (!todo.empty()) {
      const int g = todo.back();
      todo.pop_back();
      if (g == to) return true;
      if (!seen.insert(g).second) continue;
      for (int p : predecessors(g)) todo.push_back(p);
    }
    return false;
  }

  // ---- Merging -------------------------------------------------------------------------------

  // Merges group `a` into `b`, which reads it; leaves the reason in `why` if they stay apart.
  bool merge(int a, int b, std::string& why) {
    Group &from = groups_[static_cast<size_t>(a)], &into = groups_[static_cast<size_t>(b)];
    std::set<int> both = from.ops;
    both.insert(into.ops.begin(), into.ops.end());
    std::vector<const Op*> list;
    for (int position : both) list.push_back(ops_[static_cast<size_t>(position)].get());
    KernelAnalysis analysis = analyze_kernel(module_, func_, list);
    if (!analysis.form) {
      why = std::move(analysis.reason);
      return false;
    }
    if (reads_own_behind_view(both)) {
      why = "it reads through a view what the kernel computes";
      return false;
    }
    if (updates_behind_view(list)) {
      why = "it updates the global that the kernel reads as a whole";
      return false;
    }
    if (reaches(b, a, true) || reaches(a, b, false)) {
      why = "another kernel has to run between the two";
      return false;
    }
    into.ops = std::move(both);
    for (int position : from.ops) group_of_[static_cast<size_t>(position)] = b;
    from.ops.clear();
    from.alive = false;
    return true;
  }

  // Whether an op reads, through views at the top level, what another computes: the view would have
  // to stand inside the kernel. Of values of one element analyze_kernel sees no axis that is amiss.
  bool reads_own_behind_view(const std::set<int>& positions) const {
    return std::any_of(positions.begin(), positions.end(), [&](int position) {
      const std::vector<ValueId>& operands = ops_[static_cast<size_t>(position)]->operands;
      return std::any_of(operands.begin(), operands.end(), [&](ValueId v) {
        return !entry(v) && !made_at_.count(v) && positions.count(producer(v)) > 0;
      });
    });
  }

  // Whether an op reads from memory, through views at the top level, a global that another assigns:
  // analyze_kernel sees the view only.
  bool updates_behind_view(const std::vector<const Op*>& list) const {
    std::set<ValueId> assigned;
    for (const Op* op : list) {
      if (op->kind == OpKind::assign) assigned.insert(op->operands[0]);
    }
    return !assigned.empty() && std::any_of(list.begin(), list.end(), [&](const Op* op) {
      if (!reads_memory(*op) && !is_view(*op)) return false;
      return std::any_of(op->operands.begin(), op->operands.end(),
                         [&](ValueId v) { return assigned.count(behind_views(v)) > 0; });
    });
  }

  // Cheap arithmetic on values that are stored anyway moves to its only reader: it is done again
  // from memory that has to be there, instead of being stored itself.
  void sink_into_readers() {
    index_global_readers();
    for (int g = static_cast<int>(groups_.size()) - 1; g >= 0; --g) {
      if (!elementwise_only(g) || is_result(g) || !inputs_are_stored(g)) continue;
      const std::set<int> readers = readers_of(g);
      std::string why;
      if (readers.size() == 1) merge(g, *readers.begin(), why);
    }
  }

  // Whether an op that reads from memory reads everything that group `g` reads.
  bool inputs_are_stored(int g) const {
    for (int position : groups_[static_cast<size_t>(g)].ops) {
      for (ValueId v : ops_[static_cast<size_t>(position)]->operands) {
        const ValueId base = behind_views(v);
        const int from = producer(v);
        if (from < 0 || group_of_[static_cast<size_t>(from)] == g) continue;
        const bool stored = std::any_of(ops_.begin(), ops_.end(), [&](const auto& op) {
          return reads_memory(*op) &&
                 std::any_of(op->operands.begin(), op->operands.end(),
                             [&](ValueId o) { return behind_views(o) == base; });
        });
        if (!stored) return false;
      }
    }
    return true;
  }

  bool elementwise_only(int g) const {
    for (int position : groups_[static_cast<size_t>(g)].ops) {
      const Op& op = *ops_[static_cast<size_t>(position)];
      const ir::OpDef& d = def(op);
      if (!d.is(Trait::elementwise) && !d.is(Trait::source) && !d.is(Trait::view)) return false;
    }
    return groups_[static_cast<size_t>(g)].alive;
  }

  std::set<int> readers_of(int g) const {
    std::set<int> out;
    for (size_t i = 0; i < ops_.size(); ++i) {
      if (group_of_[i] == g) continue;
      for (ValueId v : ops_[i]->operands) {
        const int from = producer(v);
        if (from >= 0 && group_of_[static_cast<size_t>(from)] == g) out.insert(group_of_[i]);
      }
    }
    return out;
  }

  bool is_result(int g) const {
    return std::any_of(func_.results.begin(), func_.results.end(), [&](ValueId v) {
      const int from = producer(v);
      return from >= 0 && group_of_[static_cast<size_t>(from)] == g;
    });
  }

  // Merges along the edges that carry most first: a full [n, 10] before a row [n, 1], so that the
  // little that is left over does not stand between two big ones.
  void merge_along_edges() {
    std::map<std::pair<int, int>, int64_t> weight;
    for (int g = 0; g < static_cast<int>(groups_.size()); ++g) {
      if (groups_[static_cast<size_t>(g)].alive) weigh_edges_into(g, weight);
    }
    std::set<std::pair<int, int>> apart;  // tried in vain since both last grew
    while (true) {
      std::pair<int, int> best{-1, -1};
      int64_t most = -1;
      for (const auto& [edge, bytes] : weight) {
        if (bytes > most && !apart.count(edge)) {
          best = edge;
          most = bytes;
        }
      }
      if (most < 0) return;
      const auto [from, into] = best;
      if (!merge(from, into, reasons_[best])) {
        apart.insert(best);
        continue;
      }
      const auto forget = [&, from = from, into = into](const std::pair<int, int>& edge) {
        return edge.first == from || edge.second == from || edge.first == into ||
               edge.second == into;
      };
      std::erase_if(apart, forget);
      std::set<int> readers;
      for (const auto& [edge, bytes] : weight) {
        if (edge.first == from || edge.first == into) readers.insert(edge.second);
      }
      std::erase_if(weight, [&](const auto& entry) { return forget(entry.first); });
      weigh_edges_into(into, weight);
      for (int g : readers) {
        if (g != into && groups_[static_cast<size_t>(g)].alive) weigh_edges_into(g, weight);
      }
    }
  }

  // Bytes that group `g` reads from each other group, for a batch of some size.
  void weigh_edges_into(int g, std::map<std::pair<int, int>, int64_t>& weight) const {
    constexpr int64_t some_rows = 64;
    std::set<ValueId> seen;
    std::map<std::pair<int, int>, int64_t> edges;
    for (int position : groups_[static_cast<size_t>(g)].ops) {
      for (ValueId v : ops_[static_cast<size_t>(position)]->operands) {
        const int from = producer(v);
        if (from < 0 || group_of_[static_cast<size_t>(from)] == g) continue;
        if (!seen.insert(behind_views(v)).second) continue;
        edges[{group_of_[static_cast<size_t>(from)], g}] +=
            func_.type(behind_views(v)).bytes(some_rows);
      }
    }
    for (const auto& [edge, bytes] : edges) weight[edge] = bytes;
  }

  std::set<int> data_predecessors(int g) const {
    std::set<int> out;
    for (int position : groups_[static_cast<size_t>(g)].ops) {
      for (ValueId v : ops_[static_cast<size_t>(position)]->operands) {
        const int from = producer(v);
        if (from >= 0) out.insert(group_of_[static_cast<size_t>(from)]);
      }
    }
    out.erase(g);
    return out;
  }

  // Updates of scalar state (step counts, powers of beta) share one kernel.
  void merge_scalar_groups() {
    int kept = -1;
    for (int g = 0; g < static_cast<int>(groups_.size()); ++g) {
      if (!groups_[static_cast<size_t>(g)].alive || !scalar_only(g)) continue;
      std::string why;
      if (kept < 0 || !merge(kept, g, why)) {
        kept = g;
        continue;
      }
      kept = g;
    }
  }

  bool scalar_only(int g) const {
    for (int position : groups_[static_cast<size_t>(g)].ops) {
      const Op& op = *ops_[static_cast<size_t>(position)];
      const ValueId v = op.kind == OpKind::assign ? op.operands[1] : op.result;
      if (!func_.type(v).is_scalar() || reads_memory(op) || def(op).is(Trait::reduction)) {
        return false;
      }
    }
    return true;
  }

  // ---- Result --------------------------------------------------------------------------------

  void rebuild() {
    std::map<int, int> left;  // unplaced predecessors
    std::map<int, std::set<int>> successors;
    for (int g = 0; g < static_cast<int>(groups_.size()); ++g) {
      if (!groups_[static_cast<size_t>(g)].alive) continue;
      const std::set<int> before = predecessors(g);
      left[g] = static_cast<int>(before.size());
      for (int p : before) successors[p].insert(g);
    }
    // Earliest recorded first, so that the text keeps the order of the user's program.
    std::set<std::pair<int, int>> ready;
    const auto offer = [&](int g) {
      ready.insert({*groups_[static_cast<size_t>(g)].ops.begin(), g});
    };
    for (const auto& [g, count] : left) {
      if (count == 0) offer(g);
    }
    size_t placed = 0;
    while (!ready.empty()) {
      const int g = ready.begin()->second;
      ready.erase(ready.begin());
      emit(g);
      ++placed;
      for (int s : successors[g]) {
        if (--left[s] == 0) offer(s);
      }
    }
    SINTER_CHECK(placed == left.size(), "the kernels of @{} wait for each other", func_.name);
    for (ValueId v : func_.results) emit_views(v);
    ir::compact(func_);
  }

  // Puts the top-level views behind `v` into the body, each before its first reader.
  void emit_views(ValueId v) {
    if (entry(v) || made_at_.count(v) || !emitted_views_.insert(v).second) return;
    const Op& view = *original_.at(v);
    emit_views(view.operands[0]);
    func_.body.push_back(view);
  }

  void emit(int g) {
    Op kernel{.kind = OpKind::kernel, .operands = {}};
    std::vector<std::pair<ValueId, ValueId>> merged;
    for (int position : groups_[static_cast<size_t>(g)].ops) {
      Op op = *ops_[static_cast<size_t>(position)];
      for (ValueId& v : op.operands) {
        for (const auto& [from, to] : merged) {
          if (v == from) v = to;
        }
        emit_views(v);
      }
      if (const Op* same = twin(kernel.body, op)) {
        merged.emplace_back(op.result, same->result);
        continue;
      }
      kernel.body.push_back(std::move(op));
    }
    for (const Op& op : kernel.body) {
      if (op.result.valid() && read_outside(op.result, g)) kernel.outputs.push_back(op.result);
    }
    describe(kernel, g);
    func_.body.push_back(std::move(kernel));
  }

  // An op of the kernel that computes the same: copies of one free op.
  const Op* twin(const std::vector<Op>& body, const Op& op) const {
    if (!copy_of_.count(op.result)) return nullptr;
    for (const Op& other : body) {
      if (other.kind == op.kind && other.operands == op.operands && other.attrs == op.attrs &&
          copy_of_.count(other.result) && func_.type(other.result) == func_.type(op.result)) {
        return &other;
      }
    }
    return nullptr;
  }

  bool read_outside(ValueId v, int g) const {
    for (ValueId r : func_.results) {
      if (behind_views(r) == v) return true;
    }
    const auto it = readers_.find(v);
    if (it == readers_.end()) {
      // Filled at first use: who reads each value, looking through top-level views.
      if (readers_.empty()) {
        for (size_t i = 0; i < ops_.size(); ++i) {
          for (ValueId operand : ops_[i]->operands) {
            readers_[behind_views(operand)].insert(group_of_[i]);
          }
        }
        return read_outside(v, g);
      }
      return false;
    }
    return std::any_of(it->second.begin(), it->second.end(), [&](int other) { return other != g; });
  }

  // Name, location and notes: what a reader of the dump wants to know first.
  void describe(Op& kernel, int g) {
    std::vector<std::string> parts;
    const Op* speaker = nullptr;
    for (const Op& op : kernel.body) {
      const ir::OpDef& d = def(op);
      const bool notable = reads_memory(op) || d.is(Trait::reduction) ||
                           op.kind == OpKind::assign ||
                           (d.is(Trait::elementwise) && !func_.type(op.result).is_scalar());
      if (reads_memory(op)) speaker = &op;
      if (!speaker && op.loc.known()) speaker = &op;
      const std::string part(op.kind == OpKind::assign ? "update" : d.name);
      if (notable && std::find(parts.begin(), parts.end(), part) == parts.end()) {
        parts.push_back(part);
      }
    }
    if (parts.size() > 4) {  // the root and the ends say most
      parts = {parts[0], parts[1], parts[2], parts.back()};
    }
    if (speaker) kernel.loc = speaker->loc;
    std::string name = fmt::format("k{}", count_++);
    for (const std::string& p : parts) name += "_" + p;
    kernel_names_[g] = name;
    kernel.attrs = ir::complete_attrs(OpKind::kernel, {{"name", name}});
    for (int p : data_predecessors(g)) {
      const auto it = reasons_.find({p, g});
      if (it != reasons_.end() && !it->second.empty()) {
        kernel.notes.push_back(
            fmt::format("apart from {}: {}", kernel_names_[p], it->second));
      }
    }
  }

  const Module& module_;
  Func& func_;
  FreeOps free_ops_;
  std::vector<Op> recorded_;
  std::map<ValueId, const Op*> original_;
  std::vector<std::unique_ptr<Op>> ops_;
  std::vector<int> group_of_;
  std::map<ValueId, int> made_at_;
  std::map<ValueId, ValueId> copy_of_;
  std::vector<Group> groups_;
  std::map<ValueId, std::vector<int>> global_readers_;
  std::map<std::pair<int, int>, std::string> reasons_;
  std::set<ValueId> emitted_views_;
  mutable std::map<ValueId, std::set<int>> readers_;
  std::map<int, std::string> kernel_names_;
  int count_ = 0;
};

}  // namespace

void fuse(Module& module, const Options&) {
  for (Func& func : module.funcs) {
    const bool fused = std::any_of(func.body.begin(), func.body.end(),
                                   [](const Op& op) { return op.kind == OpKind::kernel; });
    if (!fused) Fuser(module, func).run();
  }
}

}  // namespace sinter::compiler
