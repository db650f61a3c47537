// Elements of row values: one vector of rows for each vector of the block.
#include <algorithm>
#include <utility>

#include "compiler/llvm/batch/emit_batch.h"
#include "compiler/llvm/reduction.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::OpKind;
using ir::ValueId;
using llvm::Value;

bool BatchEmitter::row(ValueId v) const { return type(v).follows_batch(); }

const BatchEmitter::Lanes& BatchEmitter::row_element(ValueId v, int64_t j) {
  if (form_.loops) return stage_element(v, j);
  const Element key{v.index, j};
  if (const auto it = rows_.find(key); it != rows_.end()) return it->second;
  const auto made = made_by_.find(v);
  Lanes lanes = made == made_by_.end() ? load_rows(v, j) : compute_row(*made->second, j);
  return rows_[key] = std::move(lanes);
}

BatchEmitter::Lanes BatchEmitter::lanes_of(ValueId v, int64_t j) {
  if (row(v)) return row_element(v, j);
  return Lanes(static_cast<size_t>(vectors_), repeated(v, j));
}

BatchEmitter::Lanes BatchEmitter::compute_row(const BatchOp& b, int64_t j) {
  const ir::Op& op = *b.op;
  if (op.kind == OpKind::contraction) return row_contraction(op, j, nullptr);
  const ir::OpDef& d = def(op);
  if (d.is(ir::Trait::reduction)) return row_reduction(op, j);
  if (d.is(ir::Trait::view)) {
    return lanes_of(op.operands[0], operand_element(context_.func, op, 0, j));
  }
  if (op.kind == OpKind::pad) return row_pad(op, j);
  if (op.kind == OpKind::cumsum) return row_cumsum(op, j);
  if (auto lanes = biased_contraction(op, j)) return *lanes;
  return row_elementwise(op, j);
}

BatchEmitter::Lanes BatchEmitter::row_pad(const ir::Op& op, int64_t j) {
  const int64_t from = operand_element(context_.func, op, 0, j);
  if (from >= 0) return row_element(op.operands[0], from);
  const DType dtype = type(op.result).dtype;
  const double value = op.attrs.real("value");
  const int64_t whole = dtype == DType::boolean ? value != 0 : static_cast<int64_t>(value);
  llvm::Type* wide = vector_of(element_type(builder_.getContext(), dtype), lanes_);
  Value* fill = is_float(dtype) ? static_cast<Value*>(llvm::ConstantFP::get(wide, value))
                                : llvm::ConstantInt::getSigned(wide, whole);
  return Lanes(static_cast<size_t>(vectors_), fill);
}

// The sum up to the element before, and one more.
BatchEmitter::Lanes BatchEmitter::row_cumsum(const ir::Op& op, int64_t j) {
  const auto axis = static_cast<int>(op.attrs.integer("axis"));
  const ir::Shape& shape = type(op.result).shape;
  const bool reverse = op.attrs.flag("reverse");
  int64_t stride = 1;
  for (size_t i = static_cast<size_t>(axis) + 1; i < shape.size(); ++i) {
    stride *= shape[i].batch ? 1 : shape[i].scale;
  }
  const int64_t at = index_along(type(op.result), j, axis);
  Lanes sum = row_element(op.operands[0], j);
  if (at == (reverse ? shape[static_cast<size_t>(axis)].scale - 1 : 0)) return sum;
  const Lanes before = row_element(op.result, reverse ? j + stride : j - stride);
  for (size_t v = 0; v < sum.size(); ++v) {
    const bool real = sum[v]->getType()->isFPOrFPVectorTy();
    sum[v] = real ? builder_.CreateFAdd(before[v], sum[v]) : builder_.CreateAdd(before[v], sum[v]);
  }
  return sum;
}

// A sum of products, one after the other; `start` stands in front of them.
BatchEmitter::Lanes BatchEmitter::row_contraction(const ir::Op& op, int64_t j, const Lanes* start) {
  Lanes sums;
  if (start) sums = *start;
  for (const auto& [a, b] : contracted_elements(context_.func, op, j)) {
    const Lanes left = lanes_of(op.operands[0], a), right = lanes_of(op.operands[1], b);
    if (sums.empty()) {
      for (size_t v = 0; v < left.size(); ++v) {
        sums.push_back(builder_.CreateFMul(left[v], right[v]));
      }
    } else {
      for (size_t v = 0; v < left.size(); ++v) sums[v] = fma(left[v], right[v], sums[v]);
    }
  }
  return sums;
}

