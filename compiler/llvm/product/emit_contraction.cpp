// The contraction of a tile, register-tiled in one of two forms:
//   outer: lanes along the columns; each step along the summed axis loads a vector of one operand
//          and broadcasts elements of the other. Both operands may be row-major as they are.
//   dot:   lanes along the summed axis, when both operands are contiguous there (x W^T with the
//          weight [out, in] of Linear); sums of lanes are transposed into columns at the end.
// Where many rows share the column operand it is packed first, whatever its layout (emit_pack.cpp),
// and the form is outer, its inner loop a function that kernels share (emit_product.cpp). Where few
// rows share a large one nothing is packed, and lanes go along the summed axis (emit_few_rows.cpp).
// Each element is summed in an order that depends on the shapes and on the largest batch only, not
// on the tile it falls into.
#include <algorithm>

#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::Shape;
using ir::ValueId;
using llvm::Value;

namespace {

// Fewer products than this are not worth lanes along the summed axis.
constexpr int64_t short_depth = 4;

}  // namespace

bool KernelEmitter::unit_stride(const Access& access, int axis) {
  auto* c = llvm::dyn_cast_or_null<llvm::ConstantInt>(access.strides[static_cast<size_t>(axis)]);
  return c && c->isOne();
}

bool KernelEmitter::varies_by_row(const Access& access) const {
  return form_.rank() > 1 &&
         std::any_of(access.strides.begin(), access.strides.begin() + form_.columns_axis(),
                     [](Value* stride) { return stride != nullptr; });
}

// Describes both operands by strides along the domain's axes and the summed ones, and chooses the
// form.
void KernelEmitter::choose_contraction() {
  const ir::Op& op = *form_.root;
  const Shape& a = context_.func.type(op.operands[0]).shape;
  for (int64_t axis : op.attrs.integers("a")) {
    depth_dims_.push_back(a[static_cast<size_t>(axis)]);
  }
  for (int side = 0; side < 2; ++side) {
    factors_[side] = access_of(op.operands[static_cast<size_t>(side)],
                               contraction_axes(context_.func, form_, side));
  }
  depth_value_ = extent(depth_dims_, 0);
  depth_ = 1;
  for (const ir::Dim& d : depth_dims_) depth_ = d.batch || depth_ < 0 ? -1 : depth_ * d.scale;

  choose_packing();
  if (packed_side_ >= 0) return;
  bool contiguous = depth_dims_.size() == 1;
  bool strided = form_.rank() == 0;
  for (const Access& f : factors_) {
    contiguous = contiguous && unit_stride(f, form_.rank());
    strided |= form_.rank() > 0 && f.strides[static_cast<size_t>(form_.columns_axis())] &&
               !unit_stride(f, form_.columns_axis());
  }
  dot_ = contiguous && strided && (depth_ < 0 || depth_ > short_depth);
  // Columns of a dot tile are separate sums, four of them to a vector of results.
  if (dot_ && form_.rank() > 0) lanes_ = std::min(lanes_, 4);
}

Value* KernelEmitter::depth_offset(const Access& access, Value* k) {
  Value* offset = i64(0);
  for (size_t i = depth_dims_.size(); i-- > 0;) {
    Value* index = k;
    if (i > 0) {
      index = builder_.CreateURem(k, extent(depth_dims_[i]));
      k = builder_.CreateUDiv(k, extent(depth_dims_[i]));
    }
    Value* stride = access.strides[static_cast<size_t>(form_.rank()) + i];
    if (stride) offset = builder_.CreateAdd(offset, builder_.CreateMul(index, stride));
  }
  return offset;
}

void KernelEmitter::emit_contraction() {
  if (!form_.root || form_.root->kind != ir::OpKind::contraction) return;
  if (apart_) {
    load_sums();
  } else if (dot_) {
    dot_form();
  } else {
    outer_form();
  }
}

// Vectors of a column operand that a short sum uses for every row, loaded once for the panel.
void KernelEmitter::hoist_operands() {
  hoisted_.clear();
  if (!form_.root || form_.root->kind != ir::OpKind::contraction || dot_) return;
  if (depth_ < 0 || depth_ > short_depth || form_.rank() < 2) return;
  for (const Access& f : factors_) {
    Value* stride = f.strides[static_cast<size_t>(form_.columns_axis())];
    const bool row_varies = varies_by_row(f);
    if (!stride || row_varies) continue;
    for (int64_t k = 0; k < depth_; ++k) {
      for (int c = 0; c < tile_.vectors; ++c) {
        Value* column = column_of(c);
        Value* offset =
            builder_.CreateAdd(depth_offset(f, i64(k)), builder_.CreateMul(column, stride));
        hoisted_.push_back(load_vector(f, offset, stride, lanes_, mask_for(c),
                                       builder_.CreateSub(columns_, column)));
      }
    }
    return;
  }
}

