// A block of rows as loops over features (compiler/forms/batch_stages.h): one body for all blocks
// but the last one, which may be smaller and partly empty. Lanes that are no rows hold anything
// finite or not, except in what goes into totals, where they are zero.
#include <algorithm>
#include <utility>

#include "compiler/llvm/batch/emit_batch.h"
#include "compiler/llvm/reduction.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::OpKind;
using ir::ValueId;
using llvm::BasicBlock;
using llvm::Value;

void BatchEmitter::emit_stages(int pass) {
  const StagesAnalysis plan = plan_stages(context_.func, form_, pass);
  SINTER_CHECK(plan.stages.has_value(), "{} has no stages: {}", kernel_.attrs.text("name"),
               plan.reason);
  const BatchStages& stages = *plan.stages;
  kept_.clear();
  zeroed_.clear();
  for (const ValueId v : stages.arguments) keep(v);
  for (const BatchStage& s : stages.stages) {
    for (const ir::Op* op : s.kept) keep(op->result);
    for (const ir::Op* op : s.folds) keep(op->result);
  }
  for (const ir::Op* op : stages.products) {
    for (const ValueId v : op->operands) zeroed_.insert(plain(v));
  }
  const auto block_of = [&](Value* row, int vectors) {
    vectors_ = vectors;
    first_row_ = row;
    Value* count = builder_.CreateTrunc(builder_.CreateSub(end_row_, row), builder_.getInt32Ty());
    masks_.clear();
    for (int v = 0; v < vectors; ++v) {
      std::vector<llvm::Constant*> numbers;
      for (int i = 0; i < lanes_; ++i) {
        numbers.push_back(builder_.getInt32(static_cast<uint32_t>(v * lanes_ + i)));
      }
      masks_.push_back(builder_.CreateICmpSLT(llvm::ConstantVector::get(numbers), splat(count)));
    }
    load_block(stages.arguments);
    for (const BatchStage& s : stages.stages) stage(s);
    for (const ir::Op* op : stages.products) total_product(*op);
  };
  // What fills no block has a smaller one, if it would leave half of a block empty.
  const int64_t rows = int64_t{block_} * lanes_;
  const int64_t rest = context_.func.max_batch % rows;
  const auto few = static_cast<int>((rest + lanes_ - 1) / lanes_);
  if (rest == 0 || 2 * few > block_) {
    loop(begin_row_, builder_.CreateAdd(end_row_, i64(rows - 1)), rows,
         [&](Value* row) { block_of(row, block_); });
    return;
  }
  const int64_t few_rows = int64_t{few} * lanes_;
  Value* left = loop(begin_row_, builder_.CreateAdd(end_row_, i64(rows - 1 - few_rows)), rows,
                     [&](Value* row) { block_of(row, block_); });
  loop(left, builder_.CreateAdd(end_row_, i64(few_rows - 1)), few_rows,
       [&](Value* row) { block_of(row, few); });
}

// Stack memory for a row value, for the block at hand.
void BatchEmitter::keep(ValueId v) {
  Kept kept;
  kept.vector = vector_of(memory_type(llvm_context(), type(v).dtype), lanes_);
  auto* memory = entry_.CreateAlloca(kept.vector, i64(elements(type(v)) * block_));
  memory->setAlignment(llvm::Align(64));
  kept.memory = memory;
  kept_[v] = kept;
}

Value* BatchEmitter::kept_at(const Kept& kept, Value* feature, int vector) {
  Value* number = builder_.CreateAdd(builder_.CreateMul(feature, i64(vectors_)), i64(vector));
  return builder_.CreateGEP(kept.vector, kept.memory, number);
}

// All features in tiles of `size`, the last one smaller.
void BatchEmitter::features_in_tiles(int64_t count, int size,
                                     const std::function<void(Value*, int)>& body) {
  const int64_t whole = count / size * size;
  if (whole > 0) {
    loop(i64(0), i64(whole), size, [&](Value* first) { body(first, size); });
  }
  if (whole < count) body(i64(whole), static_cast<int>(count - whole));
}

// ---- Arguments ---------------------------------------------------------------------------------