std::optional<BatchEmitter::Lanes> BatchEmitter::biased_contraction(const ir::Op& op, int64_t j) {
  if (op.kind != OpKind::add) return std::nullopt;
  for (const size_t i : {size_t{0}, size_t{1}}) {
    const auto made = made_by_.find(op.operands[i]);
    if (made == made_by_.end() || made->second->op->kind != OpKind::contraction ||
        made->second->role != BatchRole::row) {
      continue;
    }
    const ir::Op& product = *made->second->op;
    const auto biased = biased_product(context_.func, form_, product);
    if (!biased || biased->sum != op.result) continue;
    const Lanes start = lanes_of(biased->bias, operand_element(context_.func, op, 1 - i, j));
    return row_contraction(product, j, &start);
  }
  return std::nullopt;
}

// Features folded in order. NaN wins over every number, and of equals the first stays.
BatchEmitter::Lanes BatchEmitter::row_reduction(const ir::Op& op, int64_t j) {
  const ValueId x = op.operands[0];
  const std::vector<int64_t> folded = folded_elements(context_.func, op, j);
  Lanes best = row_element(x, folded.front());
  const auto count = static_cast<size_t>(vectors_);
  Lanes index(count, llvm::Constant::getNullValue(vector_of(builder_.getInt64Ty(), lanes_)));
  for (size_t k = 1; k < folded.size(); ++k) {
    const Lanes next = row_element(x, folded[k]);
    for (size_t v = 0; v < count; ++v) {
      if (op.kind == OpKind::sum || op.kind == OpKind::prod) {
        best[v] = fold_in(builder_, op.kind, best[v], next[v]);
        continue;
      }
      Value* better = displaces(builder_, next[v], best[v]);
      best[v] = builder_.CreateSelect(better, next[v], best[v]);
      Value* here = splat(i64(static_cast<int64_t>(k)));
      index[v] = builder_.CreateSelect(better, here, index[v]);
    }
  }
  return op.kind == OpKind::argmax ? index : best;
}

BatchEmitter::Lanes BatchEmitter::row_elementwise(const ir::Op& op, int64_t j) {
  const ir::Type& result = type(op.result);
  std::vector<Lanes> operands;
  for (size_t i = 0; i < op.operands.size(); ++i) {
    operands.push_back(lanes_of(op.operands[i], operand_element(context_.func, op, i, j)));
  }
  Lanes out;
  for (int v = 0; v < vectors_; ++v) {
    ScalarContext scalar;
    for (const Lanes& lanes : operands) scalar.operands.push_back(lanes[static_cast<size_t>(v)]);
    scalar.lanes = lanes_;
    scalar.has = context_.target.lane_features();
    scalar.rows = n_;
    scalar.index = [&, v](int axis) -> Value* {
      if (result.shape[static_cast<size_t>(axis)].batch) return row_numbers(v);
      const bool along = form_.loops && result.shape[static_cast<size_t>(axis)].scale > 1;
      return splat(along ? builder_.CreateAdd(feature_, i64(j))
                         : i64(index_along(result, j, axis)));
    };
    scalar.linear_index = [&] {
      Value* at = splat(i64(0));
      for (int axis = 0; axis < result.rank(); ++axis) {
        const ir::Dim& d = result.shape[static_cast<size_t>(axis)];
        at = builder_.CreateMul(at, splat(d.batch ? n_ : i64(d.scale)));
        at = builder_.CreateAdd(at, scalar.index(axis));
      }
      return at;
    };
    out.push_back(emit_scalar_program(builder_, program(op), scalar));
  }
  return out;
}

Value* BatchEmitter::row_numbers(int vector) {
  std::vector<llvm::Constant*> numbers;
  for (int i = 0; i < lanes_; ++i) {
    numbers.push_back(builder_.getInt64(static_cast<uint64_t>(vector * lanes_ + i)));
  }
  return builder_.CreateAdd(splat(first_row_), llvm::ConstantVector::get(numbers));
}

