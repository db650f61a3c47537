// Uniform values of a kernel with rows in lanes: scalars that all rows share, totals once a pass is
// over, and the tail, in which parameters and state are updated.
#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "compiler/llvm/batch/emit_batch.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::OpKind;
using ir::ValueId;
using llvm::Value;

// A value of the tail with more vectors is a loop over them.
constexpr int64_t straight_chunks = 4;

// ---- Scalars -----------------------------------------------------------------------------------

Value* BatchEmitter::load_uniform(ValueId v, int64_t j) {
  const DType dtype = type(v).dtype;
  llvm::Type* element = memory_type(llvm_context(), dtype);
  Value* x = builder_.CreateLoad(element, offset(base_of(v), dtype, i64(j)));
  return dtype == DType::boolean ? builder_.CreateICmpNE(x, llvm::ConstantInt::get(element, 0)) : x;
}

Value* BatchEmitter::uniform_element(ValueId v, int64_t j) {
  if (const auto it = scalars_.find({v.index, j}); it != scalars_.end()) return it->second;
  const auto made = made_by_.find(v);
  if (made == made_by_.end()) return load_uniform(v, j);
  const ir::Op& op = *made->second->op;
  if (made->second->role == BatchRole::total) {
    const DType dtype = type(v).dtype;
    const auto finished = finished_.find(v);
    if (finished == finished_.end()) {  // a total of the last pass, in the tail
      return builder_.CreateExtractElement(total_rows(v, i64(j), 1), uint64_t{0});
    }
    return builder_.CreateLoad(element_type(llvm_context(), dtype),
                               offset(finished->second, dtype, i64(j)));
  }
  if (def(op).is(ir::Trait::view)) {
    return uniform_element(op.operands[0], operand_element(context_.func, op, 0, j));
  }
  if (op.kind == OpKind::sum) return sum_of_elements(op.operands[0]);
  ScalarContext scalar;
  for (size_t i = 0; i < op.operands.size(); ++i) {
    scalar.operands.push_back(
        uniform_element(op.operands[i], operand_element(context_.func, op, i, j)));
  }
  scalar.has = context_.target.lane_features();
  scalar.rows = n_;
  scalar.index = [&](int axis) { return i64(index_along(type(v), j, axis)); };
  scalar.linear_index = [&] { return i64(j); };
  return emit_scalar_program(builder_, program(op), scalar);
}

// Through sums of some of its axes.
Value* BatchEmitter::sum_of_elements(ValueId v) {
  for (auto made = made_by_.find(v); made != made_by_.end(); made = made_by_.find(v)) {
    const ir::Op& op = *made->second->op;
    if ((op.kind != OpKind::sum && op.kind != OpKind::reshape) || row(op.operands[0])) break;
    v = op.operands[0];
  }
  const int64_t count = elements(type(v));
  Value* zero =
      llvm::Constant::getNullValue(vector_of(element_type(llvm_context(), type(v).dtype), lanes_));
  Value* sum = zero;
  chunk_lanes_ = lanes_;
  for (int64_t first = 0; first < count; first += lanes_) {
    chunks_.clear();
    const auto here = static_cast<int>(std::min<int64_t>(lanes_, count - first));
    Value* x = chunk_of(v, i64(first), here);
    if (here < lanes_) {
      Value* known = lanes_below(builder_.getInt32(static_cast<uint32_t>(here)));
      x = builder_.CreateSelect(known, x, zero);
    }
    sum = builder_.CreateFAdd(sum, x);
  }
  chunks_.clear();
  return builder_.CreateExtractElement(add_across({sum}), uint64_t{0});
}

