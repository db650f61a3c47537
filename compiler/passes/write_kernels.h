// The last step of `fuse`: groups of ops as text, one kernel each.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "compiler/passes/fusion_groups.h"

namespace sinter::compiler {

// Why two groups, a writer and a reader, did not become one.
using ReasonsApart = std::map<std::pair<int, int>, std::string>;

// Fills the empty body of the function with a kernel for each group, in an order in which they can
// run, and with the views between them. Reasons become notes.
void write_kernels(const FusionGroups& groups, const ReasonsApart& reasons);

}  // namespace sinter::compiler
