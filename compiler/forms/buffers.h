// Buffers behind values: which of them have memory, and how an op reads one through views.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace sinter::compiler {

// An operand of some op as elements of a stored buffer: view ops between the two are followed.
struct BufferAccess {
  ir::ValueId buffer;     // an argument, a global, or a kernel output
  ir::Shape dims;         // the shape under which the buffer is indexed, row-major
  std::vector<int> axes;  // for each of them, the index given by the reader; -1 for 0
  // For each of them, the index in the buffer is start + step * index of the reader.
  std::vector<int64_t> starts, steps;
};
// The values that have memory of their own, beside arguments and globals.
using StoredSet = std::set<ir::ValueId>;

// What makes each value of a function, and which of them its kernels store. Valid until ops move.
struct StoredValues {
  explicit StoredValues(const ir::Func& func);

  std::vector<const ir::Op*> defs;  // as ir::definitions
  StoredSet stored;
};

// `axes` gives the reader's index for each axis of `value`. Nothing if a view in between cannot be
// followed (then it needs memory of its own).
std::optional<BufferAccess> resolve_access(const ir::Func& func,
                                           const std::vector<const ir::Op*>& defs,
                                           const StoredSet& stored, ir::ValueId value,
                                           std::vector<int> axes);
inline std::optional<BufferAccess> resolve_access(const ir::Func& func, const StoredValues& values,
                                                  ir::ValueId value, std::vector<int> axes) {
  return resolve_access(func, values.defs, values.stored, value, std::move(axes));
}

// Whether a view shows the elements of its operand in an order of their own (a transpose, a
// slice, most reshapes): a kernel can only read that from memory.
bool moves_elements(const ir::Func& func, const ir::Op& view);

// Pairs the axes of two shapes that differ in axes of size 1 only; false if they do not.
bool match_non_unit(const ir::Shape& a, const ir::Shape& b,
                    std::vector<std::pair<int, int>>& pairs);

// The stored value that a reader of `v` reads: views lead to what they show.
ir::ValueId stored_base(const ir::Func& func, const StoredValues& values, ir::ValueId v);

// The stored values that a kernel reads and writes; a global that it assigns is written.
struct TouchedValues {
  std::set<ir::ValueId> reads, writes;
};
TouchedValues touched_values(const ir::Func& func, const StoredValues& values,
                             const ir::Op& kernel);

}  // namespace sinter::compiler
