// The laws behind equivalences.h, as data.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ir/builder.h"
#include "tools/sinter/fuzz/sample_op.h"

namespace sinter::fuzz {

using Operands = std::vector<ir::Expr>;

struct Law {
  std::string_view name;
  // Operands for which it holds; nothing where the program has none.
  std::optional<Operands> (*pick)(Growth&);
  ir::Expr (*left)(const Operands&);
  ir::Expr (*right)(const Operands&);
};

std::span<const Law> all_laws();

}  // namespace sinter::fuzz
