// A function written again with changes, dropping what is no longer needed: the edits of reduction.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "ir/graph.h"

namespace sinter::fuzz {

struct Edit {
  // What becomes of the result of an op, by the op's place in the body.
  struct Replacement {
    // The op's operand of this number, or a new argument of the result's type.
    std::optional<size_t> operand;
  };
  std::map<size_t, Replacement> replaced;
  std::set<size_t> dropped_effects;  // places of ops without a result
  std::set<size_t> dropped_results;  // places in the list of results
  // Results, by place, that become the operand of this number of the op that makes them.
  std::map<size_t, size_t> moved_results;
  std::map<int64_t, int64_t> sizes;  // static dimensions (and factors of n) of another size
};

// The module with its function `func` alone, edited; nothing where the type rules refuse it.
std::optional<ir::Module> rebuild(const ir::Module& module, const std::string& func,
                                  const Edit& edit);

}  // namespace sinter::fuzz
