// A block of rows as loops over features (compiler/forms/batch_stages.h): its frame and arguments.
// One body is for blocks of which only the last vector may be partly empty, another one for the
// rows that are left. Lanes that are no rows hold anything finite or not, except in what goes into
// totals: there they are left out, or zero.
#include <algorithm>
#include <utility>

#include "compiler/llvm/batch/emit_batch.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::OpKind;
using ir::ValueId;
using llvm::BasicBlock;
using llvm::Value;

namespace {

// Rows of a piece: its factors of products over the batch should stay in the second cache.
constexpr int64_t most_rows_of_piece = 320;

}  // namespace

void BatchEmitter::emit_stages(int pass) {
  const int64_t rows = int64_t{block_} * lanes_, max_batch = context_.func.max_batch;
  const bool parallel = kernel_.attrs.flag("parallel");
  // Products over the batch wait for so many rows, so that their totals are fetched once for all.
  const int64_t enough = std::max<int64_t>(most_rows_of_piece / rows, 1) * rows;
  const bool pieces = !parallel && !stages_.products.empty() && max_batch > 2 * enough;
  const int64_t piece = parallel ? kernel_.attrs.integer("chunk") : pieces ? enough : max_batch;
  piece_vectors_ = (piece + lanes_ - 1) / lanes_ + block_ - 1;
  products_start_ = !pieces;
  piece_begin_ = begin_row_;
  kept_.clear();
  zeroed_.clear();
  for (const ir::Op* op : stages_.products) {
    for (const ValueId v : op->operands) zeroed_.insert(plain(v));
  }
  for (const ValueId v : stages_.arguments) keep(v);
  for (const BatchStage& s : stages_.stages) {
    for (const ir::Op* op : s.kept) keep(op->result);
  }
  if (pieces) {
    clear_totals(pass);
    Value* end = end_row_;
    loop(begin_row_, builder_.CreateAdd(end, i64(piece - 1)), piece, [&](Value* row) {
      piece_begin_ = row;
      end_row_ = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, end,
                                                builder_.CreateAdd(row, i64(piece)));
      total_products(blocks());
    });
    end_row_ = end;
    return;
  }
  if (parallel || max_batch > rows) {
    clear_totals(pass);
    total_products(blocks());
    return;
  }
  // All rows are one block, whose totals start from nothing, unless there are fewer than usual.
  Value* usual =
      block_ == 1 ? builder_.getTrue() : builder_.CreateICmpSGT(end_row_, i64(rows - lanes_));
  emit_if(builder_, usual, [&] {
    one_block_ = true;
    clear_totals(pass);
    block_of_rows(begin_row_, block_, block_ - 1);
    one_block_ = false;
    total_products(i64(rows));
  });
  if (block_ == 1) return;
  emit_if(builder_, builder_.CreateNot(usual), [&] {
    clear_totals(pass);
    total_products(rest_of_rows(begin_row_));
  });
}

// Goes through the rows of a piece. Returns the first row behind its blocks.
Value* BatchEmitter::blocks() {
  Value* left =
      loop(piece_begin_, builder_.CreateAdd(end_row_, i64(lanes_ - 1)), int64_t{block_} * lanes_,
           [&](Value* row) { block_of_rows(row, block_, block_ - 1); });
  return block_ == 1 ? left : rest_of_rows(left);
}

Value* BatchEmitter::rest_of_rows(Value* from) {
  const int vectors = vectors_left_over();
  const int64_t rows = int64_t{vectors} * lanes_;
  return loop(from, builder_.CreateAdd(end_row_, i64(rows - 1)), rows,
              [&](Value* row) { block_of_rows(row, vectors, 0); });
}

void BatchEmitter::block_of_rows(Value* row, int vectors, int first_masked) {
  begin_block(row, vectors, first_masked);
  vectors_before_ = builder_.CreateUDiv(builder_.CreateSub(row, piece_begin_), i64(lanes_));
  block_rows_.clear();
  load_block(stages_.arguments);
  for (const BatchStage& s : stages_.stages) stage(s);
}

// Vectors of a block of the rows that are left: as many as the largest batch leaves.
int BatchEmitter::vectors_left_over() const {
  const int64_t rest = context_.func.max_batch % (int64_t{block_} * lanes_);
  const auto vectors = static_cast<int>((rest + lanes_ - 1) / lanes_);
  return vectors == 0 || vectors == block_ ? std::max(1, block_ / 4) : vectors;
}

// Stack memory for a row value: for the block at hand, or, of a factor of a product over the batch,
// for the rows of a piece.
void BatchEmitter::keep(ValueId v) {
  Kept kept;
  kept.vector = vector_of(memory_type(llvm_context(), type(v).dtype), lanes_);
  kept.of_piece = zeroed_.count(v) > 0;
  const int64_t vectors = kept.of_piece ? piece_vectors_ : block_;
  auto* memory = entry_.CreateAlloca(kept.vector, i64(elements(type(v)) * vectors));
  memory->setAlignment(llvm::Align(64));
  kept.memory = memory;
  kept_[v] = kept;
}

Value* BatchEmitter::kept_at(const Kept& kept, Value* feature, int vector) {
  Value* number = builder_.CreateMul(feature, i64(kept.of_piece ? piece_vectors_ : vectors_));
  if (kept.of_piece) number = builder_.CreateAdd(number, vectors_before_);
  return builder_.CreateGEP(kept.vector, kept.memory, builder_.CreateAdd(number, i64(vector)));
}

