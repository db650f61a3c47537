#include "compiler/forms/buffers.h"

#include "ir/op.h"

namespace sinter::compiler {

using ir::Func;
using ir::Op;
using ir::OpKind;
using ir::Shape;
using ir::Trait;
using ir::ValueId;

bool match_non_unit(const Shape& a, const Shape& b, std::vector<std::pair<int, int>>& pairs) {
  size_t i = 0, j = 0;
  while (true) {
    while (i < a.size() && a[i].is_one()) ++i;
    while (j < b.size() && b[j].is_one()) ++j;
    if (i == a.size() || j == b.size()) return i == a.size() && j == b.size();
    if (a[i] != b[j]) return false;
    pairs.emplace_back(static_cast<int>(i++), static_cast<int>(j++));
  }
}

std::optional<BufferAccess> resolve_access(const Func& func, const std::vector<const Op*>& defs,
                                           const StoredSet& stored, ValueId value,
                                           std::vector<int> axes) {
  std::vector<int64_t> starts(axes.size(), 0), steps(axes.size(), 1);
  while (true) {
    const Shape& here = func.type(value).shape;
    if (stored.count(value) || func[value].def != ir::ValueDef::op) {
      return BufferAccess{value, here, std::move(axes), std::move(starts), std::move(steps)};
    }
    const Op* op = defs[static_cast<size_t>(value.index)];
    if (!op || !def(*op).is(Trait::view)) return std::nullopt;
    const ValueId from = op->operands[0];
    const Shape& there = func.type(from).shape;
    std::vector<int> next(there.size(), -1);
    std::vector<int64_t> next_starts(there.size(), 0), next_steps(there.size(), 1);
    const auto take = [&](size_t to, size_t i) {
      next[to] = axes[i];
      next_starts[to] = starts[i];
      next_steps[to] = steps[i];
    };
    if (op->kind == OpKind::transpose) {
      const std::vector<int64_t>& p = op->attrs.integers("permutation");
      for (size_t i = 0; i < p.size(); ++i) take(static_cast<size_t>(p[i]), i);
    } else if (op->kind == OpKind::broadcast) {
      const size_t extra = here.size() - there.size();
      for (size_t i = 0; i < there.size(); ++i) {
        if (!there[i].is_one()) take(i, i + extra);
      }
    } else if (op->kind == OpKind::slice) {
      for (size_t i = 0; i < there.size(); ++i) take(i, i);
      const auto i = static_cast<size_t>(op->attrs.integer("axis"));
      const int64_t step = op->attrs.integer("step");
      next_starts[i] = op->attrs.integer("start") + step * starts[i];
      next_steps[i] = here[i].is_one() ? 1 : step * steps[i];  // any step goes with one element
    } else {
      std::vector<std::pair<int, int>> pairs;
      if (match_non_unit(there, here, pairs)) {
        for (const auto& [i, j] : pairs) take(static_cast<size_t>(i), static_cast<size_t>(j));
      } else if (stored.count(from) || func[from].def != ir::ValueDef::op) {
        // The buffer is row-major, so it can be indexed under the other shape.
        return BufferAccess{from, here, std::move(axes), std::move(starts), std::move(steps)};
      } else {
        return std::nullopt;
      }
    }
    value = from;
    axes = std::move(next);
    starts = std::move(next_starts);
    steps = std::move(next_steps);
  }
}

bool moves_elements(const Func& func, const Op& view) {
  if (view.kind == OpKind::transpose || view.kind == OpKind::slice) return true;
  if (view.kind != OpKind::reshape) return false;
  std::vector<std::pair<int, int>> pairs;
  return !match_non_unit(func.type(view.operands[0]).shape, func.type(view.result).shape, pairs);
}

StoredValues::StoredValues(const Func& func) : defs(ir::definitions(func)) {
  for (const Op& op : func.body) stored.insert(op.outputs.begin(), op.outputs.end());
}

ValueId stored_base(const Func& func, const StoredValues& values, ValueId v) {
  while (func[v].def == ir::ValueDef::op && !values.stored.count(v)) {
    const Op& op = *values.defs[static_cast<size_t>(v.index)];
    // What a kernel computes on its way has no memory.
    if (!def(op).is(Trait::view)) break;
    v = op.operands[0];
  }
  return v;
}

TouchedValues touched_values(const Func& func, const StoredValues& values, const Op& kernel) {
  TouchedValues out;
  std::set<ValueId> inside;
  for (const Op& op : kernel.body) {
    for (size_t i = 0; i < op.operands.size(); ++i) {
      if (op.kind == OpKind::assign && i == 0) {
        out.writes.insert(op.operands[0]);
      } else if (!inside.count(op.operands[i])) {
        out.reads.insert(stored_base(func, values, op.operands[i]));
      }
    }
    if (op.result.valid()) inside.insert(op.result);
  }
  out.writes.insert(kernel.outputs.begin(), kernel.outputs.end());
  return out;
}

}  // namespace sinter::compiler