// In all lanes, for the block at hand.
Value* BatchEmitter::repeated(ValueId v, int64_t j) {
  Value*& value = repeated_[{v.index, j}];
  if (value) return value;
  Value* x = nullptr;
  if (form_.loops && elements(type(v)) > 1) {
    const DType dtype = type(v).dtype;
    llvm::Type* element = memory_type(llvm_context(), dtype);
    Value* at = offset(uniform_base(v), dtype, builder_.CreateAdd(feature_, i64(j)));
    x = builder_.CreateLoad(element, at);
    if (dtype == DType::boolean) x = builder_.CreateICmpNE(x, llvm::ConstantInt::get(element, 0));
  } else {
    x = uniform_element(v, j);
  }
  return repeated_[{v.index, j}] = splat(x);
}

// Computes before the rows what they read of uniform values that are not simply in memory.
void BatchEmitter::hoist_uniforms(int pass) {
  for (const BatchOp& b : form_.ops) {
    if ((b.role != BatchRole::row && b.role != BatchRole::total) || b.pass > pass) continue;
    for (ValueId v : b.op->operands) {
      auto made = made_by_.find(v);
      while (made != made_by_.end() && def(*made->second->op).is(ir::Trait::view)) {
        v = made->second->op->operands[0];
        made = made_by_.find(v);
      }
      if (made == made_by_.end() || made->second->role != BatchRole::uniform) continue;
      const int64_t count = elements(type(v));
      for (int64_t j = 0; j < count; ++j) scalars_[{v.index, j}] = uniform_element(v, j);
      if (form_.loops && count > 1) hoist_to_memory(v);
    }
  }
}

// Loops read it at an index.
void BatchEmitter::hoist_to_memory(ValueId v) {
  const DType dtype = type(v).dtype;
  llvm::Type* element = memory_type(llvm_context(), dtype);
  Value* memory = entry_.CreateAlloca(element, i64(elements(type(v))));
  for (int64_t j = 0; j < elements(type(v)); ++j) {
    Value* x = scalars_.at({v.index, j});
    if (dtype == DType::boolean) x = builder_.CreateZExt(x, element);
    builder_.CreateStore(x, offset(memory, dtype, i64(j)));
  }
  finished_[v] = memory;
}

// ---- Totals ------------------------------------------------------------------------------------

// The sum of the lanes of each row in the lane of its number: rows are added in pairs, halves of
// lanes with halves, so that each step leaves half as many vectors.
Value* BatchEmitter::add_across(std::vector<Value*> rows) {
  const auto lanes = static_cast<size_t>(lanes_);
  llvm::Type* vector = rows.front()->getType();
  rows.resize(lanes, nullptr);
  // Lanes that the processor shuffles cheaply among themselves: those of 16 bytes.
  const size_t near = std::min<size_t>(lanes, 128 / vector->getScalarSizeInBits());
  const auto pair = [&](Value* a, Value* b, size_t segment, size_t group) -> Value* {
    if (!a && !b) return nullptr;
    Value* none = llvm::PoisonValue::get(vector);
    a = a ? a : none;
    b = b ? b : none;
    std::vector<int> low, high;
    for (size_t g = 0; g < lanes; g += group) {
      for (const size_t from : {size_t{0}, lanes}) {
        for (size_t s = g; s < g + group; s += segment) {
          for (size_t i = 0; i < segment / 2; ++i) {
            low.push_back(static_cast<int>(from + s + i));
            high.push_back(static_cast<int>(from + s + i + segment / 2));
          }
        }
      }
    }
    return builder_.CreateFAdd(builder_.CreateShuffleVector(a, b, low),
                               builder_.CreateShuffleVector(a, b, high));
  };
  size_t segment = lanes;
  for (; segment > near; segment /= 2) {
    const size_t half = rows.size() / 2;
    for (size_t i = 0; i < half; ++i) rows[i] = pair(rows[i], rows[i + half], segment, segment);
    rows.resize(half);
  }
  for (; segment > 1; segment /= 2) {
    for (size_t i = 0; i < rows.size() / 2; ++i) {
      rows[i] = pair(rows[2 * i], rows[2 * i + 1], segment, near);
    }
    rows.resize(rows.size() / 2);
  }
  return rows.front();
}

