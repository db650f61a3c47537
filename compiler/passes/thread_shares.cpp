// What one thread has written crosses to the other cores that read it, and a parameter does so in
// every step: one whose gradient is shared by columns, [out, in] by `in`, while the next step reads
// it by rows, `out`. A gradient may be shared either way. By columns suits where the gradient of
// the layer's inputs, which goes through all rows of the weight, is computed too; by rows where it
// is not, as in the first layer.
#include "compiler/passes/thread_shares.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "compiler/forms/batch_form.h"
#include "compiler/forms/kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::Func;
using ir::Module;
using ir::Op;
using ir::OpKind;
using ir::ValueId;

namespace {

// Bytes a microsecond that come from another core, and that are packed once more.
constexpr double foreign_rate = 4e3, packing_rate = 25e3;
// No wider row is one panel, whose rows are shared in any case.
constexpr int64_t panel_columns = 64;

struct Use {
  size_t kernel;
  AxisMap axes;  // of the buffer in the kernel's domain; empty where a view lies between
  bool written;
};

class Shares {
 public:
  Shares(const Module& module, Func& func, const StoredValues& values, int64_t n)
      : func_(func), n_(n) {
    for (Op& op : func.body) {
      // What one thread runs alone is the same for every choice.
      if (op.kind != OpKind::kernel || batch_in_lanes(op) || !op.attrs.flag("parallel")) continue;
      kernels_.push_back({&op, kernel_form(module, func, op)});
      add_uses([&](ValueId v, AxisMap axes, bool written) {
        const ValueId buffer = stored_base(func, values, v);
        if (buffer != v) axes.clear();
        uses_[buffer].push_back({kernels_.size() - 1, std::move(axes), written});
      });
    }
    for (Kernel& k : kernels_) k.by_rows = rows_anyway(k);
  }

  void run() {
    for (size_t i = 0; i < kernels_.size(); ++i) {
      Kernel& k = kernels_[i];
      if (k.by_rows || !may_go_by_rows(k)) continue;
      const double by_columns = foreign_bytes(i);
      k.by_rows = true;
      const double saved = by_columns - foreign_bytes(i);
      k.by_rows = saved / foreign_rate > more_packing(k) / packing_rate;
      if (!k.by_rows) continue;
      k.op->attrs.set("by_rows", true);
      k.op->notes.push_back(fmt::format(
          "threads share its rows: {:.0f} bytes fewer cross to a core of two than by columns",
          saved));
    }
  }

 private:
  struct Kernel {
    Op* op;
    KernelForm form;
    bool by_rows = false;
  };

  // The buffers of the last kernel, by what it reads and writes.
  template <typename Add>
  void add_uses(const Add& add) const {
    const KernelForm& form = kernels_.back().form;
    const std::vector<ValueId>& outputs = kernels_.back().op->outputs;
    for (const auto& [v, axes] : form.reads) {
      if (!form.find(v)) add(v, axes, false);
    }
    for (const KernelOp& k : form.ops) {
      if (k.role == Role::contraction) {
        for (int side = 0; side < 2; ++side) {
          add(k.op->operands[static_cast<size_t>(side)], contraction_axes(func_, form, side),
              false);
        }
      } else if (reads_memory(*k.op)) {
        for (ValueId v : k.op->operands) add(v, {}, false);
      }
      const bool assigns = k.role == Role::assign;
      if (assigns || std::find(outputs.begin(), outputs.end(), k.op->result) != outputs.end()) {
        add(assigns ? k.op->operands[0] : k.op->result, k.axes, true);
      }
    }
  }

  static bool rows_anyway(const Kernel& k) {
    const KernelForm& form = k.form;
    if (form.rank() < 2) return false;
    const bool narrow = !form.domain.back().batch && form.domain.back().scale <= panel_columns;
    return form.row_reduces || k.op->attrs.integer("parts") > 1 || (narrow && !form.col_reduces) ||
           (!form.root && !form.col_reduces);
  }

  // A product over the batch, whatever is made of it element by element.
  bool may_go_by_rows(const Kernel& k) const {
    const KernelForm& form = k.form;
    const bool fixed = form.rank() == 2 && !form.domain[0].batch && !form.domain[1].batch;
    if (!fixed || form.col_reduces || !form.root || form.root->kind != OpKind::contraction) {
      return false;
    }
    const ir::Shape& a = func_.type(form.root->operands[0]).shape;
    const std::vector<int64_t>& folded = form.root->attrs.integers("a");
    return std::any_of(folded.begin(), folded.end(),
                       [&](int64_t axis) { return a[static_cast<size_t>(axis)].batch; });
  }

  // The axis of a buffer along which threads divide it in a kernel, or `whole`.
  static constexpr int whole = -1;
  int shared_axis(const Use& use) const {
    const Kernel& k = kernels_[use.kernel];
    const int shared = k.by_rows ? 0 : k.form.columns_axis();
    const auto it = std::find(use.axes.begin(), use.axes.end(), shared);
    return it == use.axes.end() ? whole : static_cast<int>(it - use.axes.begin());
  }

  // Of the buffers of a kernel, what one core of two reads that the other has written.
  double foreign_bytes(size_t kernel) const {
    double out = 0;
    for (const auto& [v, uses] : uses_) {
      const auto touched = [&](const Use& use) { return use.kernel == kernel; };
      const auto writer =
          std::find_if(uses.begin(), uses.end(), [](const Use& use) { return use.written; });
      if (writer == uses.end() || std::none_of(uses.begin(), uses.end(), touched)) continue;
      const int owned = shared_axis(*writer);
      double share = 0;
      for (const Use& use : uses) {
        const int read = shared_axis(use);
        if (use.written || (read == owned && read != whole)) continue;
        share = std::max(share, read == whole ? 0.5 : 0.25);
      }
      out += share * static_cast<double>(func_.type(v).bytes(n_));
    }
    return out;
  }

  // Every thread packs all of the columns' operand then, not its own part of it.
  double more_packing(const Kernel& k) const {
    for (int side = 0; side < 2; ++side) {
      const AxisMap axes = contraction_axes(func_, k.form, side);
      if (std::find(axes.begin(), axes.end(), k.form.columns_axis()) == axes.end()) continue;
      const ValueId v = k.form.root->operands[static_cast<size_t>(side)];
      return 0.5 * static_cast<double>(func_.type(v).bytes(n_));
    }
    return 0;
  }

  const Func& func_;
  const int64_t n_;
  std::vector<Kernel> kernels_;
  std::map<ValueId, std::vector<Use>> uses_;
};

}  // namespace

void choose_thread_shares(const Module& module, Func& func, const StoredValues& values, int64_t n) {
  Shares(module, func, values, n).run();
}

}  // namespace sinter::compiler
