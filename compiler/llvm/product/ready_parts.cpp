#include "compiler/llvm/product/ready_parts.h"

#include <algorithm>
#include <iterator>

#include <llvm/MC/MCSubtargetInfo.h>

#include "compiler/llvm/target.h"

namespace sinter::compiler {

std::vector<ReadyPart> ready_parts_for(const Target& target) {
  std::vector<ReadyPart> out;
  if (!target.x86) return out;
  const std::span<const PartLevel> levels = part_levels();
  const auto level = std::find_if(levels.begin(), levels.end(), [&](const PartLevel& l) {
    return l.vector_bytes == target.vector_bytes && l.fma == target.fma;
  });
  if (level == levels.end()) return out;
  if (!target.machine->getMCSubtargetInfo()->checkFeatures(level->features)) return out;
  const auto parts = ready_parts();
  std::copy_if(parts.begin(), parts.end(), std::back_inserter(out),
               [&](const ReadyPart& part) { return part.level == level - levels.begin(); });
  return out;
}

}  // namespace sinter::compiler
