// Packing: the column operand of a long contraction is copied, one panel of columns at a time, to
// where the inner loop wants it: [depth][vectors of the tile], in memory of this thread. Every
// block of rows of the panel then reads it with unit stride, whatever the layout and the strides of
// the operand are, so that neither a power of two between rows nor the number of pages costs
// anything, and x W^T needs no sum across lanes. One copy is read by all rows, so it costs 1 to 3 %
// of the products.
#include <algorithm>

#include "compiler/llvm/emit_kernel.h"
#include "compiler/llvm/emit_scalar.h"
#include "ir/op.h"

namespace sinter::compiler {

using llvm::Value;

namespace {

// From this many rows and products for each element on, the copy pays; from fewer products on where
// the operand, as it is, would cost a sum across lanes for each element.
constexpr int64_t least_rows = 16, least_depth = 17, least_depth_across = 5;
// A panel larger than this is not read from a near cache.
constexpr int64_t most_bytes = int64_t{512} << 10;

// An operand of this size comes from memory, by ways that the processor does not foresee.
constexpr int64_t far_bytes = int64_t{1} << 20;
// Elements ahead along a line, and rows ahead, of what is copied.
constexpr int64_t line_ahead = 64, rows_ahead = 16;

int64_t most(const ir::Dim& d, int64_t max_batch) {
  return d.batch ? d.scale * max_batch : d.scale;
}

// Exchanges rows and columns of a square of vectors, in log2(lanes) rounds of pairwise exchanges.
void transpose_square(llvm::IRBuilder<>& builder, std::vector<Value*>& rows) {
  const auto lanes = static_cast<int>(rows.size());
  for (int distance = lanes / 2; distance > 0; distance /= 2) {
    std::vector<int> low, high;
    for (int j = 0; j < lanes; ++j) {
      const bool first = (j & distance) == 0;
      low.push_back(first ? j : lanes + j - distance);
      high.push_back(first ? j + distance : lanes + j);
    }
    for (int i = 0; i < lanes; ++i) {
      if (i & distance) continue;
      Value *&a = rows[static_cast<size_t>(i)], *&b = rows[static_cast<size_t>(i + distance)];
      Value* const upper = builder.CreateShuffleVector(a, b, low);
      b = builder.CreateShuffleVector(a, b, high);
      a = upper;
    }
  }
}

}  // namespace

// Which operand is packed, if one is: the one that varies by columns and not by rows.
void KernelEmitter::choose_packing() {
  if (form_.rank() < 2 || depth_dims_.size() != 1) return;
  const int64_t max_batch = context_.func.max_batch;
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < form_.domain.size(); ++i) rows *= most(form_.domain[i], max_batch);
  const int64_t depth = most(depth_dims_[0], max_batch);
  if (rows < least_rows || depth < least_depth_across) return;
  for (int side = 0; side < 2; ++side) {
    const Access& f = factors_[side];
    if (!f.strides[static_cast<size_t>(form_.columns_axis())] || varies_by_row(f)) continue;
    if (!unit_stride(f, form_.columns_axis()) && !unit_stride(f, form_.rank())) continue;
    if (depth < least_depth && unit_stride(f, form_.columns_axis())) continue;
    packed_depth_ = depth;
    constexpr int usual_vectors = 2;
    if (panel_bytes(usual_vectors) <= most_bytes) packed_side_ = side;
  }
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

void KernelEmitter::store_packed(Value* x, Value* k, int c) {
  builder_.CreateAlignedStore(
      x, packed_address(k, c),
      llvm::Align(dtype_size(factors_[packed_side_].dtype) * static_cast<size_t>(lanes_)));
}

// Copies the panel at tile_.column.
void KernelEmitter::pack_panel() {
  if (packed_side_ < 0) return;
  scratch_bytes_ = std::max(scratch_bytes_, panel_bytes(tile_.vectors));
  const Access& f = factors_[packed_side_];
  Carried none;
  const auto element = static_cast<int64_t>(dtype_size(f.dtype));
  const bool far = packed_depth_ * std::max<int64_t>(static_columns(), 0) * element >= far_bytes;
  const auto fetch = [&](Value* offset) {
    if (!far) return;
    Value* at = builder_.CreateGEP(element_type(llvm_context(), f.dtype), f.base, offset);
    builder_.CreateIntrinsic(
        llvm::Intrinsic::prefetch, {at->getType()},
        {at, builder_.getInt32(0), builder_.getInt32(3), builder_.getInt32(1)});
  };
  if (unit_stride(f, form_.columns_axis())) {
    for_loop(i64(0), depth_value_, i64(1), none, [&](Value* k, Carried&) {
      fetch(builder_.CreateAdd(depth_offset(f, builder_.CreateAdd(k, i64(rows_ahead))),
                               column_of(0)));
      for (int c = 0; c < tile_.vectors; ++c) {
        Value* offset = builder_.CreateAdd(depth_offset(f, k), column_of(c));
        store_packed(load_vector(f, offset, i64(1), lanes_, mask_for(c), nullptr), k, c);
      }
    });
    return;
  }
  // Lanes run along the summed axis in memory, and along the columns in the panel.
  Value* last = builder_.CreateSub(columns_, i64(1));
  std::vector<Value*> starts;
  for (int j = 0; j < tile_.vectors * lanes_; ++j) {
    Value* column = builder_.CreateAdd(tile_.column, i64(j));
    if (mask_for(j / lanes_)) {  // columns past the last one repeat it; nothing stores them
      column = builder_.CreateSelect(builder_.CreateICmpSLT(column, last), column, last);
    }
    starts.push_back(
        builder_.CreateMul(column, f.strides[static_cast<size_t>(form_.columns_axis())]));
  }
  const auto square = [&](Value* k, Value* mask) {
    for (int c = 0; c < tile_.vectors; ++c) {
      std::vector<Value*> rows;
      for (int j = 0; j < lanes_; ++j) {
        Value* offset = builder_.CreateAdd(starts[static_cast<size_t>(c * lanes_ + j)], k);
        fetch(builder_.CreateAdd(offset, i64(line_ahead)));
        rows.push_back(load_vector(f, offset, i64(1), lanes_, mask, nullptr));
      }
      transpose_square(builder_, rows);
      for (int j = 0; j < lanes_; ++j) {
        store_packed(rows[static_cast<size_t>(j)], builder_.CreateAdd(k, i64(j)), c);
      }
    }
  };
  Value* done = for_loop(i64(0), depth_value_, i64(lanes_), none,
                         [&](Value* k, Carried&) { square(k, nullptr); });
  if (depth_ >= 0 && depth_ % lanes_ == 0) return;
  Value* left = builder_.CreateSub(depth_value_, done);
  if_then(builder_.CreateICmpSGT(left, i64(0)), [&] { square(done, tail_mask(left)); });
}

}  // namespace sinter::compiler
