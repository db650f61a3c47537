// Which parts are made ready. Apart from ready_parts.cpp, which needs the table that make_parts.cpp
// writes: that program links this file and not the table.
#include <utility>

#include "compiler/llvm/product/product_parts.h"
#include "compiler/llvm/product/ready_parts.h"
#include "compiler/llvm/target.h"

namespace sinter::compiler {

std::span<const PartLevel> part_levels() {
#if defined(__x86_64__)
  static constexpr PartLevel levels[] = {
      {"x86-64-v4",
       "+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe",
       64, true},
      {"x86-64-v3", "+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe", 32, true},
      {"x86-64-v2", "+cx16,+popcnt,+sse4.2,+ssse3", 16, false}};
  return levels;
#else
  return {};
#endif
}

namespace {

// Vectors of a tile.
std::vector<int> usual_widths(const Target& target) {
  return target.registers >= 32 ? std::vector{1, 2, 4} : std::vector{1, 2};
}

}  // namespace

std::vector<ProductTile> usual_tiles(const Target& target) {
  constexpr int64_t any = ProductTile::any_stride;
  std::vector<ProductTile> out;
  for (const int vectors : usual_widths(target)) {
    for (const int rows : tile_sizes(full_tile_rows(target, vectors))) {
      // Rows of activations, and features of them for the gradient of a weight.
      for (const auto& [row_stride, depth_stride] :
           {std::pair{any, int64_t{1}}, {int64_t{1}, any}}) {
        out.push_back({.dtype = DType::f32,
                       .lanes = target.lanes(4),
                       .rows = rows,
                       .vectors = vectors,
                       .row_stride = row_stride,
                       .depth_stride = depth_stride});
      }
    }
  }
  return out;
}

std::vector<PanelPacker> usual_packers(const Target& target) {
  const int lanes = target.lanes(4);
  std::vector<PanelPacker> out{{.dtype = DType::f32, .lanes = lanes, .across = true}};
  for (const int vectors : usual_widths(target)) {
    out.push_back(
        {.dtype = DType::f32, .lanes = lanes, .vectors = vectors, .columns = vectors * lanes});
  }
  return out;
}

}  // namespace sinter::compiler