// Adds up the lanes of `count` totals from number `first` on.
Value* BatchEmitter::sums_across(int pass, llvm::Type* vector, Value* first, int64_t count) {
  std::vector<Value*> rows;
  for (int64_t i = 0; i < count; ++i) {
    rows.push_back(builder_.CreateLoad(vector, total_row(pass, builder_.CreateAdd(first, i64(i)))));
  }
  return add_across(std::move(rows));
}

// Totals of one type are added up across as many at a time as there are lanes, whichever values
// they belong to: a few into registers, many into memory.
void BatchEmitter::add_all_across(int pass) {
  across_.clear();
  if (!form_.one_dtype || total_counts_.at(pass) == 0) return;
  llvm::Type* element = nullptr;
  int64_t longest = 0;
  for (const BatchOp& b : form_.ops) {
    if (b.role != BatchRole::total || b.pass != pass) continue;
    element = element_type(llvm_context(), type(b.op->result).dtype);
    longest = std::max(longest, elements(type(b.op->result)));
  }
  llvm::Type* vector = vector_of(element, lanes_);
  const int64_t count = total_counts_.at(pass), whole = count / lanes_ * lanes_;
  constexpr int64_t most_registers = 8;
  if (whole < most_registers * lanes_ && longest <= straight_chunks * lanes_) {
    for (int64_t i = 0; i < count; i += lanes_) {
      across_.push_back(sums_across(pass, vector, i64(i), std::min<int64_t>(lanes_, count - i)));
    }
    return;
  }
  sums_ = entry_.CreateAlloca(element, i64(whole + lanes_));
  const auto add = [&](Value* first, int64_t rows) {
    store_pieces(sums_across(pass, vector, first, rows), builder_.CreateGEP(element, sums_, first),
                 lanes_);
  };
  loop(i64(0), i64(whole), lanes_, [&](Value* first) { add(first, lanes_); });
  if (whole < count) add(i64(whole), count - whole);
}

// Elements chunk, chunk + 1, ... of a total.
Value* BatchEmitter::total_rows(ValueId v, Value* chunk, int count) {
  const auto [pass, first] = totals_.at(v);
  llvm::Type* element = element_type(llvm_context(), type(v).dtype);
  if (const auto finished = finished_.find(v); finished != finished_.end()) {
    return load_pieces(element, builder_.CreateGEP(element, finished->second, chunk), count);
  }
  if (sums_) {
    Value* at = builder_.CreateGEP(element, sums_, builder_.CreateAdd(chunk, i64(first)));
    return load_pieces(element, at, count);
  }
  if (across_.empty()) {
    return sums_across(pass, vector_of(element, lanes_), builder_.CreateAdd(chunk, i64(first)),
                       count);
  }
  const int64_t at = first + llvm::cast<llvm::ConstantInt>(chunk)->getSExtValue();
  const auto group = static_cast<size_t>(at / lanes_);
  const auto lane = static_cast<int>(at % lanes_);
  if (lane == 0) return across_[group];
  std::vector<int> places;
  for (int i = 0; i < lanes_; ++i) places.push_back(i < count ? lane + i : -1);
  const bool next = lane + count > lanes_;
  Value* none = llvm::PoisonValue::get(across_[group]->getType());
  return builder_.CreateShuffleVector(across_[group], next ? across_[group + 1] : none, places);
}