// All features in tiles of `size`, the last one smaller.
void BatchEmitter::features_in_tiles(int64_t count, int size, Carried& carried,
                                     const std::function<void(Value*, int, Carried&)>& body) {
  const int64_t whole = count / size * size;
  emit_loop(builder_, i64(0), i64(whole), i64(size), carried,
            [&](Value* first, Carried& here) { body(first, size, here); });
  if (whole < count) body(i64(whole), static_cast<int>(count - whole), carried);
}

// ---- Arguments ---------------------------------------------------------------------------------

void BatchEmitter::load_block(const std::vector<ValueId>& arguments) {
  if (std::all_of(arguments.begin(), arguments.end(),
                  [&](ValueId v) { return has_masked_loads(type(v).dtype); })) {
    for (const ValueId v : arguments) load_whole_block(v, true);
    return;
  }
  llvm::Function* function = builder_.GetInsertBlock()->getParent();
  BasicBlock* whole = BasicBlock::Create(llvm_context(), "whole", function);
  BasicBlock* part = BasicBlock::Create(llvm_context(), "part", function);
  BasicBlock* after = BasicBlock::Create(llvm_context(), "after", function);
  Value* end = builder_.CreateAdd(first_row_, i64(int64_t{vectors_} * lanes_));
  builder_.CreateCondBr(builder_.CreateICmpSLE(end, end_row_), whole, part);
  builder_.SetInsertPoint(whole);
  const Lanes masks = std::exchange(masks_, Lanes(static_cast<size_t>(vectors_), nullptr));
  for (const ValueId v : arguments) load_whole_block(v, false);
  masks_ = masks;
  builder_.CreateBr(after);
  builder_.SetInsertPoint(part);
  for (const ValueId v : arguments) load_part_of_block(v);
  builder_.CreateBr(after);
  builder_.SetInsertPoint(after);
}

// Lanes under a mask hold nothing. In registers, if they may, what is one tile.
void BatchEmitter::load_whole_block(ValueId v, bool may_stay) {
  const int64_t features = elements(type(v));
  const Kept& kept = kept_.at(v);
  const DType dtype = type(v).dtype;
  const bool power = (features & (features - 1)) == 0 && features <= lanes_;
  rows_.clear();
  if (power && load_interleaved(v, features)) {
    const bool stays = may_stay && in_registers(v);
    for (int64_t j = 0; j < features; ++j) {
      Lanes& lanes = rows_.at({v.index, j});
      for (int i = 0; i < vectors_ && !stays; ++i) {
        builder_.CreateStore(lanes[static_cast<size_t>(i)], kept_at(kept, i64(j), i));
      }
      if (stays) block_rows_[{v.index, j}] = std::move(lanes);
    }
    return;
  }
  Value* start = offset(base_of(v), dtype, builder_.CreateMul(first_row_, i64(features)));
  loop(i64(0), i64(features), 1, [&](Value* j) {
    for (int i = 0; i < vectors_; ++i) {
      Value* at = offset(start, dtype, builder_.CreateAdd(j, i64(int64_t{i} * lanes_ * features)));
      builder_.CreateStore(
          load_strided(at, kept.vector, dtype, features, masks_[static_cast<size_t>(i)]),
          kept_at(kept, j, i));
    }
  });
}

Value* BatchEmitter::load_strided(Value* at, llvm::Type* vector, DType dtype, int64_t stride,
                                  Value* mask) {
  if (mask) {
    std::vector<llvm::Constant*> places;
    for (int i = 0; i < lanes_; ++i)
      places.push_back(builder_.getInt64(static_cast<uint64_t>(i * stride)));
    Value* addresses =
        builder_.CreateGEP(vector->getScalarType(), at, llvm::ConstantVector::get(places));
    return builder_.CreateMaskedGather(vector, addresses, llvm::Align(dtype_size(dtype)), mask,
                                       llvm::Constant::getNullValue(vector));
  }
  Value* x = llvm::PoisonValue::get(vector);
  for (int i = 0; i < lanes_; ++i) {
    Value* one = builder_.CreateLoad(vector->getScalarType(), offset(at, dtype, i64(i * stride)));
    x = builder_.CreateInsertElement(x, one, static_cast<uint64_t>(i));
  }
  return x;
}

// The rows that there are one by one; the other lanes are zero.
void BatchEmitter::load_part_of_block(ValueId v) {
  const int64_t features = elements(type(v));
  const Kept& kept = kept_.at(v);
  const DType dtype = type(v).dtype;
  llvm::Type* element = memory_type(llvm_context(), dtype);
  loop(i64(0), i64(features), 1, [&](Value* j) {
    for (int i = 0; i < vectors_; ++i) {
      builder_.CreateStore(llvm::Constant::getNullValue(kept.vector), kept_at(kept, j, i));
    }
  });
  Value* start = offset(base_of(v), dtype, builder_.CreateMul(first_row_, i64(features)));
  loop(i64(0), builder_.CreateSub(end_row_, first_row_), 1, [&](Value* row) {
    Value* from = builder_.CreateMul(row, i64(features));
    loop(i64(0), i64(features), 1, [&](Value* j) {
      Value* x = builder_.CreateLoad(element, offset(start, dtype, builder_.CreateAdd(from, j)));
      builder_.CreateStore(x, offset(kept_at(kept, j, 0), dtype, row));
    });
  });
}

}  // namespace sinter::compiler
