// The parts of a contraction that kernels share, as functions of their own. They are compiled once
// for all kernels that agree on them, and what follows the sums in a kernel (bias, activation,
// update) once for all numbers of rows.
//
// A tile is the inner loop: the sums of some rows x vectors, held in registers over the whole
// depth. A packer copies the column operand, one panel of columns at a time, to where tiles want
// it: [depth][vectors of the tile]. Every tile then reads it with unit stride, whatever the layout
// and the strides of the operand are, so that neither a power of two between rows nor the number of
// pages costs anything, and x W^T needs no sum across lanes.
#pragma once

#include <compare>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <llvm/IR/Module.h>

#include <sinter/dtype.h>

#include "compiler/llvm/target.h"

namespace sinter::compiler {

// sums[r][v] = sum over k of a[r * row_stride + k * depth_stride] * panel[k][v], v a vector; or +=.
struct ProductTile {
  DType dtype = DType::f32;
  int lanes = 1, rows = 1, vectors = 1;
  int depth_split = 1;  // chains of sums for each element, every depth_split-th k each
  int64_t row_stride = 0, depth_stride = 0;  // elements; `any_stride`: an argument says
  bool adds = false;                         // to the sums that are there
  int fetches = 0;  // lines to ask for with each k, from `ahead` on; see below
  static constexpr int64_t any_stride = -1;
  auto operator<=>(const ProductTile&) const = default;
};

// panel[k][j] = b[k * depth_stride + j * column_stride], j < vectors * lanes; one stride is 1.
// Columns that do not exist repeat the last one or are zero; when the depth has unit stride it is
// rounded up to a multiple of lanes and filled with zeros.
struct PanelPacker {
  DType dtype = DType::f32;
  int lanes = 1;
  bool across = false;      // the depth has unit stride, the columns have not
  int vectors = any_count;  // `any_count`: an argument says, as it must across
  int columns = any_count;  // that exist
  // Along: asks for the panel that lies behind this one, not for rows further down in this one.
  bool fetches_next = false;
  static constexpr int any_count = -1;
  auto operator<=>(const PanelPacker&) const = default;
};

// held[r][c] += a[r * row_stride + k] * b[c * column_stride + k] over all k, for lanes by lanes:
// lane i of a sum has those of every lanes-th k from i on.
struct DotTile {
  DType dtype = DType::f32;
  int lanes = 1, rows = 1, columns = 1;
  int fetches = 0;  // columns of `ahead`
  static constexpr int full_rows = 3;
  auto operator<=>(const DotTile&) const = default;
};

// Rows of a full tile of so many vectors, as many as registers hold sums. With one vector, more
// than beside two would load no less for each product.
int full_tile_rows(const Target& target, int vectors);
// Of the tiles that together take any number of rows: powers of two, and a full one.
std::vector<int> tile_sizes(int full_rows);

struct ReadyPart;
class PartEmitter;

// Those of one LLVM module. Parts that are ready are only declared in it.
class ProductParts {
 public:
  ProductParts(llvm::Module& out, const Target& target, std::span<const ReadyPart> ready)
      : out_(out), target_(target), ready_(ready) {}

  // void tile(ptr a, i64 row_stride, i64 depth_stride, ptr panel, i64 depth, ptr sums[, ptr ahead,
  //           i64 ahead_stride])
  // `panel` and `sums` are aligned to whole vectors; what lies at ahead + k * ahead_stride
  // (elements) is asked for.
  llvm::Function* get(const ProductTile& tile);
  // void dots(ptr a, i64 row_stride, ptr b, i64 column_stride, i64 vectors, ptr held, ptr ahead)
  // `vectors` along the depth; `held` is aligned to whole vectors; asks for as much of each column
  // of `ahead`, which lie as those of b, as it reads of one.
  llvm::Function* get(const DotTile& tile);
  // void pack(ptr b, i64 stride, i64 depth, i64 columns, ptr panel, i64 vectors)
  // `stride` is the one that is not 1.
  llvm::Function* get(const PanelPacker& packer);

 private:
  llvm::Function* part(const std::string& name, llvm::ArrayRef<llvm::Type*> arguments, DType dtype,
                       int lanes, const std::function<void(PartEmitter&)>& emit);

  llvm::Module& out_;
  const Target& target_;
  const std::span<const ReadyPart> ready_;
  std::map<ProductTile, llvm::Function*> tiles_;
  std::map<DotTile, llvm::Function*> dots_;
  std::map<PanelPacker, llvm::Function*> packers_;
};

}  // namespace sinter::compiler