// Totals are known: single ones as scalars, others in memory where later passes read them.
void BatchEmitter::finish_totals(int pass) {
  if (!sums_) add_all_across(pass);
  std::vector<ValueId> singles, others;
  for (const BatchOp& b : form_.ops) {
    if (b.role != BatchRole::total || b.pass != pass) continue;
    (elements(type(b.op->result)) == 1 ? singles : others).push_back(b.op->result);
  }
  // Those of one type side by side, as many as there are lanes.
  for (size_t i = 0; i < singles.size();) {
    const DType dtype = type(singles[i]).dtype;
    size_t end = i;
    while (end < singles.size() && end - i < static_cast<size_t>(lanes_) &&
           type(singles[end]).dtype == dtype) {
      ++end;
    }
    Value* sums = total_rows(singles[i], i64(0), static_cast<int>(end - i));
    for (size_t k = i; k < end; ++k) {
      scalars_[{singles[k].index, 0}] = builder_.CreateExtractElement(sums, uint64_t{k - i});
    }
    i = end;
  }
  if (pass + 1 == form_.passes) return;
  for (const ValueId v : others) {
    llvm::Type* element = element_type(llvm_context(), type(v).dtype);
    const int64_t count = elements(type(v));
    Value* memory = entry_.CreateAlloca(element, i64(count));
    for (int64_t chunk = 0; chunk < count; chunk += lanes_) {
      const auto here = static_cast<int>(std::min<int64_t>(lanes_, count - chunk));
      store_pieces(total_rows(v, i64(chunk), here), builder_.CreateGEP(element, memory, i64(chunk)),
                   here);
    }
    finished_[v] = memory;
  }
  sums_ = nullptr;
}

// ---- The tail ----------------------------------------------------------------------------------

// Where a uniform value or a row value goes: its place in the arena, results.
std::vector<Value*> BatchEmitter::targets(ValueId v) {
  std::vector<Value*> out;
  for (int slot : context_.result_slots(v)) out.push_back(slot_base(slot));
  return out;
}

void BatchEmitter::emit_tail() {
  std::map<int64_t, std::vector<Sink>> by_size;
  for (const BatchOp& b : form_.ops) {
    if (b.role == BatchRole::assign) {
      const ValueId value = b.op->operands[1];
      by_size[elements(type(value))].push_back({value, {base_of(b.op->operands[0])}});
    } else if (b.role != BatchRole::row && is_result(b.op->result)) {
      by_size[elements(type(b.op->result))].push_back({b.op->result, targets(b.op->result)});
    }
    // Scalars are known to all that follows, and read before any of them is updated.
    if (b.role == BatchRole::uniform && elements(type(b.op->result)) == 1) {
      scalars_[{b.op->result.index, 0}] = uniform_element(b.op->result, 0);
    }
  }
  std::vector<Value*> singles;
  for (const Sink& sink : by_size[1]) singles.push_back(uniform_element(sink.value, 0));
  for (const auto& [count, sinks] : by_size) {
    if (count > 1) emit_sinks(sinks, count);
  }
  for (size_t i = 0; i < singles.size(); ++i) {
    Value* x = singles[i];
    if (x->getType()->isIntegerTy(1)) x = builder_.CreateZExt(x, builder_.getInt8Ty());
    for (Value* to : by_size[1][i].to) builder_.CreateStore(x, to);
  }
}

// Values of `count` elements, chunk by chunk: first all values, then all stores, since a value may
// read a global that another one updates at the same place.
void BatchEmitter::emit_sinks(const std::vector<Sink>& sinks, int64_t count) {
  const auto chunk = [&](Value* first, int here) {
    chunks_.clear();
    // What is left over is no wider than it has to be: a root of 16 takes four times one of 4.
    const int fits = std::max(2, static_cast<int>(std::bit_ceil(static_cast<unsigned>(here))));
    chunk_lanes_ = std::min(lanes_, fits);
    std::vector<Value*> values;
    for (const Sink& sink : sinks) values.push_back(chunk_of(sink.value, first, here));
    for (size_t i = 0; i < sinks.size(); ++i) {
      const DType dtype = type(sinks[i].value).dtype;
      Value* x = values[i];
      if (dtype == DType::boolean)
        x = builder_.CreateZExt(x, vector_of(builder_.getInt8Ty(), chunk_lanes_));
      for (Value* to : sinks[i].to) store_pieces(x, offset(to, dtype, first), here);
    }
  };
  const int64_t whole = count / lanes_ * lanes_;
  if (whole / lanes_ <= straight_chunks) {
    for (int64_t i = 0; i < whole; i += lanes_) chunk(i64(i), lanes_);
  } else {
    loop(i64(0), i64(whole), lanes_, [&](Value* first) { chunk(first, lanes_); });
  }
  if (whole < count) chunk(i64(whole), static_cast<int>(count - whole));
}

