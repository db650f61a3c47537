// A product of great depth, block by block along it: a packed block stays in the nearest cache, and
// where many rows share it, the block of their operand stays in the second one. Sums between two
// blocks lie in memory of this thread and are taken up where they were left, so the order in which
// an element is summed is that of the whole depth.
#include <algorithm>
#include <utility>

#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using llvm::Value;

namespace {

// A shallower panel stays in the second cache as a whole.
constexpr int64_t least_panel_bytes = int64_t{256} << 10;
// With more rows their operand does not stay there, unless it goes by blocks, too.
constexpr int64_t most_rows_at_once = 64;
// Products of a block. Rows of weights that the panels cut across are read in as many streams as
// the block is deep: of few rows, less would not pay for taking up the sums.
constexpr int64_t least_grouped_bytes = int64_t{1} << 20, bytes_of_group = int64_t{512} << 10;
constexpr int64_t block_of_few = 256, block_of_streams = 64, block_of_many = 512;

}  // namespace

void KernelEmitter::choose_depth_blocks() {
  if (!goes_by_panels()) return;
  choose_row_groups();
  if (depth_ < 0 || depth_split_ > 1 || panel_bytes(tile_vectors_) < least_panel_bytes) return;
  const int64_t rows = most_rows();
  const bool across = !unit_stride(factors_[packed_side_], form_.columns_axis());
  blocks_outer_ = rows > most_rows_at_once || !across;
  depth_block_ = rows > most_rows_at_once ? block_of_many
                 : across                 ? block_of_few
                                          : block_of_streams;
  packed_depth_ = depth_block_;
  // Beside few rows the memory is behind: tiles ask for the next panel all along, as the packer's
  // burst of requests would wait.
  if (rows <= most_rows_at_once && !across) {
    const int64_t lines = std::max<int64_t>(panel_row_bytes() / cache_line, 1);
    const int64_t calls = (rows + tile_rows_ - 1) / tile_rows_;
    lines_of_call_ = static_cast<int>((lines + calls - 1) / calls);
  }
}

// Bytes of a panel for each k.
int64_t KernelEmitter::panel_row_bytes() const {
  return panel_columns() * static_cast<int64_t>(dtype_size(factors_[0].dtype));
}

// What the tile from `row` on asks for: where its lines of the next panel begin, and elements from
// one k to the next.
std::pair<Value*, Value*> KernelEmitter::panel_ahead(Value* row) {
  const Access& f = factors_[packed_side_];
  Value* next = builder_.CreateAdd(tile_.column, i64(int64_t{tile_.vectors} * lanes_));
  next = builder_.CreateSelect(builder_.CreateICmpSLT(next, columns_), next, tile_.column);
  Value* base = builder_.CreateGEP(memory_type(llvm_context(), f.dtype), f.base, next);
  Value* call = builder_.CreateUDiv(row, i64(tile_rows_));
  Value* bytes = builder_.CreateMul(call, i64(lines_of_call_ * cache_line));
  const int64_t most = panel_row_bytes() - lines_of_call_ * cache_line;
  Value* within = builder_.CreateICmpSLT(bytes, i64(most));
  bytes = builder_.CreateSelect(within, bytes, i64(std::max<int64_t>(most, 0)));
  return {builder_.CreateGEP(builder_.getInt8Ty(), base, bytes),
          f.strides[static_cast<size_t>(form_.rank())]};
}

// All panels go over a group of rows before the next: its part of the row operand stays in the
// second cache, and so do the pages of what is updated.
void KernelEmitter::choose_row_groups() {
  if (form_.col_reduces || form_.domain[0].batch) return;
  const int64_t bytes_of_row = packed_depth_ * static_cast<int64_t>(dtype_size(factors_[0].dtype));
  if (most_rows() * bytes_of_row < least_grouped_bytes) return;
  rows_of_group_ = std::max<int64_t>(bytes_of_group / bytes_of_row / tile_rows_, 1) * tile_rows_;
}