// ---- Arguments and results ---------------------------------------------------------------------

// Element j of an argument, whose rows lie one after the other.
BatchEmitter::Lanes BatchEmitter::load_rows(ValueId v, int64_t j) {
  const DType dtype = type(v).dtype;
  const int64_t features = elements(type(v));
  const bool power = (features & (features - 1)) == 0;
  if (!mask() && features <= lanes_ && power && load_interleaved(v, features)) {
    return rows_.at({v.index, j});
  }
  Lanes out;
  llvm::Type* vector = vector_of(memory_type(llvm_context(), dtype), lanes_);
  const llvm::Align align(dtype_size(dtype));
  const bool masked = has_masked_loads(dtype);
  for (int i = 0; i < vectors_; ++i) {
    Value* x = nullptr;
    if (features == 1 && (!mask() || masked)) {
      Value* at =
          offset(base_of(v), dtype, builder_.CreateAdd(first_row_, i64(int64_t{i} * lanes_)));
      x = mask() ? builder_.CreateMaskedLoad(vector, at, align, mask(),
                                             llvm::Constant::getNullValue(vector))
                 : static_cast<Value*>(builder_.CreateAlignedLoad(vector, at, align));
    } else {
      x = load_one_by_one(base_of(v), dtype, features, j, i);
    }
    if (dtype == DType::boolean) x = builder_.CreateICmpNE(x, llvm::Constant::getNullValue(vector));
    out.push_back(x);
  }
  return out;
}

// Under a mask, lanes that are no rows repeat the last row.
Value* BatchEmitter::load_one_by_one(Value* base, DType dtype, int64_t features, int64_t j,
                                     int vector) {
  llvm::Type* element = memory_type(llvm_context(), dtype);
  Value* out = llvm::PoisonValue::get(vector_of(element, lanes_));
  Value* last = builder_.CreateSub(end_row_, i64(1));
  Value* start = offset(base, dtype, builder_.CreateMul(first_row_, i64(features)));
  for (int i = 0; i < lanes_; ++i) {
    Value* at = nullptr;
    if (mask()) {
      Value* number = builder_.CreateAdd(first_row_, i64(i));
      number = builder_.CreateSelect(builder_.CreateICmpSLT(number, last), number, last);
      at = offset(base, dtype,
                  builder_.CreateAdd(builder_.CreateMul(number, i64(features)), i64(j)));
    } else {
      at = offset(start, dtype, i64((int64_t{vector} * lanes_ + i) * features + j));
    }
    out = builder_.CreateInsertElement(out, builder_.CreateLoad(element, at),
                                       static_cast<uint64_t>(i));
  }
  return out;
}

// Whether the processor has masked loads of this element.
bool BatchEmitter::has_masked_loads(DType dtype) const {
  return context_.target.x86 && context_.target.vector_bytes >= 32 && dtype_size(dtype) >= 4;
}

// All elements at once: as many whole vectors as a row has elements, sorted by even and odd places
// until each vector holds one element of its rows.
bool BatchEmitter::load_interleaved(ValueId v, int64_t features) {
  const DType dtype = type(v).dtype;
  if (dtype == DType::boolean) return false;
  llvm::Type* vector = vector_of(memory_type(llvm_context(), dtype), lanes_);
  const auto sorted = [&](auto& self, const Lanes& list) -> Lanes {
    if (list.size() == 1) return list;
    Lanes halves[2], out;
    for (const int odd : {0, 1}) {
      std::vector<int> places;
      for (int i = 0; i < lanes_; ++i) places.push_back(2 * i + odd);
      for (size_t i = 0; i < list.size(); i += 2) {
        halves[odd].push_back(builder_.CreateShuffleVector(list[i], list[i + 1], places));
      }
      halves[odd] = self(self, halves[odd]);
    }
    for (size_t i = 0; i < halves[0].size(); ++i) {
      out.push_back(halves[0][i]);
      out.push_back(halves[1][i]);
    }
    return out;
  };
  Value* start = offset(base_of(v), dtype, builder_.CreateMul(first_row_, i64(features)));
  const llvm::Align align(dtype_size(dtype));
  for (int64_t j = 0; j < features; ++j) rows_[{v.index, j}].clear();
  for (int i = 0; i < vectors_; ++i) {
    Lanes list;
    Value* mask = masks_[static_cast<size_t>(i)];
    // Elements of rows that there are.
    Value* left = mask && features > 1 ? elements_left(i, features) : nullptr;
    for (int64_t k = 0; k < features; ++k) {
      Value* at = offset(start, dtype, i64((int64_t{i} * features + k) * lanes_));
      if (left)
        mask = lanes_below(
            builder_.CreateSub(left, builder_.getInt32(static_cast<uint32_t>(k * lanes_))));
      list.push_back(mask ? builder_.CreateMaskedLoad(vector, at, align, mask,
                                                      llvm::Constant::getNullValue(vector))
                          : static_cast<Value*>(builder_.CreateAlignedLoad(vector, at, align)));
    }
    const Lanes by_element = sorted(sorted, list);
    for (int64_t j = 0; j < features; ++j) {
      rows_[{v.index, j}].push_back(by_element[static_cast<size_t>(j)]);
    }
  }
  return true;
}

