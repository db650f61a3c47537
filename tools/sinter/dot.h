// A module as a picture.
#pragma once

#include <string>

#include "ir/graph.h"

namespace sinter::command {

// Graphviz text of one function: ops as nodes, values as edges with their types, kernels as boxes.
std::string to_dot(const ir::Module& module, const ir::Func& func);

}  // namespace sinter::command
