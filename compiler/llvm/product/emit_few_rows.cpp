// A product x W^T of few rows with a large weight, which the memory bounds: every byte of the
// weight is read once, so copying it into panels would take as long as the products themselves.
// Lanes lie along the depth, as both operands do in memory. Some columns at a time go block by
// block along the depth, where the block of the rows stays in the nearest cache; what the lanes of
// each sum hold is kept between blocks, and added up across at the end.
#include <algorithm>

#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using llvm::Value;

namespace {

constexpr int64_t few_rows = 16;
// Bytes of a row in a block.
constexpr int64_t block_bytes = 1024;

}  // namespace

// Asked once packing has chosen its side.
bool KernelEmitter::has_few_rows() const {
  if (packed_side_ < 0 || form_.rank() != 2 || parts_ > 1) return false;
  const Access &weight = factors_[packed_side_], &rows = factors_[1 - packed_side_];
  const auto depth_axis = form_.rank();
  if (!unit_stride(weight, depth_axis) || !unit_stride(rows, depth_axis)) return false;
  const auto element = static_cast<int64_t>(dtype_size(weight.dtype));
  const int64_t lanes = context_.target.vector_bytes / element, columns = static_columns();
  return form_.domain[0].batch && most_rows() <= few_rows && depth_ > 0 &&
         depth_ % (block_bytes / element) == 0 && columns > 0 &&
         columns % (context_.target.accumulators() / DotTile::full_rows) == 0 && lanes >= 4 &&
         depth_ * columns * element >= least_far_bytes;
}

// The sums of all rows of the panel at hand.
void KernelEmitter::sum_few_rows() {
  const Access &weight = factors_[packed_side_], &a = factors_[1 - packed_side_];
  const auto element_bytes = static_cast<int64_t>(dtype_size(a.dtype));
  const int64_t lanes = context_.target.vector_bytes / element_bytes;
  const int64_t block = block_bytes / element_bytes, width = int64_t{tile_.vectors} * lanes_;
  const int columns = context_.target.accumulators() / DotTile::full_rows;
  // Lines are asked for all along, not in one burst that would wait for the memory.
  const auto calls = static_cast<int>((most_rows() + DotTile::full_rows - 1) / DotTile::full_rows);
  const int fetches = (columns + calls - 1) / calls;
  llvm::Type* element = memory_type(llvm_context(), a.dtype);
  llvm::Type* vector = vector_of(element, static_cast<int>(lanes));
  const llvm::Align whole(static_cast<uint64_t>(context_.target.vector_bytes));
  Value* const sums = sums_of_panel();
  // What the lanes hold, [row][column], lies behind the sums.
  const int64_t lanes_at = most_rows() * int64_t{tile_vectors_} * context_.target.vector_bytes;
  const int64_t lanes_bytes = most_rows() * columns * context_.target.vector_bytes;
  scratch_bytes_ = std::max(scratch_bytes_, lanes_at + lanes_bytes);
  Value* const held = builder_.CreateGEP(builder_.getInt8Ty(), scratch_, i64(lanes_at));
  Value* column_stride = weight.strides[static_cast<size_t>(form_.columns_axis())];
  Value* row_stride = a.strides[0] ? a.strides[0] : i64(0);
  Value* end = builder_.CreateAdd(tile_.column, i64(width));
  end = builder_.CreateSelect(builder_.CreateICmpSLT(end, columns_), end, columns_);
  const auto at = [&](Value* column, Value* k) {
    Value* offset = builder_.CreateAdd(builder_.CreateMul(column, column_stride), k);
    return builder_.CreateGEP(element, weight.base, offset);
  };
  const auto slot = [&](Value* row, Value* column) {
    Value* number = builder_.CreateAdd(builder_.CreateMul(row, i64(columns)), column);
    return builder_.CreateGEP(vector, held, number);
  };

  Carried none;
  for_loop(tile_.column, end, i64(columns), none, [&](Value* column, Carried&) {
    for_loop(
        i64(0), builder_.CreateMul(rows_, i64(columns)), i64(1), none, [&](Value* i, Carried&) {
          builder_.CreateAlignedStore(llvm::Constant::getNullValue(vector), slot(i64(0), i), whole);
        });
    for_loop(i64(0), i64(depth_), i64(block), none, [&](Value* k, Carried&) {
      // Behind the last block come the first ones of the next columns; the last have none.
      Value* next = builder_.CreateAdd(k, i64(block));
      Value* more = builder_.CreateICmpSLT(next, i64(depth_));
      Value* after = builder_.CreateAdd(column, i64(columns));
      after = builder_.CreateSelect(builder_.CreateICmpSLT(after, end), after, column);
      after = builder_.CreateSelect(more, column, after);
      next = builder_.CreateSelect(more, next, i64(0));
      const auto rows_from = [&](Value* begin, int rows) {
        return for_loop(begin, rows_, i64(rows), none, [&](Value* row, Carried&) {
          const DotTile tile{.dtype = a.dtype,
                             .lanes = static_cast<int>(lanes),
                             .rows = rows,
                             .columns = columns,
                             .fetches = fetches};
          Value* from = builder_.CreateGEP(
              element, a.base, builder_.CreateAdd(builder_.CreateMul(row, row_stride), k));
          Value* fetched =
              builder_.CreateMul(builder_.CreateUDiv(row, i64(DotTile::full_rows)), i64(fetches));
          fetched = builder_.CreateSelect(builder_.CreateICmpSLT(fetched, i64(columns - fetches)),
                                          fetched, i64(columns - fetches));
          builder_.CreateCall(context_.parts.get(tile),
                              {from, row_stride, at(column, k), column_stride, i64(block / lanes),
                               slot(row, i64(0)), at(builder_.CreateAdd(after, fetched), next)});
        });
      };
      Value* left = rows_from(i64(0), DotTile::full_rows);
      for (int rows = DotTile::full_rows - 1; rows > 0; --rows) left = rows_from(left, rows);
    });
    for_loop(i64(0), rows_, i64(1), none, [&](Value* row, Carried&) {
      std::vector<Value*> held_lanes;
      for (int c = 0; c < columns; ++c) {
        held_lanes.push_back(builder_.CreateAlignedLoad(vector, slot(row, i64(c)), whole));
      }
      Value* total = dot_lanes_to_columns(held_lanes);
      Value* place = builder_.CreateGEP(element, row_of_sums(sums, row),
                                        builder_.CreateSub(column, tile_.column));
      builder_.CreateAlignedStore(total, place, llvm::Align(static_cast<uint64_t>(element_bytes)));
    });
  });
}

// Row by row what is made of the sums of the panel at hand.
void KernelEmitter::summed_rows(Value* begin, Value* end, Carried& carried,
                                const std::function<void(int, Value*, Carried&)>& body) {
  Value* const sums = sums_of_panel();
  for_loop(begin, end, i64(1), carried, [&](Value* row, Carried& inner) {
    sums_ = row_of_sums(sums, row);
    body(1, row, inner);
  });
}

}  // namespace sinter::compiler
