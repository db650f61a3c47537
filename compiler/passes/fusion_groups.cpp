#include "compiler/passes/fusion_groups.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "compiler/forms/kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::OpKind;
using ir::Trait;

// ---- Groups of one -----------------------------------------------------------------------------

FusionGroups::FusionGroups(const ir::Module& module, ir::Func& func)
    : module_(module), func_(func), free_ops_(func), recorded_(std::move(func.body)) {
  func_.body.clear();
  for (const Op& op : recorded_) {
    if (op.result.valid()) original_[op.result] = &op;
  }
  for (const Op& op : recorded_) {
    if (op.result.valid() && free_ops_.belong_to_readers(op.result)) continue;
    add_group(op, Views::inside, Sharing::all_operands);
    const auto again = [&](Views views, Sharing sharing) {
      if (!copies_a_view(size() - 1) || is_kernel(size() - 1)) return;
      drop_group();
      add_group(op, views, sharing);
    };
    // A value beside a view of it may run along two axes of a loop: %x[n] < %x[n, 1].
    again(Views::inside, Sharing::none);
    again(Views::of_copies, Sharing::none);
  }
  index_readers();
  index_groups();
}

// The group of `op` with copies of the free ops that it reads.
void FusionGroups::add_group(const Op& op, Views views, Sharing sharing) {
  groups_.emplace_back();
  Copies copies;
  Op own = op;
  if (!reads_memory(op) && !moves_elements(func_, op)) {
    for (ValueId& v : own.operands) {
      if (sharing == Sharing::none) copies.clear();
      if (views == Views::inside || !views_memory(v)) v = private_copy(v, copies);
    }
  }
  add(std::move(own));
}

// Forgets the newest group.
void FusionGroups::drop_group() {
  for (int position : groups_.back()) {
    made_at_.erase(op(position).result);
    copies_.erase(op(position).result);
  }
  const size_t left = ops_.size() - groups_.back().size();
  ops_.resize(left);
  group_of_.resize(left);
  groups_.pop_back();
}

bool FusionGroups::views_memory(ValueId v) const {
  while (free_ops_.belong_to_readers(v) && def(*original_.at(v)).is(Trait::view)) {
    v = original_.at(v)->operands[0];
  }
  return !free_ops_.belong_to_readers(v);
}

bool FusionGroups::copies_a_view(int g) const {
  return std::any_of(positions(g).begin(), positions(g).end(), [&](int position) {
    return def(op(position)).is(Trait::view) && is_copy(op(position).result);
  });
}

bool FusionGroups::is_kernel(int g) const {
  std::vector<const Op*> list;
  for (int position : positions(g)) list.push_back(&op(position));
  return analyze_kernel(module_, func_, list).form.has_value();
}

bool FusionGroups::is_kernel(const std::vector<Op>& body) const {
  std::vector<const Op*> list;
  for (const Op& op : body) list.push_back(&op);
  return analyze_kernel(module_, func_, list).form.has_value();
}

// Puts an op into the newest group.
int FusionGroups::add(Op op) {
  const int position = static_cast<int>(ops_.size());
  if (op.result.valid()) made_at_[op.result] = position;
  ops_.push_back(std::make_unique<Op>(std::move(op)));
  group_of_.push_back(size() - 1);
  groups_.back().insert(position);
  return position;
}

// The value itself, or for a free one that of a copy of its op inside the newest group.
ir::ValueId FusionGroups::private_copy(ValueId v, Copies& copies) {
  if (!free_ops_.belong_to_readers(v)) return v;
  if (const auto it = copies.find(v); it != copies.end()) return it->second;
  Op copy = *original_.at(v);
  // What it shows in another order lies in memory; the views in between stay at the top level.
  if (!moves_elements(func_, copy)) {
    for (ValueId& operand : copy.operands) operand = private_copy(operand, copies);
  }
  copy.result = func_.add_value(func_.type(v), "", ir::ValueDef::op);
  copies[v] = copy.result;
  copies_.insert(copy.result);
  return op(add(std::move(copy))).result;
}

void FusionGroups::index_readers() {
  for (size_t i = 0; i < ops_.size(); ++i) {
    const std::vector<ValueId>& operands = ops_[i]->operands;
    for (size_t k = ops_[i]->kind == OpKind::assign ? 1 : 0; k < operands.size(); ++k) {
      readers_[behind_views(operands[k])].push_back(static_cast<int>(i));
    }
  }
}

// ---- The graph ---------------------------------------------------------------------------------

const ir::Op* FusionGroups::outer_view(ValueId v) const {
  return entry(v) || made_at_.count(v) ? nullptr : original_.at(v);
}

ir::ValueId FusionGroups::behind_views(ValueId v) const {
  while (const Op* view = outer_view(v)) v = view->operands[0];
  return v;
}

int FusionGroups::producer(ValueId v) const {
  v = behind_views(v);
  return entry(v) ? -1 : made_at_.at(v);
}

std::set<int> FusionGroups::data_predecessors(int g) const {
  std::set<int> out;
  for (int position : positions(g)) {
    for (ValueId v : op(position).operands) {
      if (const int from = producer(v); from >= 0) out.insert(group_of(from));
    }
  }
  out.erase(g);
  return out;
}

