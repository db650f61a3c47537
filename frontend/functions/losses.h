// The part of cross_entropy that is a composition.
#pragma once

#include <sinter/functions.h>

namespace sinter::detail {

// With class weights or label smoothing.
Value smoothed_cross_entropy(const Operand& logits, const Operand& labels,
                             const CrossEntropyOptions& options);

}  // namespace sinter::detail
