// A product of few terms with a large result, as the weight gradient of a small batch: memory
// bounds it, so each row of the result, and of what is updated with it, is read and written in one
// go. Going down a panel of columns instead would touch another page with every line of the cache.
#include <algorithm>

#include "compiler/llvm/emit_kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using llvm::Value;

namespace {

// With more terms the products take longer than the memory.
constexpr int64_t most_depth = 32;

}  // namespace

bool KernelEmitter::sweeps_rows() const {
  if (!form_.root || form_.root->kind != ir::OpKind::contraction || dot_ || rows_outer_ ||
      form_.row_reduces || form_.col_reduces || form_.parts > 1 || form_.rank() != 2 ||
      depth_dims_.size() != 1) {
    return false;
  }
  const int64_t max_batch = context_.func.max_batch;
  const int64_t elements = form_.domain[0].at(max_batch) * form_.domain[1].at(max_batch);
  const auto element = static_cast<int64_t>(dtype_size(factors_[0].dtype));
  return static_columns() > 0 && depth_dims_[0].at(max_batch) <= most_depth &&
         elements * element >= least_far_bytes &&
         std::all_of(std::begin(factors_), std::end(factors_), [&](const Access& f) {
           const Value* stride = f.strides[static_cast<size_t>(form_.columns_axis())];
           return !stride || (unit_stride(f, form_.columns_axis()) && !varies_by_row(f));
         });
}

void KernelEmitter::emit_row_sweep() {
  const auto [first, last] = shard_rows();
  const int64_t columns = static_columns(), width = int64_t{tile_vectors_} * lanes_;
  Value* const scratch = scratch_;
  const int64_t panels = (columns + width - 1) / width, panel = panel_bytes(tile_vectors_);
  // All panels are packed before the first row, and lie one behind the other.
  const auto at_panel = [&](Value* column, int vectors, Value* mask) {
    tile_ = {.rows = 1, .vectors = vectors, .row = i64(0), .column = column, .mask = mask};
    Value* number = builder_.CreateUDiv(column, i64(width));
    scratch_ =
        builder_.CreateGEP(builder_.getInt8Ty(), scratch, builder_.CreateMul(number, i64(panel)));
  };
  if (apart_) {
    for_panels([&](Value* column, int vectors, Value* mask) {
      at_panel(column, vectors, mask);
      pack_panel();
    });
    scratch_bytes_ = panels * panel;
    sums_at_ = builder_.CreateGEP(builder_.getInt8Ty(), scratch, i64(panels * panel));
  }
  Carried none;
  for_loop(first, builder_.CreateAdd(last, i64(tile_rows_ - 1)), i64(tile_rows_), none,
           [&, last = last](Value* row, Carried&) {
             Value* end = builder_.CreateAdd(row, i64(tile_rows_));
             end = builder_.CreateSelect(builder_.CreateICmpSLT(end, last), end, last);
             for_panels([&](Value* column, int vectors, Value* mask) {
               scopes_.emplace_back();
               at_panel(column, vectors, mask);
               Carried inside;
               row_blocks(row, end, inside, [&](int rows, Value* at, Carried&) {
                 tile_.rows = rows;
                 tile_.row = at;
                 emit_contraction();
                 emit_stores(-1);
               });
               scopes_.pop_back();
             });
           });
  scratch_ = scratch;
}

}  // namespace sinter::compiler