void KernelEmitter::outer_form() {
  const bool by_rows = form_.rank() > 1;
  const int rows = by_rows ? tile_.rows : 1, vectors = form_.rank() > 0 ? tile_.vectors : 1;
  const int chains = rows * vectors;
  llvm::Type* element = element_type(llvm_context(), factors_[0].dtype);
  Value* zero = llvm::Constant::getNullValue(vector_of(element, lanes_));

  // Row offsets stand before the loop along the summed axis.
  std::vector<Value*> row_offsets[2];
  for (int side = 0; side < 2; ++side) {
    for (int r = 0; r < rows; ++r) {
      row_offsets[side].push_back(
          row_offset(factors_[side], builder_.CreateAdd(tile_.row, i64(r))));
    }
  }
  // One product for every element of the tile, added to `sums`.
  const auto step = [&](Value* k, Value** sums) {
    std::map<std::tuple<int, int, int>, Value*> loaded;
    const auto factor = [&](int side, int r, int c) -> Value* {
      const Access& f = factors_[side];
      Value* stride =
          form_.rank() > 0 ? f.strides[static_cast<size_t>(form_.columns_axis())] : nullptr;
      const bool row_varies = varies_by_row(f);
      Value*& value = loaded[{side, row_varies ? r : -1, stride ? c : -1}];
      if (value) return value;
      if (side == packed_side_) return value = load_packed(k, c);
      auto* known = llvm::dyn_cast<llvm::ConstantInt>(k);
      if (stride && !row_varies && known && !hoisted_.empty()) {
        return value = hoisted_[static_cast<size_t>(known->getSExtValue() * vectors + c)];
      }
      Value* offset =
          builder_.CreateAdd(row_offsets[side][static_cast<size_t>(r)], depth_offset(f, k));
      if (!stride) return value = lanes_of(load_scalar(f, offset));
      Value* column = column_of(c);
      offset = builder_.CreateAdd(offset, builder_.CreateMul(column, stride));
      return value = load_vector(f, offset, stride, lanes_, mask_for(c),
                                 builder_.CreateSub(columns_, column));
    };
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < vectors; ++c) {
        Value*& sum = sums[r * vectors + c];
        sum = fma(factor(0, r, c), factor(1, r, c), sum);
      }
    }
  };

  Carried sums(static_cast<size_t>(chains * depth_split_), zero);
  if (depth_ >= 0 && depth_ <= 16) {
    for (int64_t k = 0; k < depth_; ++k) step(i64(k), sums.data());
  } else {
    Value* done =
        for_loop(i64(0), depth_value_, i64(depth_split_), sums, [&](Value* k, Carried& s) {
          for (int u = 0; u < depth_split_; ++u) {
            step(builder_.CreateAdd(k, i64(u)), &s[static_cast<size_t>(u * chains)]);
          }
        });
    if (depth_split_ > 1) {
      for_loop(done, depth_value_, i64(1), sums, [&](Value* k, Carried& s) { step(k, s.data()); });
    }
  }
  for (int i = 0; i < chains; ++i) {
    Value* total = sums[static_cast<size_t>(i)];
    for (int u = 1; u < depth_split_; ++u) {
      total = builder_.CreateFAdd(total, sums[static_cast<size_t>(u * chains + i)]);
    }
    remember(form_.root->result, by_rows ? i / vectors : -1, form_.rank() > 0 ? i % vectors : -1,
             total);
  }
}

