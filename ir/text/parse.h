// Parsing without the final check, for tests of the verifier.
#pragma once

#include <string>
#include <string_view>

#include "ir/graph.h"

namespace sinter::ir {

// As parse(), but the module may break invariants that the grammar cannot express.
Module parse_unverified(std::string_view text, const std::string& file = "<text>");

}  // namespace sinter::ir
