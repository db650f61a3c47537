// Values of a tile, computed on demand, and the stores that ask for them.
#include <algorithm>

#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::OpKind;
using ir::ValueId;
using llvm::Value;

bool KernelEmitter::is_output(ValueId v) const {
  return std::find(kernel_.outputs.begin(), kernel_.outputs.end(), v) != kernel_.outputs.end();
}

// The domain axes along which a value changes.
uint32_t KernelEmitter::varies(ValueId v) const {
  if (const KernelOp* k = form_.find(v)) return k->varies;
  uint32_t bits = 0;
  for (int axis : form_.reads.at(v)) bits |= axis >= 0 ? 1u << axis : 0u;
  return bits;
}

void KernelEmitter::remember(ValueId v, int r, int c, Value* value) {
  scopes_.back()[{v.index, r, c}] = value;
}

// The value at row r and vector c of the tile: a vector if it varies along the columns, else a
// scalar.
Value* KernelEmitter::get(ValueId v, int r, int c) {
  const uint32_t bits = varies(v);
  if (!by_row(bits)) r = -1;
  if (!by_column(bits)) c = -1;
  const Key key{v.index, r, c};
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const auto it = scope->find(key); it != scope->end()) return it->second;
  }
  Value* value = compute(v, r, c);
  scopes_.back()[key] = value;
  return value;
}

Value* KernelEmitter::compute(ValueId v, int r, int c) {
  const KernelOp* k = form_.find(v);
  if (!k) return load(access_of(v, form_.reads.at(v)), r, c);
  switch (k->role) {
    case Role::elementwise:
      return compute_elementwise(*k, r, c);
    case Role::gather:
      return compute_gather(*k, r, c);
    case Role::pad:
      return compute_pad(*k, r, c);
    case Role::copy:
      if (form_.find(k->op->operands[0])) {
        Value* x = get(k->op->operands[0], r, c);
        return c >= 0 ? lanes_of(x) : x;
      }
      if (def(*k->op).is(ir::Trait::reduction)) {  // folds axes of size 1 only
        return get(k->op->operands[0], r, c);
      }
      return load(access_of(v, k->axes, true), r, c);
    default:
      break;
  }
  SINTER_CHECK(false, "{} is read before it is complete", def(*k->op).name);
  return nullptr;
}

Value* KernelEmitter::compute_elementwise(const KernelOp& k, int r, int c) {
  const ir::Op& op = *k.op;
  const ir::Type& type = context_.func.type(op.result);
  ScalarContext scalar;
  std::vector<DType> dtypes;
  for (ValueId v : op.operands) {
    Value* x = get(v, r, c);
    scalar.operands.push_back(c >= 0 ? lanes_of(x) : x);
    dtypes.push_back(context_.func.type(v).dtype);
  }
  const bool lanes = c >= 0 && lanes_ > 1;
  scalar.lanes = lanes ? lanes_ : 0;
  scalar.has = context_.target.lane_features();
  scalar.rows = n_;
  const auto index_of = [&, r, c](int axis) -> Value* {
    const int domain_axis = k.axes[static_cast<size_t>(axis)];
    Value* index = domain_axis < 0 ? i64(0) : domain_index(domain_axis, r, c);
    return lanes ? lanes_of(index) : index;
  };
  scalar.index = index_of;
  scalar.linear_index = [&] {
    Value* at = lanes ? lanes_of(i64(0)) : i64(0);
    for (int axis = 0; axis < type.rank(); ++axis) {
      Value* size = extent(type.shape[static_cast<size_t>(axis)]);
      at = builder_.CreateMul(at, lanes ? lanes_of(size) : size);
      at = builder_.CreateAdd(at, index_of(axis));
    }
    return at;
  };
  const ir::ScalarProgram program = ir::scalar_program(op, dtypes, type.dtype);
  return emit_scalar_program(builder_, program, scalar);
}

// Rows of a table at an index. An index outside the table is clamped, so that no input makes
// compiled code read elsewhere; the trainer reports such an index before the call.
Value* KernelEmitter::compute_gather(const KernelOp& k, int r, int c) {
  const ValueId table = k.op->operands[0], index = k.op->operands[1];
  const auto table_row = static_cast<size_t>(form_.rank());  // an axis of the reader's, beside ours
  Access from = access_of(table, {form_.rank(), k.axes[1]});
  Value* row_stride = from.strides[table_row];
  from.strides.resize(table_row);
  if (!row_stride) return load(from, r, c);
  const bool along_columns = k.axes[0] == form_.columns_axis();
  Value* row = load(access_of(index, {k.axes[0]}), r, along_columns ? c : -1);
  llvm::Type* word = vector_of(builder_.getInt64Ty(), row->getType()->isVectorTy() ? lanes_ : 1);
  row = builder_.CreateSExtOrTrunc(row, word);
  Value* last = builder_.CreateSub(extent(context_.func.type(table).shape[0]), i64(1));
  if (word->isVectorTy()) last = lanes_of(last);
  Value* zero = llvm::Constant::getNullValue(word);
  row = builder_.CreateSelect(builder_.CreateICmpSLT(row, zero), zero, row);
  row = builder_.CreateSelect(builder_.CreateICmpSGT(row, last), last, row);
  llvm::Type* element = memory_type(llvm_context(), from.dtype);
  const auto at_row = [&](Value* number) {
    Access moved = from;
    moved.base = builder_.CreateGEP(element, from.base, builder_.CreateMul(number, row_stride));
    return moved;
  };
  if (!word->isVectorTy()) return load(at_row(row), r, c);
  Value* out = llvm::PoisonValue::get(vector_of(element_type(llvm_context(), from.dtype), lanes_));
  for (int i = 0; i < lanes_; ++i) {
    const auto lane = static_cast<uint64_t>(i);
    Value* one = load_scalar(at_row(builder_.CreateExtractElement(row, lane)), i64(0));
    out = builder_.CreateInsertElement(out, one, lane);
  }
  return out;
}

