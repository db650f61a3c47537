// Why the passes stand in the order in which they do, as data that is checked.
#pragma once

#include <span>
#include <string_view>

#include "compiler/pipeline.h"

namespace sinter::compiler {

struct PassOrder {
  std::string_view before;
  std::string_view after;
  std::string_view reason;
};

std::span<const PassOrder> pass_order();

// Throws InternalError, with the reason, where `list` lacks a pass that is named or has two of them
// the wrong way round.
void check_order(std::span<const Pass> list);

}  // namespace sinter::compiler