Value* BatchEmitter::chunk_of(ValueId v, Value* chunk, int count) {
  if (elements(type(v)) == 1) {
    const auto lanes = static_cast<unsigned>(chunk_lanes_);
    return builder_.CreateVectorSplat(lanes, uniform_element(v, 0));
  }
  Value*& value = chunks_[v.index];
  if (!value) {
    Value* made = compute_chunk(v, chunk, count);
    return chunks_[v.index] = made;
  }
  return value;
}

Value* BatchEmitter::compute_chunk(ValueId v, Value* chunk, int count) {
  const DType dtype = type(v).dtype;
  const auto made = made_by_.find(v);
  if (made == made_by_.end()) {
    llvm::Type* element = memory_type(llvm_context(), dtype);
    Value* x = first_of_chunk(load_pieces(element, offset(base_of(v), dtype, chunk), count));
    return dtype == DType::boolean
               ? builder_.CreateICmpNE(x, llvm::Constant::getNullValue(x->getType()))
               : x;
  }
  if (made->second->role == BatchRole::total) {
    return first_of_chunk(total_rows(v, chunk, count));
  }
  const ir::Op& op = *made->second->op;
  if (def(op).is(ir::Trait::view)) return chunk_of(op.operands[0], chunk, count);
  ScalarContext scalar;
  for (const ValueId operand : op.operands) {
    scalar.operands.push_back(chunk_of(operand, chunk, count));
  }
  scalar.lanes = chunk_lanes_;
  scalar.has = context_.target.lane_features();
  scalar.rows = n_;
  return emit_scalar_program(builder_, program(op), scalar);
}

// The lanes of the chunk at hand.
Value* BatchEmitter::first_of_chunk(Value* whole) {
  if (chunk_lanes_ == lanes_) return whole;
  std::vector<int> places(static_cast<size_t>(chunk_lanes_));
  std::iota(places.begin(), places.end(), 0);
  return builder_.CreateShuffleVector(whole, places);
}

// A vector of which only the first `count` elements are in memory: pieces of whole powers of two,
// as masked accesses are slow on some processors and their stores forward to no load.
Value* BatchEmitter::load_pieces(llvm::Type* element, Value* at, int count) {
  const llvm::Align align(element->getScalarSizeInBits() / 8);
  if (count == lanes_) return builder_.CreateAlignedLoad(vector_of(element, lanes_), at, align);
  Value* out = nullptr;
  int done = 0;
  for (int size = lanes_ / 2; size >= 1; size /= 2) {
    if (count - done < size) continue;
    Value* from = builder_.CreateGEP(element, at, i64(done));
    Value* piece = builder_.CreateAlignedLoad(vector_of(element, size), from, align);
    std::vector<int> widen, merge;
    for (int i = 0; i < lanes_; ++i) {
      widen.push_back(i >= done && i < done + size ? i - done : -1);
      merge.push_back(i < done ? i : i < done + size ? lanes_ + i : -1);
    }
    piece = builder_.CreateShuffleVector(piece, widen);
    out = out ? builder_.CreateShuffleVector(out, piece, merge) : piece;
    done += size;
  }
  return out;
}

void BatchEmitter::store_pieces(Value* value, Value* at, int count) {
  llvm::Type* element = value->getType()->getScalarType();
  const llvm::Align align(element->getScalarSizeInBits() / 8);
  if (count == lanes_) {
    builder_.CreateAlignedStore(value, at, align);
    return;
  }
  int done = 0;
  for (int size = lanes_ / 2; size >= 1; size /= 2) {
    if (count - done < size) continue;
    std::vector<int> places;
    for (int i = 0; i < size; ++i) places.push_back(done + i);
    builder_.CreateAlignedStore(builder_.CreateShuffleVector(value, places),
                                builder_.CreateGEP(element, at, i64(done)), align);
    done += size;
  }
}

}  // namespace sinter::compiler
