// Packing: the column operand of a long contraction is copied, one panel of columns at a time, to
// memory of this thread (product_parts.h). One copy is read by all rows, so it costs 1 to 3 % of
// the products.
#include <algorithm>

#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using llvm::Value;

namespace {

// From this many rows and products for each element on, the copy pays.
constexpr int64_t least_rows = 8, least_depth = 5;
// A panel larger than this is not read from a near cache.
constexpr int64_t most_bytes = int64_t{512} << 10;
constexpr int64_t near_bytes = int64_t{32} << 10;

}  // namespace

// Which operand is packed, if one is: the one that varies by columns and not by rows.
void KernelEmitter::choose_packing() {
  if (form_.rank() < 2 || depth_dims_.size() != 1) return;
  const int64_t max_batch = context_.func.max_batch;
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < form_.domain.size(); ++i) rows *= form_.domain[i].at(max_batch);
  int64_t depth = depth_dims_[0].at(max_batch);
  if (deep_in_parts()) depth = (depth + parts_ - 1) / parts_;
  if (rows < least_rows || depth < least_depth) return;
  for (int side = 0; side < 2; ++side) {
    const Access& f = factors_[side];
    if (!f.strides[static_cast<size_t>(form_.columns_axis())] || varies_by_row(f)) continue;
    if (!unit_stride(f, form_.columns_axis()) && !unit_stride(f, form_.rank())) continue;
    packed_depth_ = depth;
    constexpr int usual_vectors = 2;
    if (panel_bytes(usual_vectors) <= most_bytes) packed_side_ = side;
  }
}

// Whether tiles of 6 rows x 4 vectors suit: they load less for each product than 12 x 2, if their
// panel stays in the nearest cache, no column is left over, and there are registers for both.
bool KernelEmitter::wide_panel_is_near() const {
  constexpr int vectors = 4;
  const int64_t columns = static_columns();
  return packed_side_ >= 0 && columns > 0 && columns % (int64_t{vectors} * dot_lanes_) == 0 &&
         context_.target.registers >= 32 && panel_bytes(vectors) <= near_bytes;
}

// Bytes of a panel of `vectors` vectors; the depth is rounded up to whole squares.
int64_t KernelEmitter::panel_bytes(int vectors) const {
  const int64_t lanes = dot_lanes_;
  const int64_t depth = (packed_depth_ + lanes - 1) / lanes * lanes;
  return depth * vectors * lanes * static_cast<int64_t>(dtype_size(factors_[0].dtype));
}

Value* KernelEmitter::packed_address(Value* k, int c) {
  Value* vector = builder_.CreateAdd(builder_.CreateMul(k, i64(tile_.vectors)), i64(c));
  return builder_.CreateGEP(element_type(llvm_context(), factors_[0].dtype), scratch_,
                            builder_.CreateMul(vector, i64(lanes_)));
}

Value* KernelEmitter::load_packed(Value* k, int c) {
  const DType dtype = factors_[packed_side_].dtype;
  llvm::Type* type = vector_of(element_type(llvm_context(), dtype), lanes_);
  return builder_.CreateAlignedLoad(type, packed_address(k, c),
                                    llvm::Align(dtype_size(dtype) * static_cast<size_t>(lanes_)));
}

// Copies the panel at tile_.column.
void KernelEmitter::pack_panel() {
  if (packed_side_ < 0) return;
  scratch_bytes_ = std::max(scratch_bytes_, panel_bytes(tile_.vectors));
  const Access& f = factors_[packed_side_];
  const bool across = !unit_stride(f, form_.columns_axis());
  PanelPacker packer{.dtype = f.dtype, .lanes = lanes_, .across = across};
  if (!across) packer.vectors = tile_.vectors;
  if (!across && (!tile_.mask || static_columns() >= 0)) {
    const auto missing = tile_.mask ? lanes_ - static_columns() % lanes_ : 0;
    packer.columns = static_cast<int>(int64_t{tile_.vectors} * lanes_ - missing);
  }
  packer.fetches_next = !across && blocks_outer_ && lines_of_call_ == 0;
  llvm::Function* pack = context_.parts.get(packer);
  const auto columns_axis = static_cast<size_t>(form_.columns_axis());
  const auto depth_axis = static_cast<size_t>(form_.rank());
  Value* start = builder_.CreateMul(tile_.column, f.strides[columns_axis]);
  start = builder_.CreateGEP(memory_type(llvm_context(), f.dtype), f.base, start);
  Value* stride = f.strides[across ? columns_axis : depth_axis];
  if (!stride) stride = i64(0);  // the same along the whole depth
  builder_.CreateCall(
      pack, {start, stride, depth_value_, builder_.CreateSub(columns_, tile_.column), scratch_,
             i64(tile_.vectors)});
}

}  // namespace sinter::compiler