void BatchEmitter::load_block(const std::vector<ValueId>& arguments) {
  llvm::Function* function = builder_.GetInsertBlock()->getParent();
  BasicBlock* whole = BasicBlock::Create(llvm_context(), "whole", function);
  BasicBlock* part = BasicBlock::Create(llvm_context(), "part", function);
  BasicBlock* after = BasicBlock::Create(llvm_context(), "after", function);
  Value* end = builder_.CreateAdd(first_row_, i64(int64_t{vectors_} * lanes_));
  builder_.CreateCondBr(builder_.CreateICmpSLE(end, end_row_), whole, part);
  builder_.SetInsertPoint(whole);
  for (const ValueId v : arguments) load_whole_block(v);
  builder_.CreateBr(after);
  builder_.SetInsertPoint(part);
  for (const ValueId v : arguments) load_part_of_block(v);
  builder_.CreateBr(after);
  builder_.SetInsertPoint(after);
}

void BatchEmitter::load_whole_block(ValueId v) {
  const int64_t features = elements(type(v));
  const Kept& kept = kept_.at(v);
  const DType dtype = type(v).dtype;
  const llvm::Align align(dtype_size(dtype));
  mask_ = nullptr;
  rows_.clear();
  const bool power = (features & (features - 1)) == 0 && features <= lanes_;
  if (features > 1 && power && load_interleaved(v, features)) {
    for (int64_t j = 0; j < features; ++j) {
      for (int i = 0; i < vectors_; ++i) {
        builder_.CreateStore(rows_.at({v.index, j})[static_cast<size_t>(i)],
                             kept_at(kept, i64(j), i));
      }
    }
    return;
  }
  Value* start = offset(base_of(v), dtype, builder_.CreateMul(first_row_, i64(features)));
  loop(i64(0), i64(features), 1, [&](Value* j) {
    for (int i = 0; i < vectors_; ++i) {
      Value* at = offset(start, dtype, builder_.CreateAdd(j, i64(int64_t{i} * lanes_ * features)));
      Value* x = features == 1
                     ? static_cast<Value*>(builder_.CreateAlignedLoad(kept.vector, at, align))
                     : load_strided(at, kept.vector, dtype, features);
      builder_.CreateStore(x, kept_at(kept, j, i));
    }
  });
}

Value* BatchEmitter::load_strided(Value* at, llvm::Type* vector, DType dtype, int64_t stride) {
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
  const int64_t rows = int64_t{vectors_} * lanes_;
  loop(i64(0), i64(features * vectors_), 1, [&](Value* i) {
    builder_.CreateStore(llvm::Constant::getNullValue(kept.vector),
                         builder_.CreateGEP(kept.vector, kept.memory, i));
  });
  Value* start = offset(base_of(v), dtype, builder_.CreateMul(first_row_, i64(features)));
  loop(i64(0), builder_.CreateSub(end_row_, first_row_), 1, [&](Value* row) {
    Value* from = builder_.CreateMul(row, i64(features));
    loop(i64(0), i64(features), 1, [&](Value* j) {
      Value* x = builder_.CreateLoad(element, offset(start, dtype, builder_.CreateAdd(from, j)));
      Value* to = builder_.CreateAdd(builder_.CreateMul(j, i64(rows)), row);
      builder_.CreateStore(x, offset(kept.memory, dtype, to));
    });
  });
}

// ---- Stages ------------------------------------------------------------------------------------

void BatchEmitter::stage(const BatchStage& s) {
  here_.clear();
  for (const ir::Op* op : s.kept) here_.insert(op->result);
  for (const ir::Op* op : s.folds) start_fold(*op);
  const int size = context_.target.registers >= 32 ? 4 : 2;
  features_in_tiles(s.features, static_cast<int>(std::min<int64_t>(size, s.features)),
                    [&](Value* first, int features) { tile(s, first, features); });
  here_.clear();
}

void BatchEmitter::tile(const BatchStage& s, Value* feature, int features) {
  rows_.clear();
  repeated_.clear();
  feature_ = feature;
  for (const ir::Op* op : s.products) tile_product(*op, features);
  for (const ir::Op* op : s.kept) tile_kept(*op, features);
  for (const ir::Op* op : s.folds) tile_fold(*op, features);
  for (const ir::Op* op : s.sums) tile_sum(*op, features);
}

