// Arithmetic on whole tensors, as the update of an optimizer: one line of elements, whatever their
// shape.
#include <algorithm>

#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::ValueId;
using llvm::Value;

// Whether the elements of a value that varies along the whole domain lie in memory in its order,
// without gaps.
bool KernelEmitter::lies_flat(ValueId v, const AxisMap& axes, bool written) const {
  const ir::Func& func = context_.func;
  BufferAccess at{v, func.type(v).shape, axes, {}, {}};
  at.steps.assign(axes.size(), 1);
  if (!written) {
    const auto found = resolve_access(func, context_.values, v, axes);
    if (!found) return false;
    at = *found;
  }
  const ir::ValueInfo& info = func[at.buffer];
  if (info.storage && info.storage->pitch != 0) return false;
  int next = form_.rank() - 1;
  for (size_t i = at.dims.size(); i-- > 0;) {
    if (at.axes[i] < 0) {
      if (next >= 0 && !at.dims[i].is_one()) return false;
      continue;
    }
    if (at.axes[i] != next || at.steps[i] != 1 ||
        at.dims[i] != form_.domain[static_cast<size_t>(next)]) {
      return false;
    }
    --next;
  }
  return next < 0;
}

// Arithmetic on tensors without gaps goes through all elements as one line: rows of 10 would leave
// a third of the lanes empty.
void KernelEmitter::flatten() {
  if (form_.rank() < 2 || form_.root || form_.row_reduces || form_.col_reduces || parts_ > 1)
    return;
  if (std::any_of(form_.domain.begin(), form_.domain.end(),
                  [](const ir::Dim& d) { return d.batch; })) {
    return;
  }
  const auto full = [&](const AxisMap& axes) {
    uint32_t bits = 0;
    for (int axis : axes) bits |= axis >= 0 ? 1u << axis : 0u;
    return bits == form_.full();
  };
  const auto scalar = [](const AxisMap& axes) {
    return std::all_of(axes.begin(), axes.end(), [](int axis) { return axis < 0; });
  };
  for (const KernelOp& k : form_.ops) {
    if (scalar(k.axes)) continue;
    const bool assigns = k.role == Role::assign;
    const bool view = k.role == Role::copy && !is_output(k.op->result);
    const bool plain = k.role == Role::elementwise && !def(*k.op).is(ir::Trait::source);
    if ((!assigns && !view && !plain) || !full(k.axes)) return;
    if (view && !form_.find(k.op->operands[0]) && !lies_flat(k.op->result, k.axes, false)) return;
    const ValueId to = assigns ? k.op->operands[0] : k.op->result;
    if ((assigns || is_output(to)) && !lies_flat(to, k.axes, true)) return;
  }
  for (const auto& [v, axes] : form_.reads) {
    if (scalar(axes) || form_.find(v)) continue;
    if (!full(axes) || !lies_flat(v, axes, false)) return;
  }
  const int last = form_.columns_axis();
  const auto flat = [&](AxisMap& axes) {
    for (int& axis : axes) axis = axis == last ? 0 : -1;
  };
  int64_t elements = 1;
  for (const ir::Dim& d : form_.domain) elements *= d.scale;
  form_.domain = {ir::Dim{elements}};
  for (KernelOp& k : form_.ops) {
    flat(k.axes);
    k.varies = k.varies ? 1u : 0u;
  }
  for (auto& [v, axes] : form_.reads) flat(axes);
}

// Arithmetic that threads share reads what others have computed and writes what others have read:
// asks for these lines some panels ahead, up to the end of what is this thread's.
void KernelEmitter::fetch_columns(Value* column, Value* end) {
  constexpr int64_t panels_ahead = 4;
  if (form_.rank() != 1 || form_.root) return;
  if (!kernel_.attrs.flag("parallel") && kernel_.attrs.integer("thread") == 0) return;
  const int64_t width = panel_columns();
  Value* ahead = builder_.CreateAdd(column, i64(panels_ahead * width));
  ahead = builder_.CreateSelect(builder_.CreateICmpSLT(ahead, end), ahead, column);
  const auto fetch = [&](const Access& access, bool written) {
    if (!unit_stride(access, 0)) return;
    llvm::Type* element = memory_type(llvm_context(), access.dtype);
    Value* first = builder_.CreateGEP(element, access.base, ahead);
    const int64_t bytes = width * static_cast<int64_t>(dtype_size(access.dtype));
    emit_prefetch(builder_, first, bytes, written);
  };
  const auto shared = [&](ValueId v) {
    const auto it = context_.touched_by.find(stored_base(context_.func, context_.values, v));
    return it != context_.touched_by.end() && it->second > 1;
  };
  for (const KernelOp& k : form_.ops) {
    if (k.varies == 0) continue;
    if (k.role == Role::assign && shared(k.op->operands[0])) {
      for (const Access& to : targets(k)) fetch(to, true);
    } else if (k.role == Role::copy && !form_.find(k.op->operands[0]) && shared(k.op->result)) {
      fetch(access_of(k.op->result, k.axes, true), false);
    }
  }
}

}  // namespace sinter::compiler