void KernelEmitter::for_row_groups(const std::function<void()>& body) {
  if (rows_of_group_ == 0) return body();
  const auto [first, last] = rows_at_hand();
  Carried none;
  for_loop(first, builder_.CreateAdd(last, i64(rows_of_group_ - 1)), i64(rows_of_group_), none,
           [&, last = last](Value* begin, Carried&) {
             Value* end = builder_.CreateAdd(begin, i64(rows_of_group_));
             end = builder_.CreateSelect(builder_.CreateICmpSLT(end, last), end, last);
             const auto all = std::exchange(row_range_, {begin, end});
             body();
             row_range_ = all;
           });
}

int64_t KernelEmitter::most_rows() const { return form_.domain[0].at(context_.func.max_batch); }

// Runs body with `size` products from `begin` on in place of the whole depth.
void KernelEmitter::with_depth(Value* begin, Value* size, const std::function<void()>& body) {
  const Access factors[] = {factors_[0], factors_[1]};
  Value* const depth = depth_value_;
  depth_value_ = size;
  for (Access& f : factors_) {
    Value* stride = f.strides[static_cast<size_t>(form_.rank())];
    if (!stride) continue;
    f.base = builder_.CreateGEP(memory_type(llvm_context(), f.dtype), f.base,
                                builder_.CreateMul(begin, stride));
  }
  body();
  std::copy(std::begin(factors), std::end(factors), factors_);
  depth_value_ = depth;
}

// All blocks but the last.
void KernelEmitter::for_early_blocks(const std::function<void(Value* begin)>& body) {
  const int64_t end = (depth_ - 1) / depth_block_ * depth_block_;
  Carried none;
  for_loop(i64(0), i64(end), i64(depth_block_), none, [&](Value* begin, Carried&) { body(begin); });
}

void KernelEmitter::in_last_block(const std::function<void()>& body) {
  if (depth_block_ == 0) return body();
  const int64_t begin = (depth_ - 1) / depth_block_ * depth_block_;
  with_depth(i64(begin), i64(depth_ - begin), body);
}

// Where the sums of the panel at hand begin: [row][vector].
Value* KernelEmitter::sums_of_panel() {
  const int64_t bytes = most_rows() * panel_row_bytes(), panel = panel_bytes(tile_vectors_);
  const int64_t panels = blocks_outer_ ? all_panels() : 1;
  scratch_bytes_ = std::max(scratch_bytes_, panel + panels * bytes);
  Value* at = builder_.CreateGEP(builder_.getInt8Ty(), scratch_, i64(panel));
  if (!blocks_outer_) return at;
  Value* number =
      builder_.CreateSub(builder_.CreateUDiv(tile_.column, i64(panel_columns())), first_panel_);
  return builder_.CreateGEP(builder_.getInt8Ty(), at, builder_.CreateMul(number, i64(bytes)));
}

// Of sums that lie [row][vector] for the vectors of the panel at hand, those of a row.
Value* KernelEmitter::row_of_sums(Value* sums, Value* row) {
  Value* offset = builder_.CreateMul(row, i64(int64_t{tile_.vectors} * lanes_));
  return builder_.CreateGEP(element_type(llvm_context(), factors_[0].dtype), sums, offset);
}

// Adds the products of a block to the sums of all rows of the panel at hand.
void KernelEmitter::add_block(Value* begin) {
  llvm::Type* vector = vector_of(element_type(llvm_context(), factors_[0].dtype), lanes_);
  if_then(builder_.CreateICmpEQ(begin, i64(0)), [&] {
    Value* sums = sums_of_panel();
    Carried none;
    for_loop(i64(0), builder_.CreateMul(rows_, i64(tile_.vectors)), i64(1), none,
             [&](Value* i, Carried&) {
               builder_.CreateStore(llvm::Constant::getNullValue(vector),
                                    builder_.CreateGEP(vector, sums, i));
             });
  });
  with_depth(begin, i64(depth_block_), [&] {
    pack_panel();
    Carried none;
    product_blocks(i64(0), rows_, none, nullptr);
  });
}

}  // namespace sinter::compiler
