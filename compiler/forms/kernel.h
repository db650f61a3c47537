// What it takes for ops to run as one loop nest. `fuse` asks analyze_kernel whether a set of ops is
// a kernel, and code generation asks it how the kernel runs: one definition of legality for both.
//
// A kernel walks a domain of rows x columns. The columns are the last axis of the domain and lie in
// vector lanes; the rows are all axes before it. Every value of the kernel varies along some of the
// domain's axes: all of them (full), the columns only, rows only, or none (scalar). The roots are
//   - elementwise ops on any of these;
//   - reductions over the columns: their results belong to the next phase over the same row;
//   - reductions over the rows: their results are complete at the end of a panel of columns, and
//     everything computed from them is `late`;
//   - one contraction (or gather), whose operands come from memory;
//   - sums in parts (attribute `parts`), over rows or over the depth of a contraction: the kernel
//     runs over the rows of one part of the batch after the other, and stores a sum for each;
//   - pads, whose operands come from memory too;
//   - alone, a scatter_add, or an op that goes along lines: a cumsum or a top_k.
// Stores happen where values are computed: outputs, and assigns to globals in place.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/forms/buffers.h"
#include "ir/graph.h"

namespace sinter::compiler {

enum class Role : uint8_t {
  elementwise,  // a scalar program per element (sources too)
  copy,         // a view that gets memory of its own, or only renames axes
  row_reduce,   // folds the columns
  col_reduce,   // folds the rows
  contraction,
  gather,
  scatter_add,
  pad,
  line,  // goes along one axis, element after element
  assign,
};

// How a value lies in the domain: for each axis of its type, the domain axis, -1 for size 1.
using AxisMap = std::vector<int>;

struct KernelOp {
  const ir::Op* op = nullptr;
  Role role = Role::elementwise;
  AxisMap axes;         // of the result (of the assigned value for an assign)
  uint32_t varies = 0;  // bit i: along domain axis i
  int phase = 0;
  bool late = false;
};

struct KernelForm {
  ir::Shape domain;  // no axis of size 1; columns last
  std::vector<KernelOp> ops;
  // How each value that an elementwise op, reduction or assign reads lies in the domain, whether it
  // is computed in the kernel or loaded.
  std::map<ir::ValueId, AxisMap> reads;
  const ir::Op* root = nullptr;  // the contraction, gather, scatter_add or line op, if there is one
  int phases = 1;
  int64_t parts = 1;  // of the batch, for which it has sums
  bool row_reduces = false, col_reduces = false;

  int rank() const { return static_cast<int>(domain.size()); }
  int columns_axis() const { return rank() - 1; }
  uint32_t full() const { return (1u << rank()) - 1; }
  uint32_t columns() const { return rank() > 0 ? 1u << columns_axis() : 0; }
  bool is_full(const KernelOp& k) const {
    return rank() > 0 && (k.varies & columns()) != 0 && k.varies != columns();
  }
  // One thread must run it: it folds the only axis, or there is none.
  bool serial() const { return rank() == 0 || (rank() == 1 && row_reduces) || scatters(); }
  // Whether each row of the domain is a row of the batch, and what follows the batch is read and
  // stored by the row at hand only: then threads that own rows need not wait for each other.
  bool keeps_to_own_rows(const ir::Func& func) const;
  bool scatters() const;
  bool goes_along_lines() const;
  // Ops come in by add() only: find() looks them up by their results.
  void add(KernelOp op);
  const KernelOp* find(ir::ValueId value) const;

 private:
  std::unordered_map<int32_t, size_t> made_at_;  // by the index of the result
};

// Widest row, in elements, that a contraction may hold in registers while it is reduced.
inline constexpr int64_t max_row_in_registers = 32;

// The form of `ops` (in execution order), or the reason why they are not one kernel.
struct KernelAnalysis {
  std::optional<KernelForm> form;
  std::string reason;
};
KernelAnalysis analyze_kernel(const ir::Module& module, const ir::Func& func,
                              const std::vector<const ir::Op*>& ops);
// For a kernel op that `fuse` made.
KernelForm kernel_form(const ir::Module& module, const ir::Func& func, const ir::Op& kernel);

// Whether the op's operands come from memory: a contraction, a gather, a scatter_add, a pad, an op
// that goes along lines.
bool reads_memory(const ir::Op& op);

// Into how many parts a sum cuts the batch (attribute `parts`); 1 for every other op.
int64_t sum_parts(const ir::Op& op);

// Whether a reduction folds any axes in any order, as a sum does: attribute `axes`.
bool is_fold(const ir::Op& op);

// The domain axis along which each axis of an operand of the root, a contraction, lies; rank() + i
// for the i-th axis that it folds.
AxisMap contraction_axes(const ir::Func& func, const KernelForm& form, int side);

// Products for each element of a contraction, for n rows.
double contraction_depth(const ir::Func& func, const ir::Op& contraction, int64_t n);

// Floating-point operations of the kernel for n rows (a fused multiply-add counts two).
double kernel_flops(const ir::Func& func, const KernelForm& form, int64_t n);

}  // namespace sinter::compiler