void FusionGroups::index_groups() {
  before_.resize(groups_.size());
  after_.resize(groups_.size());
  for (int g = 0; g < size(); ++g) {
    std::set<int>& before = before_[static_cast<size_t>(g)];
    before = data_predecessors(g);
    for (int position : positions(g)) {
      const Op& own = op(position);
      if (own.kind == OpKind::assign) before.merge(readers_of_global(own.operands[0]));
    }
    before.erase(g);
    for (int p : before) after_[static_cast<size_t>(p)].insert(g);
  }
}

// Group `b` stands where `a` stood.
void FusionGroups::take_over_edges(int a, int b) {
  const auto move = [&](std::vector<std::set<int>>& to, std::vector<std::set<int>>& back) {
    std::set<int>& own = to[static_cast<size_t>(b)];
    for (int g : to[static_cast<size_t>(a)]) {
      back[static_cast<size_t>(g)].erase(a);
      if (g == b) continue;
      back[static_cast<size_t>(g)].insert(b);
      own.insert(g);
    }
    own.erase(a);
    to[static_cast<size_t>(a)].clear();
  };
  move(before_, after_);
  move(after_, before_);
}

std::set<int> FusionGroups::readers_of_global(ValueId global) const {
  std::set<int> out;
  if (const auto it = readers_.find(global); it != readers_.end()) {
    for (int position : it->second) out.insert(group_of(position));
  }
  return out;
}

std::set<int> FusionGroups::readers_of(int g) const {
  std::set<int> out;
  for (int position : positions(g)) {
    const auto it = readers_.find(op(position).result);
    if (it == readers_.end()) continue;
    for (int reader : it->second) out.insert(group_of(reader));
  }
  out.erase(g);
  return out;
}

bool FusionGroups::read_outside(ValueId v, int g) const {
  const auto is_read = [&](ValueId r) { return behind_views(r) == v; };
  if (std::any_of(func_.results.begin(), func_.results.end(), is_read)) return true;
  const auto it = readers_.find(v);
  return it != readers_.end() && std::any_of(it->second.begin(), it->second.end(),
                                             [&](int position) { return group_of(position) != g; });
}

bool FusionGroups::is_result(int g) const {
  return std::any_of(func_.results.begin(), func_.results.end(), [&](ValueId v) {
    const int from = producer(v);
    return from >= 0 && group_of(from) == g;
  });
}

bool FusionGroups::read_from_memory(ValueId v) const {
  const auto it = readers_.find(behind_views(v));
  return it != readers_.end() && std::any_of(it->second.begin(), it->second.end(),
                                             [&](int p) { return reads_memory(op(p)); });
}

// Whether `to` can be reached backwards from `from` by a way of more than one step, or at all.
bool FusionGroups::reaches(int from, int to, bool skip_direct) const {
  std::vector<int> todo;
  std::vector<bool> seen(groups_.size(), false);
  for (int p : predecessors(from)) {
    if (!(skip_direct && p == to)) todo.push_back(p);
  }
  while (!todo.empty()) {
    const int g = todo.back();
    todo.pop_back();
    if (g == to) return true;
    if (seen[static_cast<size_t>(g)]) continue;
    seen[static_cast<size_t>(g)] = true;
    todo.insert(todo.end(), predecessors(g).begin(), predecessors(g).end());
  }
  return false;
}

// ---- Merging -----------------------------------------------------------------------------------

namespace {

// By then its arithmetic takes far longer than what it reads and writes, while the time to analyse
// and to compile it grows faster than its size.
constexpr size_t most_ops_of_a_kernel = 128;

}  // namespace

bool FusionGroups::merge(int a, int b, std::string& why) {
  std::set<int>&from = groups_[static_cast<size_t>(a)], &into = groups_[static_cast<size_t>(b)];
  if (from.size() + into.size() > most_ops_of_a_kernel) {
    why = fmt::format("the kernel would have more than {} ops", most_ops_of_a_kernel);
    return false;
  }
  std::set<int> both = from;
  both.insert(into.begin(), into.end());
  std::vector<const Op*> list;
  for (int position : both) list.push_back(&op(position));
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
  for (int position : from) group_of_[static_cast<size_t>(position)] = b;
  from.clear();
  into = std::move(both);
  take_over_edges(a, b);
  return true;
}

// Whether an op reads, through views at the top level, what another computes: the view would have
// to stand inside the kernel. Of values of one element analyze_kernel sees no axis that is amiss.
bool FusionGroups::reads_own_behind_view(const std::set<int>& positions) const {
  return std::any_of(positions.begin(), positions.end(), [&](int position) {
    const std::vector<ValueId>& operands = op(position).operands;
    return std::any_of(operands.begin(), operands.end(), [&](ValueId v) {
      return outer_view(v) && positions.count(producer(v)) > 0;
    });
  });
}

// Whether an op reads from memory, through views at the top level, a global that another assigns:
// analyze_kernel sees the view only.
bool FusionGroups::updates_behind_view(const std::vector<const Op*>& list) const {
  std::set<ValueId> assigned;
  for (const Op* op : list) {
    if (op->kind == OpKind::assign) assigned.insert(op->operands[0]);
  }
  return !assigned.empty() && std::any_of(list.begin(), list.end(), [&](const Op* op) {
    if (!reads_memory(*op) && !def(*op).is(Trait::view)) return false;
    return std::any_of(op->operands.begin(), op->operands.end(),
                       [&](ValueId v) { return assigned.count(behind_views(v)) > 0; });
  });
}

}  // namespace sinter::compiler
