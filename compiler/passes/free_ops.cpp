#include "compiler/passes/free_ops.h"

#include <algorithm>
#include <map>

#include "ir/op.h"

namespace sinter::compiler {

using ir::Op;
using ir::OpKind;
using ir::Trait;
using ir::ValueDef;
using ir::ValueId;

namespace {

bool is_view(const Op& op) { return def(op).is(Trait::view); }

bool is_long(const ir::ScalarNode& node) {
  constexpr ir::Prim list[] = {ir::Prim::div,  ir::Prim::exp,  ir::Prim::log, ir::Prim::log1p,
                               ir::Prim::sqrt, ir::Prim::tanh, ir::Prim::sin, ir::Prim::cos,
                               ir::Prim::erf,  ir::Prim::pow};
  return std::find(std::begin(list), std::end(list), node.prim) != std::end(list);
}

}  // namespace

FreeOps::FreeOps(ir::Func& func) : func_(func) {
  find_free_ops();
  untangle_updates();
  give_results_memory();
  share_long_scalars();
}

void FreeOps::find_free_ops() {
  defs_ = ir::definitions(func_);
  free_.assign(func_.values.size(), false);
  for (const Op& op : func_.body) {
    if (!op.result.valid()) continue;
    const bool source = def(op).is(Trait::source) && op.operands.empty();
    bool scalar = def(op).is(Trait::elementwise) && func_.type(op.result).is_scalar();
    for (ValueId v : op.operands) scalar = scalar && (entry(v) || free_[idx(v)]);
    free_[idx(op.result)] = source || scalar || is_view(op);
  }
}
// Two updates that read each other's globals directly (a swap) would each have to run first, and
// one that reads a view of its own global would overwrite what it still reads: they take their
// new values from memory instead.
void FreeOps::untangle_updates() {
  std::map<ValueId, std::set<ValueId>> reads;  // by assigned global: globals of its new value
  for (const Op& op : func_.body) {
    if (op.kind != OpKind::assign) continue;
    for (ValueId v : sources(op.operands[1])) {
      if (func_[v].def == ValueDef::global) reads[op.operands[0]].insert(v);
    }
  }
  const auto views_itself = [&](ValueId global) {
    return std::any_of(func_.body.begin(), func_.body.end(), [&](const Op& op) {
      return op.kind == OpKind::assign && op.operands[0] == global && shows(op.operands[1], global);
    });
  };
  const auto tangled = [&](ValueId global) {
    std::vector<ValueId> todo{global};
    std::set<ValueId> seen;
    while (!todo.empty()) {
      const auto it = reads.find(todo.back());
      const ValueId here = todo.back();
      todo.pop_back();
      if (it == reads.end()) continue;
      for (ValueId v : it->second) {
        if (v == here && !views_itself(v)) continue;
        if (v == global) return true;
        if (seen.insert(v).second) todo.push_back(v);
      }
    }
    return false;
  };
  std::vector<Op*> updates;
  for (Op& op : func_.body) {
    if (op.kind == OpKind::assign && tangled(op.operands[0])) updates.push_back(&op);
  }
  std::vector<Op> copies;  // of globals, which any place may read
  for (Op* op : updates) {
    if (entry(op->operands[1])) copies.push_back(copy_of(op->operands[1]));
    if (free_[idx(op->operands[1])]) materialize_.insert(op->operands[1]);
  }
  func_.body.insert(func_.body.begin(), copies.begin(), copies.end());
  defs_ = ir::definitions(func_);
}

// What free ops alone compute `v` from, with all on the way and `v` itself.
std::set<ValueId> FreeOps::sources(ValueId v) const {
  std::set<ValueId> out{v};
  for (std::vector<ValueId> todo{v}; !todo.empty();) {
    const ValueId at = todo.back();
    todo.pop_back();
    if (entry(at) || !free_[idx(at)]) continue;
    for (ValueId operand : defs_[idx(at)]->operands) {
      if (out.insert(operand).second) todo.push_back(operand);
    }
  }
  return out;
}

// Whether a view shows `global` on the way of free ops to `v`.
bool FreeOps::shows(ValueId v, ValueId global) const {
  const std::set<ValueId> all = sources(v);
  return std::any_of(all.begin(), all.end(), [&](ValueId at) {
    if (entry(at) || !free_[idx(at)]) return false;
    const Op& op = *defs_[idx(at)];
    return is_view(op) && op.operands[0] == global;
  });
}

// A view of the same shape, which `v` becomes: a copy, once it has memory.
Op FreeOps::copy_of(ValueId& v) {
  Op copy{.kind = OpKind::reshape, .operands = {v}};
  copy.result = func_.add_value(func_.type(v), "", ValueDef::op);
  v = copy.result;
  free_.resize(func_.values.size(), true);
  return copy;
}

// Values that must lie in memory although they are free: results, and what ops that read memory
// find behind their views.
void FreeOps::give_results_memory() {
  for (ValueId& result : func_.results) {
    if (!entry(result)) {
      if (free_[idx(result)]) materialize_.insert(result);
      continue;
    }
    // A result that is an argument or a global as it came in: copied by a view of the same shape.
    func_.body.push_back(copy_of(result));
    materialize_.insert(result);
  }
  defs_ = ir::definitions(func_);
  for (const Op& op : func_.body) {
    if (reads_memory(op)) {
      for (ValueId v : op.operands) need_behind_views(v);
    } else if (is_view(op)) {
      if (moves_elements(func_, op)) need_behind_views(op.operands[0]);
      // A view that cannot be followed to its buffer makes the views below it real.
      const StoredSet none = stored_if(op.operands[0]);
      std::vector<int> axes(func_.type(op.result).shape.size(), -1);
      if (!resolve_access(func_, defs_, none, op.result, axes)) {
        materialize_.insert(op.operands[0]);
      }
    }
  }
}

// Scalars that take long and that several ops read lie in memory: each reader would wait for them
// at its start, and whoever updates the entry values behind them would have to wait for all.
void FreeOps::share_long_scalars() {
  std::map<ValueId, int> readers;
  for (const Op& op : func_.body) {
    if (op.result.valid() && belong_to_readers(op.result)) continue;
    const std::set<ValueId> operands(op.operands.begin(), op.operands.end());
    for (ValueId v : operands) ++readers[v];
  }
  std::set<ValueId> long_copies;  // that take long, and that readers have to themselves
  for (const Op& op : func_.body) {
    const ValueId v = op.result;
    if (!v.valid() || !belong_to_readers(v) || !func_.type(v).is_scalar()) continue;
    if (!def(op).is(Trait::elementwise)) continue;
    const auto is_copied = [&](ValueId operand) { return long_copies.count(operand) > 0; };
    if (!takes_long(op) && std::none_of(op.operands.begin(), op.operands.end(), is_copied))
      continue;
    (readers[v] > 1 ? materialize_ : long_copies).insert(v);
  }
}

// Whether the op is a division, a root or a function.
bool FreeOps::takes_long(const Op& op) const {
  const ir::ScalarProgram program = ir::scalar_program(func_, op);
  return std::any_of(program.nodes.begin(), program.nodes.end(), is_long);
}

// Everything that will have memory for sure, seen from a chain of views that starts at `v`.
StoredSet FreeOps::stored_if(ValueId v) const {
  while (!entry(v) && is_view(*defs_[idx(v)]) && !materialize_.count(v)) {
    v = defs_[idx(v)]->operands[0];
  }
  return {v};
}

void FreeOps::need_behind_views(ValueId v) {
  while (!entry(v) && is_view(*defs_[idx(v)]) && !materialize_.count(v)) {
    v = defs_[idx(v)]->operands[0];
  }
  if (!entry(v) && free_[idx(v)]) materialize_.insert(v);
}

}  // namespace sinter::compiler
