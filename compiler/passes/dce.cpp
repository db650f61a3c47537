#include <algorithm>

#include "compiler/passes/passes.h"
#include "ir/op.h"

namespace sinter::compiler {

namespace {

using namespace ir;

// One walk from the last op to the first sees every reader of a value before the op that makes it.
void dce(Func& func) {
  std::vector<bool> read(func.values.size(), false);
  const auto mark = [&](const std::vector<ValueId>& values) {
    for (ValueId v : values) read[static_cast<size_t>(v.index)] = true;
  };
  const auto mark_kernel = [&](auto& self, const Op& op) -> void {
    mark(op.operands);
    mark(op.outputs);
    for (const Op& inner : op.body) self(self, inner);
  };
  mark(func.results);
  std::vector<Op> kept;
  for (auto op = func.body.rbegin(); op != func.body.rend(); ++op) {
    const bool live = def(*op).is(Trait::effect) ||
                      (op->result.valid() && read[static_cast<size_t>(op->result.index)]);
    if (!live) continue;
    mark_kernel(mark_kernel, *op);
    kept.push_back(std::move(*op));
  }
  std::reverse(kept.begin(), kept.end());
  func.body = std::move(kept);
  compact(func);
}

}  // namespace

void dce(Module& module, const Options&) {
  for (Func& func : module.funcs) dce(func);
}

}  // namespace sinter::compiler