// Computes what varies along exactly these axes and is known in `phase`, so that it stands before
// the loops that follow.
void KernelEmitter::ask_for(uint32_t exactly, int phase) {
  // With one axis the columns are everything, with none everything comes from the root.
  if ((exactly != 0 && form_.rank() < 2) || (form_.rank() == 0 && form_.root)) return;
  const auto matches = [&](uint32_t bits) {
    if (exactly == 0) return bits == 0;
    if (exactly == form_.columns()) return bits == exactly;
    return bits != 0 && (bits & form_.columns()) == 0;
  };
  const auto each_vector = [&](ValueId v, uint32_t bits) {
    const int r = by_row(bits) ? 0 : -1;
    for (int c = 0; c < (by_column(bits) ? tile_.vectors : 1); ++c) {
      get(v, r, by_column(bits) ? c : -1);
    }
  };
  for (const auto& [v, axes] : form_.reads) {
    if (!form_.find(v) && matches(varies(v))) each_vector(v, varies(v));
  }
  for (const KernelOp& k : form_.ops) {
    const bool simple = k.role == Role::elementwise || k.role == Role::copy;
    if (simple && !k.late && k.phase <= phase && matches(k.varies)) {
      each_vector(k.op->result, k.varies);
    }
  }
}

// Where a value goes: the global it is assigned to, its place in the arena, results.
std::vector<KernelEmitter::Access> KernelEmitter::targets(const KernelOp& k) {
  const ir::Func& func = context_.func;
  const ValueId v = k.role == Role::assign ? k.op->operands[0] : k.op->result;
  const ir::Type& type = func.type(v);
  std::vector<Access> out;
  const auto add = [&](Value* base, const ir::Shape& dims) {
    out.push_back(make_access(base, type.dtype, dims, k.axes, form_.rank()));
    if (sum_parts(*k.op) == 1) return;
    Value* offset = builder_.CreateMul(part_, extent(dims, 1));
    Value*& at = out.back().base;
    at = builder_.CreateGEP(memory_type(llvm_context(), type.dtype), at, offset);
  };
  if (k.role == Role::assign) {
    add(entry_base(v), type.shape);
    return out;
  }
  for (int slot : context_.result_slots(v)) add(slot_base(slot), type.shape);
  if (func[v].storage) add(arena_base(func[v].storage->offset), func.stored_type(v).shape);
  return out;
}

// Stores of one phase (-1: all that are not late) that the tile at hand can make.
void KernelEmitter::emit_stores(int phase) {
  std::vector<const KernelOp*> sinks;
  for (const KernelOp& k : form_.ops) {
    if (k.late || (phase >= 0 && (store_phase(k) != phase || !by_column(k.varies)))) continue;
    if (k.role == Role::assign || is_output(k.op->result)) sinks.push_back(&k);
  }
  store_all(sinks);
}

void KernelEmitter::emit_late_stores() {
  std::vector<const KernelOp*> sinks;
  for (const KernelOp& k : form_.ops) {
    if (k.late && (k.role == Role::assign || is_output(k.op->result))) sinks.push_back(&k);
  }
  store_all(sinks);
}

// Element by element of the tile, first all values, then all stores: a value may read a global that
// another one updates at the same place. Values that do not vary along an axis are stored once.
void KernelEmitter::store_all(const std::vector<const KernelOp*>& sinks) {
  struct Sink {
    const KernelOp* k;
    ValueId value;
    std::vector<Access> to;
  };
  std::map<std::pair<bool, bool>, std::vector<Sink>> by_kind;
  for (const KernelOp* k : sinks) {
    const ValueId value = k->role == Role::assign ? k->op->operands[1] : k->op->result;
    by_kind[{by_row(k->varies), by_column(k->varies)}].push_back({k, value, targets(*k)});
  }
  for (auto& [kind, list] : by_kind) {
    const auto [rows, columns] = kind;
    Value* condition = builder_.getTrue();
    if (!rows) {
      condition = builder_.CreateAnd(condition, builder_.CreateICmpEQ(tile_.row, i64(0)));
    }
    if (!columns) {
      condition = builder_.CreateAnd(condition, builder_.CreateICmpEQ(tile_.column, i64(0)));
    }
    if_then(condition, [&, rows = rows, columns = columns] {
      for (int r = 0; r < (rows ? tile_.rows : 1); ++r) {
        for (int c = 0; c < (columns ? tile_.vectors : 1); ++c) {
          std::vector<Value*> values;
          for (const Sink& sink : list) {
            Value* x = get(sink.value, rows ? r : -1, columns ? c : -1);
            values.push_back(columns ? lanes_of(x) : x);
          }
          for (size_t i = 0; i < list.size(); ++i) {
            for (const Access& to : list[i].to) {
              store(to, values[i], rows ? r : -1, columns ? c : -1);
            }
          }
        }
      }
    });
  }
}

}  // namespace sinter::compiler
