// The loops over features of a block of rows (compiler/forms/batch_stages.h), in tiles of a few
// features.
#include <algorithm>
#include <utility>

#include "compiler/llvm/batch/emit_batch.h"
#include "compiler/llvm/reduction.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::OpKind;
using ir::ValueId;
using llvm::Value;

// ---- Stages ------------------------------------------------------------------------------------

// What a stage folds over its features goes through the loop in registers. So does, to later
// stages, what a stage of one tile computes.
void BatchEmitter::stage(const BatchStage& s) {
  here_.clear();
  for (const ir::Op* op : s.kept) here_.insert(op->result);
  const int size = tile_size(s.features, most_tile());
  one_tile_ = s.features == size;
  Carried folded;
  for (const ir::Op* op : s.folds) start_fold(*op, folded);
  for (const RowDot& dot : s.dots) start_dot(dot, folded);
  features_in_tiles(s.features, size, folded, [&](Value* first, int features, Carried& carried) {
    tile(s, first, features, carried);
  });
  if (one_tile_) block_rows_.insert(rows_.begin(), rows_.end());
  auto from = folded.cbegin();
  const auto hand_over = [&](ValueId v) {
    for (int64_t j = 0; j < elements(type(v)); ++j, from += vectors_) {
      block_rows_[{v.index, j}] = Lanes(from, from + vectors_);
    }
  };
  for (const ir::Op* op : s.folds) {
    if (op->kind == OpKind::argmax) from += vectors_;  // the largest themselves
    hand_over(op->result);
  }
  for (const RowDot& dot : s.dots) hand_over(dot.result);
  here_.clear();
}

// The vectors of a tile take about half of the registers.
int BatchEmitter::most_tile() const {
  const int most = context_.target.registers >= 32 ? 4 : 2;
  return std::clamp(most * 4 / vectors_, 1, most);
}

// Whether all features of a value are one tile, so that it goes through registers.
bool BatchEmitter::in_registers(ValueId v) const {
  return elements(type(v)) <= most_tile() && !zeroed_.count(v);
}

// Feature j of a value that an earlier stage has computed, or of an argument.
BatchEmitter::Lanes BatchEmitter::earlier(ValueId v, int64_t j) {
  v = plain(v);
  const auto known = block_rows_.find({v.index, j});
  return known != block_rows_.end() ? known->second : load_kept(v, i64(j));
}

BatchEmitter::Lanes BatchEmitter::load_kept(ValueId v, Value* feature) {
  const Kept& kept = kept_.at(v);
  Lanes lanes;
  for (int i = 0; i < vectors_; ++i) {
    Value* x = builder_.CreateLoad(kept.vector, kept_at(kept, feature, i));
    if (type(v).dtype == DType::boolean) {
      x = builder_.CreateICmpNE(x, llvm::Constant::getNullValue(x->getType()));
    }
    lanes.push_back(x);
  }
  return lanes;
}

// The largest size up to `most` that leaves no smaller tile, unless that is less than half.
int BatchEmitter::tile_size(int64_t features, int most) {
  if (features <= most) return static_cast<int>(features);
  for (int size = most; 2 * size >= most; --size) {
    if (features % size == 0) return size;
  }
  return most;
}

void BatchEmitter::tile(const BatchStage& s, Value* feature, int features, Carried& folded) {
  rows_.clear();
  repeated_.clear();
  feature_ = feature;
  for (const ir::Op* op : s.products) tile_product(*op, features);
  for (const ir::Op* op : s.kept) tile_kept(*op, features);
  auto at = folded.begin();
  for (const ir::Op* op : s.folds) at = tile_fold(*op, features, at);
  for (const RowDot& dot : s.dots) at = tile_dot(dot, features, at);
  tile_totals(s, features);
}