// Element j of the tile: from memory, if another stage has computed it.
const BatchEmitter::Lanes& BatchEmitter::stage_element(ValueId v, int64_t j) {
  v = plain(v);
  const Element key{v.index, j};
  if (const auto it = rows_.find(key); it != rows_.end()) return it->second;
  const auto kept = kept_.find(v);
  Lanes lanes;
  if (kept != kept_.end() && !here_.count(v)) {
    Value* feature = elements(type(v)) == 1 ? i64(0) : builder_.CreateAdd(feature_, i64(j));
    for (int i = 0; i < vectors_; ++i) {
      Value* x = builder_.CreateLoad(kept->second.vector, kept_at(kept->second, feature, i));
      if (type(v).dtype == DType::boolean) {
        x = builder_.CreateICmpNE(x, llvm::Constant::getNullValue(x->getType()));
      }
      lanes.push_back(x);
    }
  } else {
    const ir::Op& op = *made_by_.at(v)->op;
    const bool view = def(op).is(ir::Trait::view);
    lanes = view ? lanes_of(op.operands[0], elements(type(op.operands[0])) == 1 ? 0 : j)
                 : row_elementwise(op, j);
  }
  return rows_[key] = std::move(lanes);
}

// Where a uniform value that loops index lies in memory.
Value* BatchEmitter::uniform_base(ValueId v) {
  v = plain(v);
  const auto it = finished_.find(v);
  return it != finished_.end() ? it->second : base_of(v);
}

// A product with parameters, for all features of the tile at once; a bias that is added to it is
// where its sum starts.
void BatchEmitter::tile_product(const ir::Op& op, int features) {
  const size_t row_side = row_factor(context_.func, op);
  const Kept& rows = kept_.at(plain(op.operands[row_side]));
  const ValueId factor = op.operands[1 - row_side];
  const FactorStrides strides = *factor_strides(context_.func, op);
  const DType dtype = type(factor).dtype;
  llvm::Type* element = element_type(llvm_context(), dtype);
  const auto depth = static_cast<int64_t>(contracted_elements(context_.func, op, 0).size());

  ValueId result = op.result;
  Lanes sums(static_cast<size_t>(features * vectors_),
             llvm::Constant::getNullValue(vector_of(element, lanes_)));
  for (const BatchOp& b : form_.ops) {
    if (b.op->kind != OpKind::add || uses_inside(op.result) != 1) continue;
    const std::vector<ValueId>& terms = b.op->operands;
    if (terms[0] != op.result && terms[1] != op.result) continue;
    const ValueId bias = terms[0] == op.result ? terms[1] : terms[0];
    if (row(bias) || type(b.op->result) != type(op.result)) continue;
    result = b.op->result;
    for (int f = 0; f < features; ++f) {
      for (int i = 0; i < vectors_; ++i) {
        sums[static_cast<size_t>(f * vectors_ + i)] =
            repeated(bias, elements(type(bias)) == 1 ? 0 : f);
      }
    }
  }
  // A factor of one element may have been computed and lie in no memory.
  Value* single = elements(type(factor)) == 1 ? splat(uniform_element(factor, 0)) : nullptr;
  Value* base = single ? nullptr
                       : offset(uniform_base(factor), dtype,
                                builder_.CreateMul(feature_, i64(strides.by_result)));
  const int64_t unroll = depth % 4 == 0 ? 4 : depth % 2 == 0 ? 2 : 1;
  emit_loop(builder_, i64(0), i64(depth), i64(unroll), sums, [&](Value* k, Lanes& carried) {
    for (int64_t step = 0; step < unroll; ++step) {
      Value* at = builder_.CreateAdd(k, i64(step));
      Lanes x;
      for (int i = 0; i < vectors_; ++i) {
        x.push_back(builder_.CreateLoad(rows.vector, kept_at(rows, at, i)));
      }
      Value* column = builder_.CreateMul(at, i64(strides.by_depth));
      for (int f = 0; f < features; ++f) {
        Value* where = builder_.CreateAdd(column, i64(f * strides.by_result));
        Value* w =
            single ? single : splat(builder_.CreateLoad(element, offset(base, dtype, where)));
        for (int i = 0; i < vectors_; ++i) {
          Value*& sum = carried[static_cast<size_t>(f * vectors_ + i)];
          sum = fma(w, x[static_cast<size_t>(i)], sum);
        }
      }
    }
  });
  for (int f = 0; f < features; ++f) {
    const auto first = sums.begin() + f * vectors_;
    rows_[{result.index, f}] = Lanes(first, first + vectors_);
  }
}

