// What it takes for ops to run as one pass over the batch with rows in the lanes of vectors: the
// form for nets whose layers are too narrow to fill a vector with features. Every value that
// follows the batch is a handful of elements a row, and each of these is a vector of as many rows
// as there are lanes, in registers. `fuse_batch` asks analyze_batch whether a function has this
// form, and code generation asks it how the kernel runs: one definition of legality for both. (The
// other form, features in lanes, is compiler/forms/kernel.h.)
//
// A value is
//   - row: it has the axis n. Its other axes are its features, which straight-line code enumerates;
//   - uniform: the same for all rows. Parameters, hyper-parameters and what is computed from them,
//     also the sum of all elements of such a value, as the norm of gradients needs;
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
  // row: the first pass that can compute it. total, and rows of a result: the pass that does.
  // uniform and assign: known before this pass begins, or after the last one.
  int pass = 0;
};

struct BatchForm {
  std::vector<BatchOp> ops;
  int passes = 0;
  double row_ops = 0;     // vector operations of all passes for each vector of rows, about
  int64_t totals = 0;     // elements of all totals
  bool one_dtype = true;  // of all totals
  bool loops =
      false;  // over features (compiler/forms/batch_stages.h), not straight-line code for all
};

// Most vector operations that straight-line code may take for one vector of rows, so that it
// compiles in milliseconds. It takes the place of loops where they cannot be had.
inline constexpr double max_straight_row_ops = 160;
// Most elements of totals, each of which is a vector in the nearest cache.
inline constexpr int64_t max_totals = 3000;
// A weight gradient with as many rows and columns is quicker with features in lanes: its totals
// fill the nearest cache. (Measured on 16-w-w-10: 24 wide 6.4 us and 8.5 with features in lanes, 28
// wide 7.9 and 9.7, 32 wide 9.8 and 9.4; on 10-w-w-10 with Adam 24 wide 14 and 17, 32 wide 20 and
// 16.)
inline constexpr int64_t wide_layer = 29;

// The form of a function's body, or the reason why there is none (empty where nothing follows the
// batch, or the body has kernels).
struct BatchAnalysis {
  std::optional<BatchForm> form;
  std::string reason;
};
BatchAnalysis analyze_batch(const ir::Func& func);
// For a kernel that `fuse_batch` made.
BatchForm batch_form(const ir::Func& func, const ir::Op& kernel);
// Whether rows lie in the lanes of this kernel (attribute `lanes`).
bool batch_in_lanes(const ir::Op& kernel);

// How the rows of a batch are shared among threads: in chunks of fixed size, each with its own
// totals, which are added up in the order of the chunks. So bits do not depend on who computes one.
struct BatchChunks {
  int64_t rows = 0;   // of each but the last; 0: all rows are one chunk, for one thread
  int64_t bytes = 0;  // of the totals of all chunks
};
BatchChunks batch_chunks(const ir::Func& func, const BatchForm& form, int64_t max_batch);
// Elements of the totals of one chunk, with room for a last vector that is not full.
int64_t chunk_totals(const BatchForm& form);

// Whether `op` is there and makes a constant that is 0 everywhere.
bool makes_zero(const ir::Op* op);

// Elements of a value, for one row if it follows the batch; numbered row-major without the axis n.
int64_t elements(const ir::Type& type);

// The element of operand i that element j of an elementwise op, of a view or of a pad shows; -1 for
// none, as a pad has them.
int64_t operand_element(const ir::Func& func, const ir::Op& op, size_t i, int64_t j);
// The elements of both factors whose products add up to element j of a contraction.
std::vector<std::pair<int64_t, int64_t>> contracted_elements(const ir::Func& func, const ir::Op& op,
                                                             int64_t j);
// The elements that a reduction folds into element j, in order.
std::vector<int64_t> folded_elements(const ir::Func& func, const ir::Op& op, int64_t j);
// The index of element j along an axis of its type (0 along n).
int64_t index_along(const ir::Type& type, int64_t j, int axis);

}  // namespace sinter::compiler
