// A long product in chunks: each thread's share of it is cut into so many, and a thread that is
// through with its own takes over some of its partner's (sinter_next_chunk), as one core may be
// slower than the other. Who computes an element changes nothing about how.
#include <algorithm>

#include "compiler/llvm/emit_kernel.h"
#include "compiler/llvm/emit_scalar.h"

namespace sinter::compiler {

using llvm::BasicBlock;
using llvm::Value;

namespace {

// Of a share. More would waste less at the end, but each takes a call and begins a panel anew.
constexpr int64_t chunks_wanted = 8, least_chunks = 4;
// Fewer full tiles of rows do not pay for packing, should another thread take the next ones.
constexpr int64_t least_tiles = 2;
// By which a share is taken to be smaller than the whole.
constexpr int64_t usual_threads = 2;

}  // namespace

// Asked once all other choices are made.
void KernelEmitter::choose_chunks() {
  if (!kernel_.attrs.flag("in_chunks") || !apart_ || few_rows_ || rows_outer_ || row_sweep_ ||
      parts_ > 1) {
    return;
  }
  const int64_t columns = static_columns(), rows = most_rows();
  if (columns < 0) return;
  const int64_t share_rows = by_rows_ ? rows / usual_threads : rows;
  int64_t panels = columns / (int64_t{tile_vectors_} * lanes_);
  if (!by_rows_) panels /= usual_threads;
  const int64_t most_row_chunks = std::max<int64_t>(share_rows / (least_tiles * tile_rows_), 1);
  const bool whole_rows = form_.col_reduces || depth_block_ > 0;
  if (rows_of_group_ > 0 && !whole_rows) {
    // The groups of rows, in the order that keeps each in the second cache.
    row_chunks_ = (share_rows + rows_of_group_ - 1) / rows_of_group_;
    panel_chunks_ =
        std::clamp<int64_t>(chunks_wanted / row_chunks_, 1, std::max<int64_t>(panels, 1));
  } else {
    panel_chunks_ = std::clamp<int64_t>(panels, 1, chunks_wanted);
    if (!whole_rows) row_chunks_ = std::min(chunks_wanted / panel_chunks_, most_row_chunks);
  }
  if (panel_chunks_ * row_chunks_ < least_chunks) panel_chunks_ = row_chunks_ = 1;
}

// Runs body for each chunk that this thread gets, or once for its share.
void KernelEmitter::for_chunks(const std::function<void()>& body) {
  const int64_t chunks = panel_chunks_ * row_chunks_;
  if (chunks == 1) return body();
  llvm::Function* function = builder_.GetInsertBlock()->getParent();
  const auto block = [&](const char* name) {
    return BasicBlock::Create(llvm_context(), name, function);
  };
  BasicBlock *before = builder_.GetInsertBlock(), *next = block("next"), *alone = block("alone"),
             *shared = block("shared"), *join = block("join"), *chunk = block("chunk"),
             *done = block("done");
  llvm::Type *word = builder_.getInt64Ty(), *half = builder_.getInt32Ty();
  builder_.CreateBr(next);

  builder_.SetInsertPoint(next);
  auto* previous = builder_.CreatePHI(word, 2);
  previous->addIncoming(i64(-1), before);
  Value* null = llvm::ConstantPointerNull::get(builder_.getPtrTy());
  whole_share_ = builder_.CreateICmpEQ(barrier_, null);
  builder_.CreateCondBr(whole_share_, alone, shared);

  // Without a barrier: the share of this thread, in one go.
  builder_.SetInsertPoint(alone);
  Value* whole = builder_.CreateSelect(builder_.CreateICmpSLT(previous, i64(0)),
                                       builder_.CreateMul(tid_, i64(chunks)), i64(-1));
  builder_.CreateBr(join);

  builder_.SetInsertPoint(shared);
  const auto take = context_.out.getOrInsertFunction(
      "sinter_next_chunk",
      llvm::FunctionType::get(word, {builder_.getPtrTy(), half, half, word}, false));
  Value* taken =
      builder_.CreateCall(take, {barrier_, builder_.CreateTrunc(tid_, half),
                                 builder_.getInt32(static_cast<uint32_t>(chunks)), previous});
  builder_.CreateBr(join);

  builder_.SetInsertPoint(join);
  auto* number = builder_.CreatePHI(word, 2);
  number->addIncoming(whole, alone);
  number->addIncoming(taken, shared);
  builder_.CreateCondBr(builder_.CreateICmpSLT(number, i64(0)), done, chunk);

  builder_.SetInsertPoint(chunk);
  share_ = builder_.CreateUDiv(number, i64(chunks));
  Value* of_share = builder_.CreateURem(number, i64(chunks));
  const int64_t inner = panels_inside() ? panel_chunks_ : row_chunks_;
  Value *outer_part = builder_.CreateUDiv(of_share, i64(inner)),
        *inner_part = builder_.CreateURem(of_share, i64(inner));
  row_chunk_ = panels_inside() ? outer_part : inner_part;
  panel_chunk_ = panels_inside() ? inner_part : outer_part;
  scopes_.emplace_back();
  body();
  scopes_.pop_back();
  previous->addIncoming(number, builder_.GetInsertBlock());
  builder_.CreateBr(next);
  builder_.SetInsertPoint(done);
  share_ = tid_;
  row_chunk_ = panel_chunk_ = whole_share_ = nullptr;
}

// Of so many parts of a share, those that the chunk at hand has.
Value* KernelEmitter::size_of_chunk(int64_t parts) {
  return builder_.CreateSelect(whole_share_, i64(parts), i64(1));
}

// Of units from `begin` to `end`, those of the chunk at hand, the `part`-th of `parts`.
std::pair<Value*, Value*> KernelEmitter::of_chunk(Value* begin, Value* end, Value* part,
                                                  int64_t parts) {
  if (!part || parts == 1) return {begin, end};
  Value* units = builder_.CreateSub(end, begin);
  const auto cut = [&](Value* p) {
    return builder_.CreateAdd(begin, builder_.CreateUDiv(builder_.CreateMul(units, p), i64(parts)));
  };
  return {cut(part), cut(builder_.CreateAdd(part, size_of_chunk(parts)))};
}

// The same of rows, in whole tiles.
std::pair<Value*, Value*> KernelEmitter::rows_of_chunk(Value* begin, Value* end) {
  if (row_chunks_ == 1) return {begin, end};
  Value* tiles = builder_.CreateAdd(builder_.CreateSub(end, begin), i64(tile_rows_ - 1));
  tiles = builder_.CreateUDiv(tiles, i64(tile_rows_));
  const auto [first, last] = of_chunk(i64(0), tiles, row_chunk_, row_chunks_);
  const auto row = [&](Value* tile) {
    Value* at = builder_.CreateAdd(begin, builder_.CreateMul(tile, i64(tile_rows_)));
    return builder_.CreateSelect(builder_.CreateICmpSLT(at, end), at, end);
  };
  return {row(first), row(last)};
}

// Packs the panel at hand unless the last chunk was of it, too.
void KernelEmitter::pack_panel_of_chunk() {
  if (row_chunks_ == 1 || panels_inside()) return pack_panel();
  if (!packed_column_) {
    packed_column_ = entry_.CreateAlloca(entry_.getInt64Ty());
    entry_.CreateStore(i64(-1), packed_column_);
  }
  Value* last = builder_.CreateLoad(builder_.getInt64Ty(), packed_column_);
  if_then(builder_.CreateICmpNE(last, tile_.column), [&] {
    pack_panel();
    builder_.CreateStore(tile_.column, packed_column_);
  });
}

}  // namespace sinter::compiler