void BatchEmitter::tile_kept(const ir::Op& op, int features) {
  const ValueId v = op.result;
  const Kept& kept = kept_.at(v);
  for (int f = 0; f < features; ++f) {
    const Lanes lanes = stage_element(v, f);
    for (int i = 0; i < vectors_; ++i) {
      Value* x = lanes[static_cast<size_t>(i)];
      if (zeroed_.count(v)) {
        x = builder_.CreateSelect(masks_[static_cast<size_t>(i)], x,
                                  llvm::Constant::getNullValue(x->getType()));
      }
      if (type(v).dtype == DType::boolean) x = builder_.CreateZExt(x, kept.vector);
      builder_.CreateStore(x, kept_at(kept, builder_.CreateAdd(feature_, i64(f)), i));
    }
  }
}

// ---- Reductions over features ------------------------------------------------------------------

void BatchEmitter::start_fold(const ir::Op& op) {
  const DType dtype = type(op.operands[0]).dtype;
  llvm::Type* vector = vector_of(element_type(llvm_context(), dtype), lanes_);
  Value* start = neutral_element(op.kind, vector);
  if (op.kind == OpKind::argmax) {  // the largest so far lies beside its place
    auto* memory = entry_.CreateAlloca(vector, i64(vectors_));
    memory->setAlignment(llvm::Align(64));
    kept_best_[op.result] = {memory, vector};
  }
  const Kept& best = op.kind == OpKind::argmax ? kept_best_.at(op.result) : kept_.at(op.result);
  for (int i = 0; i < vectors_; ++i) {
    builder_.CreateStore(start, kept_at(best, i64(0), i));
    if (op.kind == OpKind::argmax) {
      const Kept& place = kept_.at(op.result);
      builder_.CreateStore(llvm::Constant::getNullValue(place.vector), kept_at(place, i64(0), i));
    }
  }
}

// NaN wins over every number, and of equals the first stays.
void BatchEmitter::tile_fold(const ir::Op& op, int features) {
  const bool places = op.kind == OpKind::argmax;
  const Kept& best = places ? kept_best_.at(op.result) : kept_.at(op.result);
  const Kept& place = kept_.at(op.result);
  for (int i = 0; i < vectors_; ++i) {
    Value* state = builder_.CreateLoad(best.vector, kept_at(best, i64(0), i));
    Value* index = places ? builder_.CreateLoad(place.vector, kept_at(place, i64(0), i)) : nullptr;
    for (int f = 0; f < features; ++f) {
      Value* x = stage_element(op.operands[0], f)[static_cast<size_t>(i)];
      if (op.kind == OpKind::sum || op.kind == OpKind::prod) {
        state = fold_in(builder_, op.kind, state, x);
        continue;
      }
      Value* better = displaces(builder_, x, state);
      state = builder_.CreateSelect(better, x, state);
      if (places) {
        Value* here = splat(builder_.CreateAdd(feature_, i64(f)));
        index = builder_.CreateSelect(better, here, index);
      }
    }
    builder_.CreateStore(state, kept_at(best, i64(0), i));
    if (places) builder_.CreateStore(index, kept_at(place, i64(0), i));
  }
}

// ---- Totals ------------------------------------------------------------------------------------

