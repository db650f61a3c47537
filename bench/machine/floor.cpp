#include "bench/machine/floor.h"

#include <set>

#include <fmt/format.h>

#include "ir/op.h"

namespace sinter::bench {

namespace {

using ir::OpKind;

// Multiply-adds for each element of the result.
double contracted(const ir::Func& func, const ir::Op& op, int64_t rows) {
  double out = 1;
  const std::vector<int64_t> dims = func.type(op.operands[0]).dims(rows);
  for (int64_t axis : op.attrs.integers("a")) out *= double(dims[static_cast<size_t>(axis)]);
  return out;
}

// Operations for each element that no FMA absorbs: a sum can start or end an FMA, a comparison and
// a cast can be part of a choice. One for everything else, though a root or exp takes many.
bool stands_alone(const ir::Op& op) {
  switch (op.kind) {
    case OpKind::add:
    case OpKind::sub:
    case OpKind::mul:
    case OpKind::neg:
    case OpKind::less:
    case OpKind::less_equal:
    case OpKind::equal:
    case OpKind::cast:
      return false;
    default:
      return ir::def(op).is(ir::Trait::elementwise);
  }
}

}  // namespace

Work count_work(const ir::Module& module, const ir::Func& func, int64_t rows) {
  Work out;
  std::set<int> factors, updated;
  for (const ir::Op& op : func.body) {
    if (op.kind == OpKind::assign) updated.insert(func[op.operands[0]].index);
    if (!op.result.valid()) continue;
    const double elements = double(func.type(op.result).numel(rows));
    if (op.kind == OpKind::contraction) {
      out.fmas += elements * contracted(func, op, rows);
      for (ir::ValueId id : op.operands) {
        if (func[id].def == ir::ValueDef::global) factors.insert(func[id].index);
      }
    } else if (stands_alone(op)) {
      out.ops += elements;
    } else if (ir::def(op).is(ir::Trait::reduction)) {
      out.ops += double(func.type(op.operands[0]).numel(rows)) - elements;
    }
  }
  out.ops += out.fmas;

  const auto bytes = [&](int g) {
    return double(module.globals[static_cast<size_t>(g)].type.bytes(rows));
  };
  for (int g : factors) out.read_bytes += bytes(g);
  for (int g : updated) out.rmw_bytes += bytes(g);
  for (ir::ValueId id : func.args) out.read_bytes += double(func.type(id).bytes(rows));
  for (ir::ValueId id : func.args) out.data_bytes += double(func.type(id).bytes(rows));
  for (size_t g = 0; g < module.globals.size(); ++g) out.data_bytes += bytes(static_cast<int>(g));
  return out;
}

Floor floor_of(const Work& work, const Limits& limits) {
  Floor best;
  for (const int cores : {1, limits.cores}) {
    const Rates& rates = cores == 1 ? limits.one : limits.all;
    size_t level = kL1;
    while (level < kL3 && work.data_bytes / cores > double(limits.capacity[level])) ++level;
    if (work.data_bytes > double(limits.capacity[kL3])) level = kDram;
    const Bandwidth& bandwidth = rates.bandwidth[level];

    const double fma = work.fmas / rates.fma(), any = work.ops / rates.any_op;
    const double memory = work.read_bytes / bandwidth.read + work.rmw_bytes / bandwidth.rmw;
    Floor floor{fma, "fma"};
    if (any > floor.seconds) floor = {any, "vector operations"};
    if (memory > floor.seconds) floor = {memory, kLevelNames[level]};
    floor.bound += fmt::format(", {} core{}", cores, cores == 1 ? "" : "s");
    if (cores > 1) floor.seconds += 2 * limits.barrier;
    if (best.bound.empty() || floor.seconds < best.seconds) best = floor;
  }
  return best;
}

}  // namespace sinter::bench
