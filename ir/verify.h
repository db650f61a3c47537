// Checks the invariants listed at the top of verify.cpp; every pass may rely on them.
#pragma once

#include "ir/graph.h"

namespace sinter::ir {

// Throws Error naming the first op that breaks an invariant, with its text and the ops around it.
void verify(const Module& module);

}  // namespace sinter::ir
