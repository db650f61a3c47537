// A large result, as the weight gradient of a wide layer, is written by rows, and what is updated
// with it read so: going down a panel of columns instead touches another page with every line, and
// where rows lie a power of two apart all lines want the same few places of each cache.
//
// With few terms memory bounds the product, and each row goes through all columns in one go. With
// more of them the packed columns have to stay in a near cache: as many panels as fit go together.
#include <algorithm>
#include <utility>

#include "compiler/llvm/kernel/emit_kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using llvm::Value;

namespace {

// With more terms the products take longer than the memory.
constexpr int64_t most_depth = 32;
// From where a sweep asks for lines: memory takes as long as the products of some panels.
constexpr int64_t panels_ahead = 2;
// Packed panels of a group stay in the second cache, beside the rows that go through them.
constexpr int64_t bytes_of_panels = int64_t{256} << 10;
// A smaller result lies in the second caches, from one step to the next.
constexpr int64_t least_bytes_by_groups = int64_t{4} << 20;

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

void KernelEmitter::emit_row_sweep() { sweep(all_panels(), shard_rows()); }

void KernelEmitter::choose_panel_groups() {
  if (!goes_by_panels() || depth_block_ > 0 || form_.col_reduces || form_.domain[0].batch) return;
  const auto element = static_cast<int64_t>(dtype_size(factors_[0].dtype));
  if (most_rows() * static_columns() * element < least_bytes_by_groups) return;
  panels_of_group_ = bytes_of_panels / panel_bytes(tile_vectors_);
  if (panels_of_group_ < 2) panels_of_group_ = 0;
}

void KernelEmitter::sweep_panel_groups() {
  const auto rows = rows_at_hand(), all = panels_at_hand();
  const auto saved = panel_range_;
  Carried none;
  Value* end = builder_.CreateAdd(all.second, i64(panels_of_group_ - 1));
  for_loop(all.first, end, i64(panels_of_group_), none, [&](Value* group, Carried&) {
    Value* behind = builder_.CreateAdd(group, i64(panels_of_group_));
    Value* fits = builder_.CreateICmpSLT(behind, all.second);
    panel_range_ = {group, builder_.CreateSelect(fits, behind, all.second)};
    sweep(panels_of_group_, rows);
  });
  panel_range_ = saved;
}

// Packs the panels at hand, `panels` at most, one behind the other, and takes these rows, a tile at
// a time, through all of them.
void KernelEmitter::sweep(int64_t panels, std::pair<Value*, Value*> rows) {
  const int64_t panel = panel_bytes(tile_vectors_);
  Value* const scratch = scratch_;
  const auto at_panel = [&](Value* column, int vectors, Value* mask) {
    tile_ = {.rows = 1, .vectors = vectors, .row = i64(0), .column = column, .mask = mask};
    Value* number = builder_.CreateUDiv(column, i64(panel_columns()));
    if (panel_range_.first) number = builder_.CreateSub(number, panel_range_.first);
    scratch_ =
        builder_.CreateGEP(builder_.getInt8Ty(), scratch, builder_.CreateMul(number, i64(panel)));
  };
  if (apart_) {
    for_panels([&](Value* column, int vectors, Value* mask) {
      at_panel(column, vectors, mask);
      pack_panel();
    });
    scratch_bytes_ = std::max(scratch_bytes_, panels * panel + tile_rows_ * panel_row_bytes());
    sums_at_ = builder_.CreateGEP(builder_.getInt8Ty(), scratch, i64(panels * panel));
  }
  const auto saved = std::exchange(row_range_, rows);
  const auto [first, last] = rows;
  Carried none;
  for_loop(first, builder_.CreateAdd(last, i64(tile_rows_ - 1)), i64(tile_rows_), none,
           [&, last = last](Value* row, Carried&) {
             Value* end = builder_.CreateAdd(row, i64(tile_rows_));
             end = builder_.CreateSelect(builder_.CreateICmpSLT(end, last), end, last);
             for_panels([&](Value* column, int vectors, Value* mask) {
               scopes_.emplace_back();
               at_panel(column, vectors, mask);
               ask_for(form_.columns(), 0);
               Carried inside;
               row_blocks(row, end, inside, [&](int count, Value* at, Carried&) {
                 tile_.rows = count;
                 tile_.row = at;
                 emit_contraction();
                 emit_stores(-1);
               });
               scopes_.pop_back();
             });
           });
  row_range_ = saved;
  scratch_ = scratch;
}

// Row and column of the tile whose lines are asked for while this one is computed.
std::pair<Value*, Value*> KernelEmitter::next_tile(Value* row, Value* rows) {
  if (row_sweep_) {
    return {row, builder_.CreateAdd(tile_.column, i64(panels_ahead * panel_columns()))};
  }
  if (panels_of_group_ == 0) return {row, tile_.column};
  // The next panel of these rows, or the first of the next ones.
  Value* column = builder_.CreateAdd(tile_.column, i64(panel_columns()));
  Value* end = builder_.CreateMul(panel_range_.second, i64(panel_columns()));
  Value* more = builder_.CreateICmpSLT(column, end);
  Value* first = builder_.CreateMul(panel_range_.first, i64(panel_columns()));
  // Not past the end: the rows there may be another thread's.
  Value* below = builder_.CreateAdd(row, rows);
  below = builder_.CreateSelect(builder_.CreateICmpSLT(below, row_range_.second), below, row);
  return {builder_.CreateSelect(more, row, below), builder_.CreateSelect(more, column, first)};
}

}  // namespace sinter::compiler