// Element j of the tile: from memory, if another stage has computed it.
const BatchEmitter::Lanes& BatchEmitter::stage_element(ValueId v, int64_t j) {
  v = plain(v);
  const Element key{v.index, j};
  if (const auto it = rows_.find(key); it != rows_.end()) return it->second;
  const int64_t count = elements(type(v));
  Lanes lanes;
  if (const auto known = block_rows_.find(key);
      known != block_rows_.end() && (count == 1 || one_tile_)) {
    lanes = known->second;
  } else if (kept_.count(v) && !here_.count(v)) {
    lanes = load_kept(v, count == 1 ? i64(0) : builder_.CreateAdd(feature_, i64(j)));
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

// An element of a uniform value, by its number. One that is all there is may lie in no memory.
Value* BatchEmitter::uniform_at(ValueId v, Value* number) {
  if (elements(type(v)) == 1) return uniform_element(v, 0);
  llvm::Type* element = element_type(llvm_context(), type(v).dtype);
  return builder_.CreateLoad(element, offset(uniform_base(v), type(v).dtype, number));
}

// The factor of a product by row that is the same for all rows, for one result and place of the
// depth, in all lanes.
Value* BatchEmitter::uniform_factor(ValueId factor, const FactorStrides& strides, Value* result,
                                    Value* depth) {
  Value* number = builder_.CreateAdd(builder_.CreateMul(result, i64(strides.by_result)),
                                     builder_.CreateMul(depth, i64(strides.by_depth)));
  return splat(uniform_at(factor, number));
}

// A product with parameters, for all features of the tile at once; a bias that is added to it is
// where its sum starts.
void BatchEmitter::tile_product(const ir::Op& op, int features) {
  const size_t row_side = row_factor(context_.func, op);
  const ValueId rows = op.operands[row_side], factor = op.operands[1 - row_side];
  const FactorStrides strides = *factor_strides(context_.func, op);
  const int64_t depth = elements(type(rows));
  ValueId result = op.result;
  Lanes sums(static_cast<size_t>(features * vectors_), nullptr);
  if (const auto biased = uniformly_biased_product(context_.func, form_, op)) {
    result = biased->sum;
    for (int f = 0; f < features; ++f) {
      const int64_t place = elements(type(biased->bias)) == 1 ? 0 : f;
      std::fill_n(sums.begin() + f * vectors_, vectors_, repeated(biased->bias, place));
    }
  }
  const auto add = [&](const Lanes& x, Value* k, Lanes& carried) {
    for (int f = 0; f < features; ++f) {
      Value* w = uniform_factor(factor, strides, builder_.CreateAdd(feature_, i64(f)), k);
      for (int i = 0; i < vectors_; ++i) {
        Value*& sum = carried[static_cast<size_t>(f * vectors_ + i)];
        Value* value = x[static_cast<size_t>(i)];
        sum = sum ? fma(w, value, sum) : builder_.CreateFMul(w, value);
      }
    }
  };
  if (depth <= most_tile()) {
    for (int64_t k = 0; k < depth; ++k) add(earlier(rows, k), i64(k), sums);
  } else {
    Value* zero = llvm::Constant::getNullValue(kept_.at(plain(rows)).vector);
    std::replace(sums.begin(), sums.end(), static_cast<Value*>(nullptr), zero);
    const int64_t unroll = depth % 4 == 0 ? 4 : depth % 2 == 0 ? 2 : 1;
    emit_loop(builder_, i64(0), i64(depth), i64(unroll), sums, [&](Value* k, Lanes& carried) {
      for (int64_t step = 0; step < unroll; ++step) {
        Value* at = builder_.CreateAdd(k, i64(step));
        add(load_kept(plain(rows), at), at, carried);
      }
    });
  }
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
    if (in_registers(v)) continue;
    for (int i = 0; i < vectors_; ++i) {
      Value* x = lanes[static_cast<size_t>(i)];
      if (Value* mask = masks_[static_cast<size_t>(i)]; mask && zeroed_.count(v)) {
        x = builder_.CreateSelect(mask, x, llvm::Constant::getNullValue(x->getType()));
      }
      if (type(v).dtype == DType::boolean) x = builder_.CreateZExt(x, kept.vector);
      builder_.CreateStore(x, kept_at(kept, builder_.CreateAdd(feature_, i64(f)), i));
    }
  }
}

// ---- What is folded over features --------------------------------------------------------------

// For argmax, the largest so far stand before their places.
void BatchEmitter::start_fold(const ir::Op& op, Carried& folded) {
  llvm::Type* vector = vector_of(element_type(llvm_context(), type(op.operands[0]).dtype), lanes_);
  // One tile starts from its first feature.
  folded.insert(folded.end(), static_cast<size_t>(vectors_),
                one_tile_ ? nullptr : neutral_element(op.kind, vector));
  if (op.kind != OpKind::argmax) return;
  folded.insert(folded.end(), static_cast<size_t>(vectors_),
                llvm::Constant::getNullValue(vector_of(builder_.getInt64Ty(), lanes_)));
}

// NaN wins over every number, and of equals the first stays.
Carried::iterator BatchEmitter::tile_fold(const ir::Op& op, int features, Carried::iterator at) {
  const bool places = op.kind == OpKind::argmax;
  for (int i = 0; i < vectors_; ++i) {
    Value*& state = at[i];
    for (int f = 0; f < features; ++f) {
      Value* x = stage_element(op.operands[0], f)[static_cast<size_t>(i)];
      if (!state) {
        state = x;
        continue;
      }
      if (op.kind == OpKind::sum || op.kind == OpKind::prod) {
        state = fold_in(builder_, op.kind, state, x);
        continue;
      }
      Value* better = displaces(builder_, x, state);
      state = builder_.CreateSelect(better, x, state);
      if (places) {
        Value*& place = at[vectors_ + i];
        place = builder_.CreateSelect(better, splat(builder_.CreateAdd(feature_, i64(f))), place);
      }
    }
  }
  return at + vectors_ * (places ? 2 : 1);
}

void BatchEmitter::start_dot(const RowDot& dot, Carried& folded) {
  const ir::Type& result = type(dot.result);
  for (int64_t j = 0; j < elements(result); ++j) {
    llvm::Type* element = element_type(llvm_context(), result.dtype);
    Value* start = dot.bias ? uniform_at(*dot.bias, i64(j)) : llvm::Constant::getNullValue(element);
    folded.insert(folded.end(), static_cast<size_t>(vectors_), splat(start));
  }
}

Carried::iterator BatchEmitter::tile_dot(const RowDot& dot, int features, Carried::iterator at) {
  const size_t side = row_factor(context_.func, *dot.op);
  const ValueId factor = dot.op->operands[1 - side];
  const FactorStrides strides = *factor_strides(context_.func, *dot.op);
  const int64_t results = elements(type(dot.result));
  for (int64_t j = 0; j < results; ++j, at += vectors_) {
    for (int f = 0; f < features; ++f) {
      Value* w = uniform_factor(factor, strides, i64(j), builder_.CreateAdd(feature_, i64(f)));
      const Lanes& x = stage_element(dot.op->operands[side], f);
      for (int i = 0; i < vectors_; ++i) at[i] = fma(w, x[static_cast<size_t>(i)], at[i]);
    }
  }
  return at;
}

// ---- Totals ------------------------------------------------------------------------------------

// Whether a total is complete once it has been computed, as all rows are in the block at hand.
bool BatchEmitter::complete_at_once(const ir::Op& op) const {
  const bool by_feature = elements(type(op.result)) > 1;
  return one_block_ &&
         (op.kind == OpKind::contraction || by_feature || elements(type(op.operands[0])) == 1);
}

// Feature by feature, so that what a condition masks does not wait for other features.
void BatchEmitter::tile_totals(const BatchStage& s, int features) {
  for (const ir::Op* op : s.sums) {
    if (elements(type(op->result)) > 1) continue;
    const bool single = elements(type(op->operands[0])) == 1;
    change_total(*op, i64(0), [&](Value* total) {
      for (int f = 0; f < (single ? 1 : features); ++f) {
        total = add_term(total, term(op->operands[0], f), nullptr);
      }
      return total;
    });
  }
  for (const LogSum& sum : s.log_sums) add_logs(sum);
  std::vector<std::vector<Lanes>> others;  // of each dot, by feature
  for (const TotalDot& dot : s.total_dots) {
    const ValueId other = dot.op->operands[1 - dot.side];
    others.emplace_back();
    for (int64_t q = 0; q < elements(type(other)); ++q) others.back().push_back(earlier(other, q));
  }
  for (int f = 0; f < features; ++f) {
    Value* feature = builder_.CreateAdd(feature_, i64(f));
    for (const ir::Op* op : s.sums) {
      if (elements(type(op->result)) > 1) {
        const Term x = term(op->operands[0], f);
        change_total(*op, feature, [&](Value* total) { return add_term(total, x, nullptr); });
      }
    }
    for (size_t d = 0; d < s.total_dots.size(); ++d) {
      const auto [op, side] = s.total_dots[d];
      const auto few = static_cast<int64_t>(others[d].size());
      const int64_t all = elements(type(op->operands[side]));
      const Term x = term(op->operands[side], f);
      for (int64_t q = 0; q < few; ++q) {
        Value* number = side == 0
                            ? builder_.CreateAdd(builder_.CreateMul(feature, i64(few)), i64(q))
                            : builder_.CreateAdd(feature, i64(q * all));
        const Lanes& y = others[d][static_cast<size_t>(q)];
        change_total(*op, number, [&](Value* total) { return add_term(total, x, &y); });
      }
    }
  }
}

void BatchEmitter::add_logs(const LogSum& sum) {
  const DType dtype = type(sum.op->result).dtype;
  llvm::Type* vector = vector_of(element_type(llvm_context(), dtype), lanes_);
  const Lanes x = lanes_of(sum.of, 0);
  Term minus;
  if (sum.minus) minus.value = lanes_of(*sum.minus, 0);
  if (sum.condition) minus.counts = lanes_of(*sum.condition, 0);
  if (!sum.holds) {
    for (Value*& counts : minus.counts) counts = builder_.CreateNot(counts);
  }
  Value* product = llvm::ConstantFP::get(vector, 1);
  for (size_t i = 0; i < x.size(); ++i) {
    Value* counts = lanes_that_count(minus.counts.empty() ? nullptr : minus.counts[i], i);
    Value* next = builder_.CreateFMul(product, x[i]);
    product = counts ? builder_.CreateSelect(counts, next, product) : next;
  }
  ScalarContext scalar;
  scalar.operands = {product};
  scalar.lanes = lanes_;
  scalar.has = context_.target.lane_features();
  Value* logs = emit_scalar_program(builder_, program(*sum.log), scalar);
  if (sum.minus) {
    logs =
        builder_.CreateFSub(logs, add_term(llvm::Constant::getNullValue(vector), minus, nullptr));
  }
  change_total(*sum.op, i64(0),
               [&](Value* total) { return total ? builder_.CreateFAdd(total, logs) : logs; });
}

// The products of all pairs of features, added up over the rows of a piece, which go up to `end`.
void BatchEmitter::total_products(Value* end) {
  if (stages_.products.empty()) return;
  vectors_before_ = i64(0);
  Value* vectors = builder_.CreateUDiv(builder_.CreateSub(end, piece_begin_), i64(lanes_));
  // Long tiles: the left factor stays in the nearest cache, the right one is fetched for each.
  const int longest = context_.target.registers >= 32 ? 8 : 4;
  for (const ir::Op* op : stages_.products) {
    const int64_t lefts = elements(type(op->operands[0])), rights = elements(type(op->operands[1]));
    const int left_size = tile_size(lefts, longest);
    const auto right_size = static_cast<int>(std::min<int64_t>(rights, 2));
    Carried none;
    features_in_tiles(lefts, left_size, none, [&](Value* left, int left_count, Carried&) {
      features_in_tiles(rights, right_size, none, [&](Value* right, int right_count, Carried&) {
        total_tile(*op, left, left_count, right, right_count, vectors);
      });
    });
  }
}

void BatchEmitter::total_tile(const ir::Op& op, Value* left, int lefts, Value* right, int rights,
                              Value* vectors) {
  const auto [pass, first] = totals_.at(op.result);
  const Kept &a = kept_.at(plain(op.operands[0])), &b = kept_.at(plain(op.operands[1]));
  const int64_t width = elements(type(op.operands[1]));
  Value* start = builder_.CreateAdd(builder_.CreateMul(left, i64(width)), right);
  Lanes totals, places;
  for (int p = 0; p < lefts; ++p) {
    for (int q = 0; q < rights; ++q) {
      places.push_back(total_row(pass, builder_.CreateAdd(start, i64(first + p * width + q))));
      totals.push_back(products_start_ ? static_cast<Value*>(llvm::Constant::getNullValue(a.vector))
                                       : builder_.CreateLoad(a.vector, places.back()));
    }
  }
  const auto load = [&](const Kept& kept, Value* feature, int count, Value* i) {
    Lanes out;
    for (int k = 0; k < count; ++k) {
      Value* at = kept_at(kept, builder_.CreateAdd(feature, i64(k)), 0);
      out.push_back(builder_.CreateLoad(kept.vector, builder_.CreateGEP(kept.vector, at, i)));
    }
    return out;
  };
  emit_loop(builder_, i64(0), vectors, i64(1), totals, [&](Value* i, Carried& carried) {
    const Lanes x = load(a, left, lefts, i), y = load(b, right, rights, i);
    auto total = carried.begin();
    for (Value* p : x) {
      for (Value* q : y) {
        *total = fma(p, q, *total);
        ++total;
      }
    }
  });
  for (size_t i = 0; i < totals.size(); ++i) builder_.CreateStore(totals[i], places[i]);
}

}  // namespace sinter::compiler
