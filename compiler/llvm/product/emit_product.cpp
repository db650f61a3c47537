// A kernel around a long contraction whose tiles are functions (product_parts.h): a block of rows
// at a time, the sums of the whole block first, then row by row what is made of them.
#include <algorithm>

#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using llvm::Value;

namespace {

// A buffer of this size does not stay in the near caches from one step to the next.
constexpr int64_t far_bytes = int64_t{1} << 18;

}  // namespace

bool KernelEmitter::product_apart() const { return packed_side_ >= 0 && form_.rank() == 2; }

// Whether it goes through known panels, each packed for the rows of the whole batch.
bool KernelEmitter::goes_by_panels() const {
  return apart_ && !few_rows_ && !rows_outer_ && !row_sweep_ && parts_ == 1 &&
         static_columns() >= 0;
}

// Asks for the lines that these rows will read and write beside their sums, from `column` on, while
// products are summed: parameters and their state come from a far cache, a line from each of many
// pages, and what another thread has read in the last step is written only once it has let go.
void KernelEmitter::fetch_rows(Value* row, Value* rows, Value* column) {
  struct Line {
    Access access;
    bool written;
  };
  std::vector<Line> lines;
  const auto add = [&](const Access& access, bool written) {
    const bool listed = std::any_of(lines.begin(), lines.end(), [&](const Line& line) {
      return line.access.base == access.base;
    });
    const int64_t columns = static_columns();
    const auto element = static_cast<int64_t>(dtype_size(access.dtype));
    const int64_t bytes = columns * element * (form_.domain[0].batch ? 1 : form_.domain[0].scale);
    // Rows of the batch that a thread owns are written by no other.
    const bool shared = kernel_.attrs.flag("parallel") && (parts_ == 1 || deep_in_parts());
    const bool far = bytes >= far_bytes || (written && shared);
    if (far && !listed && unit_stride(access, form_.columns_axis())) {
      lines.push_back({access, written});
    }
  };
  for (const KernelOp& k : form_.ops) {
    if (k.late || !by_row(k.varies) || !by_column(k.varies)) continue;
    if (k.role != Role::assign && !is_output(k.op->result)) continue;
    for (const Access& to : targets(k)) add(to, true);
  }
  for (const auto& [v, axes] : form_.reads) {
    if (form_.find(v) || !by_row(varies(v)) || !by_column(varies(v))) continue;
    add(access_of(v, axes), false);
  }
  if (lines.empty()) return;
  Carried none;
  for_loop(i64(0), rows, i64(1), none, [&](Value* r, Carried&) {
    for (const auto& [access, written] : lines) {
      Value* offset = row_offset(access, builder_.CreateAdd(row, r));
      llvm::Type* element = memory_type(llvm_context(), access.dtype);
      Value* at = builder_.CreateGEP(element, access.base, builder_.CreateAdd(offset, column));
      const auto bytes =
          int64_t{tile_.vectors} * lanes_ * static_cast<int64_t>(dtype_size(access.dtype));
      emit_prefetch(builder_, at, bytes, written);
    }
  });
}

// The tile for `rows` rows and the vectors of the panel at hand.
ProductTile KernelEmitter::product_tile(int rows) const {
  const Access& a = factors_[1 - packed_side_];
  // Only a stride of 1 is worth code of its own.
  const auto known = [](Value* stride) {
    auto* c = llvm::dyn_cast_or_null<llvm::ConstantInt>(stride);
    return c && c->isOne() ? 1 : ProductTile::any_stride;
  };
  return {.dtype = a.dtype,
          .lanes = lanes_,
          .rows = rows,
          .vectors = tile_.vectors,
          .depth_split = depth_split_,
          .row_stride = known(a.strides[0]),
          .depth_stride = known(a.strides[static_cast<size_t>(form_.rank())]),
          .adds = depth_block_ > 0,
          .fetches = lines_of_call_};
}

// Full tiles, then the largest power of two that is left. Every row is summed in the same order
// whichever tile it falls into.
void KernelEmitter::product_blocks(Value* begin, Value* end, Carried& carried,
                                   const std::function<void(int, Value*, Carried&)>& body) {
  const Access& a = factors_[1 - packed_side_];
  const int64_t panel = panel_bytes(tile_vectors_);
  const int64_t sums = tile_rows_ * panel_row_bytes();
  if (!sums_at_) scratch_bytes_ = std::max(scratch_bytes_, panel + sums);

  // The number of rows, and the tile for it: of the sizes that may be needed the largest that fits.
  std::vector<int> sizes = tile_sizes(tile_rows_);
  const ir::Dim& all = form_.domain[0];
  std::erase_if(sizes, [&](int size) {
    const int64_t rows =
        size == tile_rows_ ? all.scale / tile_rows_ : all.scale % tile_rows_ & size;
    return !all.batch && rows == 0;
  });
  emit_while(builder_, begin, end, carried, [&](Value* row, Carried& inside) {
    Value* left = builder_.CreateSub(end, row);
    llvm::Function* least = context_.parts.get(product_tile(sizes.front()));
    Value *rows = i64(sizes.front()), *tile = least;
    for (size_t i = 1; i < sizes.size(); ++i) {
      Value* fits = builder_.CreateICmpSGE(left, i64(sizes[i]));
      rows = builder_.CreateSelect(fits, i64(sizes[i]), rows);
      tile = builder_.CreateSelect(fits, context_.parts.get(product_tile(sizes[i])), tile);
    }

    if (body) {
      const auto [next_row, next_column] = next_tile(row, rows);
      fetch_rows(next_row, rows, next_column);
    }
    llvm::Type* element = memory_type(llvm_context(), a.dtype);
    Value* first = builder_.CreateGEP(element, a.base, row_offset(a, row));
    const auto stride = [&](Value* s) { return s ? s : i64(0); };
    if (depth_block_ > 0) {
      sums_ = row_of_sums(sums_of_panel(), row);
    } else {
      sums_ = sums_at_ ? sums_at_ : builder_.CreateGEP(builder_.getInt8Ty(), scratch_, i64(panel));
    }
    std::vector<Value*> arguments{
        first,    stride(a.strides[0]), stride(a.strides[static_cast<size_t>(form_.rank())]),
        scratch_, depth_value_,         sums_};
    if (lines_of_call_ > 0) {
      const auto [ahead, ahead_stride] = panel_ahead(row);
      arguments.insert(arguments.end(), {ahead, ahead_stride});
    }
    builder_.CreateCall(least->getFunctionType(), tile, arguments);

    Value* const all_sums = sums_;
    scopes_.emplace_back();
    if (body)
      for_loop(i64(0), rows, i64(1), inside, [&](Value* r, Carried& of_row) {
        sums_ = row_of_sums(all_sums, r);
        body(1, builder_.CreateAdd(row, r), of_row);
      });
    scopes_.pop_back();

    return builder_.CreateAdd(row, rows);
  });
}

// The sums of the row at hand, where the rest of the kernel looks for them.
void KernelEmitter::load_sums() {
  const DType dtype = factors_[0].dtype;
  llvm::Type* type = vector_of(element_type(llvm_context(), dtype), lanes_);
  const llvm::Align align(dtype_size(dtype) * static_cast<size_t>(lanes_));
  for (int c = 0; c < tile_.vectors; ++c) {
    Value* x = builder_.CreateAlignedLoad(type, builder_.CreateGEP(type, sums_, i64(c)), align);
    remember(form_.root->result, 0, c, x);
  }
}

}  // namespace sinter::compiler
