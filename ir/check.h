// The verifier's finding, before it becomes a message: `verify` shows it in the module, the parser
// in the text that the module came from.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ir/graph.h"

namespace sinter::ir {

struct Violation {
  std::string message;
  std::string help;
  // Where: the function and its op, counted as for_each_op visits them. -1 where neither is to
  // blame; op -1 for the function's header, the number of ops for what it returns.
  int func = -1;
  int op = -1;
};

// The first invariant of verify.cpp that does not hold.
std::optional<Violation> find_violation(const Module& module);

// Limits on what a type may be, so that no later arithmetic on sizes overflows.
inline constexpr int max_rank = 8;
inline constexpr int64_t max_elements = int64_t{1} << 48;

// What is wrong with a shape (for n = 1) or a name, in words; nothing when it is fine.
std::optional<std::string> shape_problem(const Shape& shape);
std::optional<std::string> name_problem(std::string_view name);

// Bytes of a value of this type for n rows; nothing where that is more than memory can hold.
std::optional<int64_t> checked_bytes(const Type& type, int64_t n);

}  // namespace sinter::ir