// Whether a total is complete once its rows have been seen, as all of them are one block.
bool BatchEmitter::complete_at_once(const ir::Op& op) const {
  if (!form_.loops || kernel_.attrs.flag("parallel")) return false;
  const bool by_feature = elements(type(op.result)) > 1;
  const bool one_tile =
      op.kind == OpKind::contraction || by_feature || elements(type(op.operands[0])) == 1;
  return one_tile && context_.func.max_batch <= int64_t{block_} * lanes_;
}

Value* BatchEmitter::total_so_far(const ir::Op& op, llvm::Type* vector, Value* at) {
  if (complete_at_once(op)) return llvm::Constant::getNullValue(vector);
  return builder_.CreateLoad(vector, at);
}

void BatchEmitter::tile_sum(const ir::Op& op, int features) {
  const auto [pass, first] = totals_.at(op.result);
  llvm::Type* vector = vector_of(element_type(llvm_context(), type(op.result).dtype), lanes_);
  const bool by_feature = elements(type(op.result)) > 1;
  Value* total = nullptr;
  Value* at = nullptr;
  for (int f = 0; f < features; ++f) {
    if (f == 0 || by_feature) {
      Value* number = by_feature ? builder_.CreateAdd(feature_, i64(first + f)) : i64(first);
      at = total_row(pass, number);
      total = total_so_far(op, vector, at);
    }
    const Lanes lanes = lanes_of(op.operands[0], elements(type(op.operands[0])) == 1 ? 0 : f);
    for (int i = 0; i < vectors_; ++i) {
      Value* x =
          builder_.CreateSelect(masks_[static_cast<size_t>(i)], lanes[static_cast<size_t>(i)],
                                llvm::Constant::getNullValue(vector));
      total = builder_.CreateFAdd(total, x);
    }
    if (by_feature || f + 1 == features) builder_.CreateStore(total, at);
  }
}

// The products of all pairs of features, added up over the rows of the block.
void BatchEmitter::total_product(const ir::Op& op) {
  const int64_t lefts = elements(type(op.operands[0])), rights = elements(type(op.operands[1]));
  const int most = context_.target.registers >= 32 ? 16 : 8;
  const auto right_size =
      static_cast<int>(std::min<int64_t>(rights, rights % 5 == 0 && rights % 4 != 0 ? 5 : 4));
  const auto left_size = static_cast<int>(std::min<int64_t>(lefts, std::max(1, most / right_size)));
  features_in_tiles(lefts, left_size, [&](Value* left, int left_count) {
    features_in_tiles(rights, right_size, [&](Value* right, int right_count) {
      total_tile(op, left, left_count, right, right_count);
    });
  });
}

void BatchEmitter::total_tile(const ir::Op& op, Value* left, int lefts, Value* right, int rights) {
  const auto [pass, first] = totals_.at(op.result);
  const Kept &a = kept_.at(plain(op.operands[0])), &b = kept_.at(plain(op.operands[1]));
  llvm::Type* vector = a.vector;
  const int64_t width = elements(type(op.operands[1]));
  Value* start = builder_.CreateAdd(builder_.CreateMul(left, i64(width)), right);
  Lanes totals, places;
  for (int p = 0; p < lefts; ++p) {
    for (int q = 0; q < rights; ++q) {
      places.push_back(total_row(pass, builder_.CreateAdd(start, i64(first + p * width + q))));
      totals.push_back(total_so_far(op, vector, places.back()));
    }
  }
  for (int i = 0; i < vectors_; ++i) {
    Lanes x, y;
    for (int p = 0; p < lefts; ++p) {
      x.push_back(builder_.CreateLoad(vector, kept_at(a, builder_.CreateAdd(left, i64(p)), i)));
    }
    for (int q = 0; q < rights; ++q) {
      y.push_back(builder_.CreateLoad(vector, kept_at(b, builder_.CreateAdd(right, i64(q)), i)));
    }
    size_t at = 0;
    for (int p = 0; p < lefts; ++p) {
      for (int q = 0; q < rights; ++q, ++at) {
        totals[at] = fma(x[static_cast<size_t>(p)], y[static_cast<size_t>(q)], totals[at]);
      }
    }
  }
  for (size_t i = 0; i < totals.size(); ++i) builder_.CreateStore(totals[i], places[i]);
}

}  // namespace sinter::compiler