void KernelEmitter::dot_form() {
  const bool by_rows = form_.rank() > 1;
  const int rows = by_rows ? tile_.rows : 1;
  const int vectors = form_.rank() > 0 ? tile_.vectors : 1;
  const int columns = vectors * lanes_;
  llvm::Type* element = element_type(llvm_context(), factors_[0].dtype);
  llvm::Type* wide = vector_of(element, dot_lanes_);

  // Offset of the first element along the summed axis, for each row and column of the tile.
  const auto start = [&](const Access& f, int r, int j) {
    Value* offset = row_offset(f, builder_.CreateAdd(tile_.row, i64(r)));
    Value* stride =
        form_.rank() > 0 ? f.strides[static_cast<size_t>(form_.columns_axis())] : nullptr;
    if (!stride) return offset;
    Value* column = builder_.CreateAdd(tile_.column, i64(j));
    if (mask_for(j / lanes_)) {  // columns past the last one repeat it; nothing stores them
      Value* last = builder_.CreateSub(columns_, i64(1));
      column = builder_.CreateSelect(builder_.CreateICmpSLT(column, last), column, last);
    }
    return builder_.CreateAdd(offset, builder_.CreateMul(column, stride));
  };
  std::map<std::tuple<int, int, int>, Value*> starts;
  const auto key = [&](int side, int r, int j) {
    const Access& f = factors_[side];
    const bool row_varies = varies_by_row(f);
    const bool by_col =
        form_.rank() > 0 && f.strides[static_cast<size_t>(form_.columns_axis())] != nullptr;
    return std::tuple<int, int, int>{side, row_varies ? r : -1, by_col ? j : -1};
  };
  for (int side = 0; side < 2; ++side) {
    for (int r = 0; r < rows; ++r) {
      for (int j = 0; j < columns; ++j) {
        Value*& s = starts[key(side, r, j)];
        if (!s) s = start(factors_[side], r, j);
      }
    }
  }
  const auto step = [&](Value* k, Value* mask, Carried& sums) {
    std::map<std::tuple<int, int, int>, Value*> loaded;
    const auto factor = [&](int side, int r, int j) {
      Value*& value = loaded[key(side, r, j)];
      if (!value) {
        value = load_vector(factors_[side], builder_.CreateAdd(starts[key(side, r, j)], k), i64(1),
                            dot_lanes_, mask, nullptr);
      }
      return value;
    };
    for (int j = 0; j < columns; ++j) {
      for (int r = 0; r < rows; ++r) {
        Value*& sum = sums[static_cast<size_t>(r * columns + j)];
        sum = fma(factor(0, r, j), factor(1, r, j), sum);
      }
    }
  };
  Carried sums(static_cast<size_t>(rows * columns), llvm::Constant::getNullValue(wide));
  Value* done = for_loop(i64(0), depth_value_, i64(dot_lanes_), sums,
                         [&](Value* k, Carried& s) { step(k, nullptr, s); });
  if (depth_ < 0 || depth_ % dot_lanes_ != 0) {
    Value* left = builder_.CreateSub(depth_value_, done);
    std::vector<llvm::Constant*> numbers;
    for (int i = 0; i < dot_lanes_; ++i) {
      numbers.push_back(builder_.getInt64(static_cast<uint64_t>(i)));
    }
    Value* mask =
        builder_.CreateICmpSLT(llvm::ConstantVector::get(numbers),
                               builder_.CreateVectorSplat(static_cast<unsigned>(dot_lanes_), left));
    step(done, mask, sums);
  }
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < vectors; ++c) {
      const auto first = sums.begin() + r * columns + c * lanes_;
      remember(form_.root->result, by_rows ? r : -1, form_.rank() > 0 ? c : -1,
               dot_lanes_to_columns({first, first + lanes_}));
    }
  }
}

// Sums the lanes of each vector; the i-th sum becomes lane i of the result.
Value* KernelEmitter::dot_lanes_to_columns(std::vector<Value*> sums) {
  const auto halves = [&](Value* a, Value* b, int width) {
    // Lanes 0, 2, 4, ... of a and b side by side, plus lanes 1, 3, 5, ...
    std::vector<int> even, odd;
    for (int i = 0; i < width; i += 2) {
      even.push_back(i);
      odd.push_back(i + 1);
    }
    for (int i = 0; i < width; i += 2) {
      even.push_back(width + i);
      odd.push_back(width + i + 1);
    }
    return builder_.CreateFAdd(builder_.CreateShuffleVector(a, b, even),
                               builder_.CreateShuffleVector(a, b, odd));
  };
  int width = dot_lanes_;
  // Fold each vector onto its lower half until it is as wide as the number of sums.
  while (width > static_cast<int>(sums.size())) {
    width /= 2;
    std::vector<int> low, high;
    for (int i = 0; i < width; ++i) {
      low.push_back(i);
      high.push_back(i + width);
    }
    for (Value*& v : sums) {
      v = builder_.CreateFAdd(builder_.CreateShuffleVector(v, low),
                              builder_.CreateShuffleVector(v, high));
    }
  }
  while (sums.size() > 1) {
    std::vector<Value*> next;
    for (size_t i = 0; i < sums.size(); i += 2) next.push_back(halves(sums[i], sums[i + 1], width));
    sums = std::move(next);
  }
  return width == 1 ? builder_.CreateExtractElement(sums[0], uint64_t{0}) : sums[0];
}

}  // namespace sinter::compiler