// How many elements lie in vector i of the block, `features` a row; none or less behind the end.
Value* BatchEmitter::elements_left(int i, int64_t features) {
  Value* rows =
      builder_.CreateSub(builder_.CreateSub(end_row_, first_row_), i64(int64_t{i} * lanes_));
  rows = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, rows, i64(lanes_));
  return builder_.CreateTrunc(builder_.CreateMul(rows, i64(features)), builder_.getInt32Ty());
}

// Lanes whose number is less than `count`.
Value* BatchEmitter::lanes_below(Value* count) {
  std::vector<llvm::Constant*> numbers;
  for (int i = 0; i < lanes_; ++i) numbers.push_back(builder_.getInt32(static_cast<uint32_t>(i)));
  return builder_.CreateICmpSLT(llvm::ConstantVector::get(numbers), splat(count));
}

// Writes the rows of a result as they lie in memory. Under a mask they take the way through stack
// memory, from which only what is there is copied.
void BatchEmitter::store_rows(ValueId v) {
  const DType dtype = type(v).dtype;
  const int64_t features = elements(type(v));
  llvm::Type* element = memory_type(llvm_context(), dtype);
  const llvm::Align align(dtype_size(dtype));
  const auto in_memory = [&](Value* x) {
    return dtype == DType::boolean ? builder_.CreateZExt(x, vector_of(element, lanes_)) : x;
  };
  const auto write = [&](Value* to) {
    for (int64_t j = 0; j < features; ++j) {
      const Lanes lanes = row_element(v, j);
      for (int i = 0; i < vectors_; ++i) {
        Value* x = in_memory(lanes[static_cast<size_t>(i)]);
        const int64_t first = int64_t{i} * lanes_;
        if (features == 1) {
          builder_.CreateAlignedStore(x, offset(to, dtype, i64(first)), align);
          continue;
        }
        for (int lane = 0; lane < lanes_; ++lane) {
          builder_.CreateStore(builder_.CreateExtractElement(x, static_cast<uint64_t>(lane)),
                               offset(to, dtype, i64((first + lane) * features + j)));
        }
      }
    }
  };
  for (Value* target : targets(v)) {
    Value* to = offset(target, dtype, builder_.CreateMul(first_row_, i64(features)));
    if (!mask()) {
      write(to);
      continue;
    }
    Value* block = i64(int64_t{vectors_} * lanes_);
    auto* buffer = entry_.CreateAlloca(element, i64(int64_t{vectors_} * lanes_ * features));
    buffer->setAlignment(llvm::Align(64));
    write(buffer);
    // More rows than these may be left: they have blocks of their own.
    Value* rows = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smin,
                                                 builder_.CreateSub(end_row_, first_row_), block);
    loop(i64(0), builder_.CreateMul(rows, i64(features)), 1, [&](Value* i) {
      builder_.CreateStore(builder_.CreateLoad(element, offset(buffer, dtype, i)),
                           offset(to, dtype, i));
    });
  }
}

}  // namespace sinter::compiler
