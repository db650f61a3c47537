// Parts that were compiled when Sinter was: those of usual products, for usual levels of x86-64.
// What a step needs of them is linked to it, which takes no time; they are more than half of the
// code of a net of wide layers. Other parts, and those for a processor of no such level, are
// compiled with the step. The code is the same, instruction for instruction of the IR, so results
// are too.
#pragma once

#include <span>
#include <vector>

namespace sinter::compiler {

struct Target;
struct ProductTile;
struct PanelPacker;

struct ReadyPart {
  const char* name;  // as ProductParts names it; no two levels have vectors of one width
  int level;         // index in part_levels()
  void (*code)();
};

struct PartLevel {
  const char* cpu;  // as LLVM names it
  const char* features;
  int vector_bytes;
  bool fma;
};
// Of the architecture for which Sinter is compiled; none but x86-64 has any.
std::span<const PartLevel> part_levels();

// The parts of products that every layer has, for vectors as wide as those of `target`.
std::vector<ProductTile> usual_tiles(const Target& target);
std::vector<PanelPacker> usual_packers(const Target& target);

// All there are. Defined in a source that make_parts.cpp writes when Sinter is built.
std::span<const ReadyPart> ready_parts();
// Those that `target` can run, and that are as fast there as if they had been compiled for it.
std::vector<ReadyPart> ready_parts_for(const Target& target);

}  // namespace sinter::compiler
