// Steps that several passes share when one value comes to stand for another.
#pragma once

#include <utility>

#include "ir/graph.h"

namespace sinter::compiler {

// `heir` replaces `old`: it takes over the name, unless it has one or is no op's result.
inline void hand_over_name(ir::Func& func, ir::ValueId old, ir::ValueId heir) {
  ir::ValueInfo &from = func[old], &to = func[heir];
  if (to.def != ir::ValueDef::op || !to.name.empty()) return;
  to.name = std::exchange(from.name, {});
}

}  // namespace sinter::compiler
