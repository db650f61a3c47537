// Walks a step op by op in the interpreter and finds where numbers stop being finite.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <sinter/finite_check.h>
#include <sinter/tensor.h>

#include "ir/graph.h"

namespace sinter::detail {

// Runs the only function of `module` (without `gradient` ops) on n rows. Follows results and
// assigned values that are not finite back through operands that are not, and reports the first of
// these values in execution order: an argument or global, else an op with finite operands only.
// Nothing if all are finite. Replay and step are left empty.
std::optional<NonFinite> find_non_finite(const ir::Module& module,
                                         const std::vector<Tensor>& arguments,
                                         const std::vector<Tensor>& globals, int64_t n);

}  // namespace sinter::detail
