// What it takes for ops to run as one pass over the batch with rows in the lanes of vectors: the
// form for nets whose layers are too narrow to fill a vector with features. Every value that follows
// the batch is a handful of elements a row, and each of these is a vector of as many rows as there
// are lanes, in registers. `fuse_batch` asks analyze_batch whether a function has this form, and
// code generation asks it how the kernel runs: one definition of legality for both. (The other form,
// features in lanes, is compiler/kernel.h.)
//
// A value is
//   - row: it has the axis n. Its other axes are its features, which straight-line code enumerates;
//   - uniform: the same for all rows. Parameters, hyper-parameters and what is computed from them;
//   - total: a uniform value that folds the batch: a sum over n, or a contraction over n.
// A row value that needs a total has to wait until all rows have been seen, so the kernel makes
// several passes over the batch, each of which computes again what it needs. When the last one is
// over, the tail computes the uniform values that depend on totals: the loss and the updates.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace sinter::compiler {

enum class BatchRole : uint8_t { uniform, row, total, assign };

struct BatchOp {
  const ir::Op* op = nullptr;
  BatchRole role = BatchRole::uniform;
  // row and total: the first pass that can compute it. uniform and assign: known before this pass
  // begins; the number of passes where it takes all of them.
  int pass = 0;
};

struct BatchForm {
  std::vector<BatchOp> ops;
  int passes = 0;
  double row_ops = 0;   // vector operations of all passes for each vector of rows, about
  double totals = 0;    // elements of all totals

  const BatchOp* find(ir::ValueId value) const;
};

// Most vector operations that straight-line code may take for one vector of rows, so that it
// compiles in milliseconds.
inline constexpr double max_row_ops = 700;

// The form of `ops` (a whole function body), or the reason why there is none.
struct BatchAnalysis {
  std::optional<BatchForm> form;
  std::string reason;
};
BatchAnalysis analyze_batch(const ir::Func& func, const std::vector<const ir::Op*>& ops);
// For a kernel that `fuse_batch` made.
BatchForm batch_form(const ir::Func& func, const ir::Op& kernel);
// Whether rows lie in the lanes of this kernel (attribute `lanes`).
bool batch_in_lanes(const ir::Op& kernel);

// Elements of a value, for one row if it follows the batch; numbered row-major without the axis n.
int64_t elements(const ir::Type& type);

// The element of operand i that element j of an elementwise op, of a view or of a pad shows; -1 for
// none, as a pad has them.
int64_t operand_element(const ir::Func& func, const ir::Op& op, size_t i, int64_t j);
// The elements of both factors whose products add up to element j of a contraction.
std::vector<std::pair<int64_t, int64_t>> contracted_elements(const ir::Func& func,
                                                             const ir::Op& op, int64_t j);
// The elements that a reduction folds into element j, in order.
std::vector<int64_t> folded_elements(const ir::Func& func, const ir::Op& op, int64_t j);
// The index of element j along an axis of its type (0 along n).
int64_t index_along(const ir::Type& type, int64_t j, int axis);

}  // namespace sinter::compiler
