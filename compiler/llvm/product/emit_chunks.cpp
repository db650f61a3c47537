// Into which chunks a long product is cut, for sinter_run_kernel to hand out, and what its code
// does with the one that it gets.
#include <algorithm>
#include <cstddef>

#include "compiler/llvm/kernel/emit_kernel.h"

namespace sinter::compiler {

using llvm::Value;

namespace {

// Of a share. More would waste less at the end, but each takes a call and begins a panel anew.
constexpr int64_t chunks_wanted = 8, least_chunks = 4;
// Fewer full tiles of rows do not pay for packing, should another thread take the next ones.
constexpr int64_t least_tiles = 2;
// By which a share is taken to be smaller than the whole.
constexpr int64_t usual_threads = 2;

}  // namespace

Value* load_chunk_word(llvm::IRBuilder<>& b, Value* chunk, size_t offset) {
  return b.CreateLoad(b.getInt64Ty(), b.CreateConstGEP1_64(b.getInt8Ty(), chunk, offset));
}

// Asked once all other choices are made. Only a movable kernel is handed a chunk.
void KernelEmitter::choose_chunks() {
  if (!kernel_.attrs.flag("in_chunks") || !table_ || !goes_by_panels()) return;
  const ir::Dim& all_rows = form_.domain[0];
  sinter_chunk_plan plan{.rows_per_n = all_rows.batch ? all_rows.scale : 0,
                         .more_rows = all_rows.batch ? 0 : all_rows.scale,
                         .tile_rows = tile_rows_,
                         .panels = all_panels(),
                         .panel_chunks = 1,
                         .row_chunks = 1,
                         .by_rows = by_rows_,
                         .panels_inside = rows_of_group_ > 0};
  const int64_t rows = by_rows_ ? most_rows() / usual_threads : most_rows();
  const int64_t panels = by_rows_ ? plan.panels : std::max<int64_t>(plan.panels / usual_threads, 1);
  const bool whole_rows = form_.col_reduces || depth_block_ > 0;
  if (plan.panels_inside && !whole_rows) {
    // The groups of rows, in the order that keeps each in the second cache.
    plan.row_chunks = (rows + rows_of_group_ - 1) / rows_of_group_;
    plan.panel_chunks = std::clamp<int64_t>(chunks_wanted / plan.row_chunks, 1, panels);
  } else {
    const int64_t together = std::max<int64_t>(panels_of_group_, 1);
    plan.panel_chunks = std::min((panels + together - 1) / together, chunks_wanted);
    const int64_t most = std::max<int64_t>(rows / (least_tiles * tile_rows_), 1);
    if (!whole_rows) plan.row_chunks = std::min(chunks_wanted / plan.panel_chunks, most);
  }
  if (plan.panel_chunks * plan.row_chunks < least_chunks) return;
  chunks_ = plan;
  const auto word = [&](size_t offset) { return load_chunk_word(entry_, chunk_, offset); };
  panel_range_ = {word(offsetof(sinter_chunk, panel_begin)),
                  word(offsetof(sinter_chunk, panel_end))};
  if (by_rows_ || plan.row_chunks > 1) {
    row_range_ = {word(offsetof(sinter_chunk, row_begin)), word(offsetof(sinter_chunk, row_end))};
  }
}

// Packs the panel at hand unless the last chunk was of it, too.
void KernelEmitter::pack_panel_of_chunk() {
  if (!chunks_ || chunks_->row_chunks == 1 || chunks_->panels_inside) return pack_panel();
  Value* packed =
      builder_.CreateConstGEP1_64(builder_.getInt8Ty(), chunk_, offsetof(sinter_chunk, kept));
  Value* last = builder_.CreateLoad(builder_.getInt64Ty(), packed);
  if_then(builder_.CreateICmpNE(last, tile_.column), [&] {
    pack_panel();
    builder_.CreateStore(tile_.column, packed);
  });
}

}  // namespace sinter::compiler
