// Addresses, loads and stores.
#include <algorithm>

#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"
#include "compiler/llvm/math/vector_math.h"

namespace sinter::compiler {

using ir::Dim;
using ir::Shape;
using ir::ValueId;
using llvm::Value;

namespace {

bool is_constant(Value* v, int64_t wanted) {
  auto* c = llvm::dyn_cast_or_null<llvm::ConstantInt>(v);
  return c && c->getSExtValue() == wanted;
}

}  // namespace

Value* KernelEmitter::extent(const Dim& d) {
  return d.batch ? entry_.CreateMul(n_, i64(d.scale)) : i64(d.scale);
}

Value* KernelEmitter::extent(const Shape& shape, size_t from) {
  Value* out = i64(1);
  for (size_t i = from; i < shape.size(); ++i) {
    out = is_constant(out, 1) ? extent(shape[i]) : entry_.CreateMul(out, extent(shape[i]));
  }
  return out;
}

llvm::Type* KernelEmitter::vector_of(llvm::Type* element, int lanes) const {
  return lanes > 1 ? llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes)) : element;
}

Value* KernelEmitter::fma(Value* a, Value* x, Value* c) {
  return emit_fma(builder_, context_.target.fma, a, x, c);
}

Value* KernelEmitter::slot_base(int slot) {
  Value*& base = bases_[-1 - slot];
  if (!base) {
    llvm::Type* pointer = entry_.getPtrTy();
    base = entry_.CreateLoad(pointer, entry_.CreateGEP(pointer, buffers_, place(false, slot)));
  }
  return base;
}

Value* KernelEmitter::arena_base(int64_t offset) {
  return entry_.CreateGEP(entry_.getInt8Ty(), arena_, place(true, offset));
}

Value* KernelEmitter::place(bool in_arena, int64_t at) {
  if (!table_) return i64(at);
  Value*& known = placed_[{in_arena, at}];
  if (!known) {
    Value* where = entry_.CreateConstGEP1_64(entry_.getInt64Ty(), table_, places_.size());
    known = entry_.CreateLoad(entry_.getInt64Ty(), where);
    places_.push_back(at);
  }
  return known;
}

// Where the elements of a stored value begin.
Value* KernelEmitter::entry_base(ValueId v) {
  const ir::ValueInfo& info = context_.func[v];
  if (info.def != ir::ValueDef::op) return slot_base(context_.slot(v));
  if (info.storage) return arena_base(info.storage->offset);
  const std::vector<int> slots = context_.result_slots(v);
  SINTER_CHECK(!slots.empty(), "a value that is read has no memory");
  return slot_base(slots[0]);
}

KernelEmitter::Access KernelEmitter::make_access(Value* base, DType dtype, const Shape& dims,
                                                 const std::vector<int>& axes, int reader_axes) {
  Access out{base, dtype, std::vector<Value*>(static_cast<size_t>(reader_axes), nullptr)};
  for (size_t i = 0; i < dims.size(); ++i) {
    if (axes[i] < 0) continue;
    Value*& stride = out.strides[static_cast<size_t>(axes[i])];
    Value* step = extent(dims, i + 1);
    stride = stride ? entry_.CreateAdd(stride, step) : step;
  }
  return out;
}

// The dimensions by which a buffer is addressed, padding of rows included. A padded one is only
// read under its own shape.
Shape KernelEmitter::stored_dims(const BufferAccess& access) const {
  const ir::ValueInfo& info = context_.func[access.buffer];
  return info.storage && info.storage->pitch != 0 ? context_.func.stored_type(access.buffer).shape
                                                  : access.dims;
}

// Elements behind views, slices included: a slice moves the base and lengthens the strides.
KernelEmitter::Access KernelEmitter::make_access(const BufferAccess& found, int reader_axes) {
  const DType dtype = context_.func.type(found.buffer).dtype;
  const Shape dims = stored_dims(found);
  Access out = make_access(entry_base(found.buffer), dtype, dims, found.axes, reader_axes);
  Value* first = i64(0);
  bool steps = false;
  for (size_t i = 0; i < dims.size(); ++i) {
    steps |= found.steps[i] != 1;
    if (found.starts[i] == 0) continue;
    Value* offset = entry_.CreateMul(extent(dims, i + 1), i64(found.starts[i]));
    first = entry_.CreateAdd(first, offset);
  }
  if (!is_constant(first, 0)) {
    out.base = entry_.CreateGEP(memory_type(llvm_context(), dtype), out.base, first);
  }
  if (!steps) return out;
  std::fill(out.strides.begin(), out.strides.end(), nullptr);
  for (size_t i = 0; i < dims.size(); ++i) {
    if (found.axes[i] < 0) continue;
    Value*& stride = out.strides[static_cast<size_t>(found.axes[i])];
    Value* step = entry_.CreateMul(extent(dims, i + 1), i64(found.steps[i]));
    stride = stride ? entry_.CreateAdd(stride, step) : step;
  }
  return out;
}

// `axes` numbers the domain's axes, then those of a sum. `through_view` reads what a view shows
// instead of the view's own memory.
KernelEmitter::Access KernelEmitter::access_of(ValueId v, const AxisMap& axes, bool through_view) {
  int reader_axes = form_.rank();
  for (int a : axes) reader_axes = std::max(reader_axes, a + 1);
  reader_axes = std::max(reader_axes, form_.rank() + static_cast<int>(depth_dims_.size()));
  StoredSet hidden;
  const StoredSet* stored = &context_.values.stored;
  if (through_view && stored->count(v)) {
    hidden = *stored;
    hidden.erase(v);
    stored = &hidden;
  }
  const auto found = resolve_access(context_.func, context_.values.defs, *stored, v, axes);
  SINTER_CHECK(found.has_value(), "%{} has no memory to read", context_.func[v].name);
  return make_access(*found, reader_axes);
}

// Index along each row axis of the domain for a row number.
std::vector<Value*> KernelEmitter::row_indices(Value* row) {
  const int axes = form_.rank() - 1;
  std::vector<Value*> out(static_cast<size_t>(std::max(axes, 0)));
  for (int i = axes - 1; i >= 0; --i) {
    const auto at = static_cast<size_t>(i);
    if (i == 0) {
      out[at] = row;
    } else {
      Value* size = extent(form_.domain[at]);
      out[at] = builder_.CreateURem(row, size);
      row = builder_.CreateUDiv(row, size);
    }
  }
  return out;
}

Value* KernelEmitter::row_offset(const Access& access, Value* row) {
  Value* offset = i64(0);
  std::vector<Value*> indices;
  for (int axis = 0; axis + 1 < form_.rank(); ++axis) {
    Value* stride = access.strides[static_cast<size_t>(axis)];
    if (!stride) continue;
    if (indices.empty()) indices = row_indices(row);
    Value* step = builder_.CreateMul(indices[static_cast<size_t>(axis)], stride);
    offset = is_constant(offset, 0) ? step : builder_.CreateAdd(offset, step);
  }
  return offset;
}

Value* KernelEmitter::column_of(int c) {
  return builder_.CreateAdd(tile_.column, i64(static_cast<int64_t>(c) * lanes_));
}

Value* KernelEmitter::domain_index(int axis, int r, int c) {
  if (axis != form_.columns_axis()) {
    return row_indices(builder_.CreateAdd(tile_.row, i64(r)))[static_cast<size_t>(axis)];
  }
  Value* column = column_of(c);
  if (lanes_ == 1) return column;
  std::vector<llvm::Constant*> numbers;
  for (int i = 0; i < lanes_; ++i) numbers.push_back(builder_.getInt64(static_cast<uint64_t>(i)));
  return builder_.CreateAdd(lanes_of(column), llvm::ConstantVector::get(numbers));
}

Value* KernelEmitter::lanes_of(Value* x) {
  if (lanes_ == 1 || x->getType()->isVectorTy()) return x;
  return builder_.CreateVectorSplat(static_cast<unsigned>(lanes_), x);
}

Value* KernelEmitter::load(const Access& access, int r, int c) {
  Value* row = r >= 0 ? builder_.CreateAdd(tile_.row, i64(r)) : tile_.row;
  Value* offset = row_offset(access, row);
  Value* stride =
      form_.rank() > 0 ? access.strides[static_cast<size_t>(form_.columns_axis())] : nullptr;
  if (c < 0 || !stride) return load_scalar(access, offset);
  Value* column = column_of(c);
  offset = builder_.CreateAdd(offset, builder_.CreateMul(column, stride));
  return load_vector(access, offset, stride, lanes_, mask_for(c),
                     builder_.CreateSub(columns_, column));
}

Value* KernelEmitter::load_scalar(const Access& access, Value* offset) {
  llvm::Type* type = memory_type(llvm_context(), access.dtype);
  Value* x = builder_.CreateLoad(type, builder_.CreateGEP(type, access.base, offset));
  if (access.dtype != DType::boolean) return x;
  return builder_.CreateICmpNE(x, llvm::ConstantInt::get(type, 0));
}

// A vector of elements `column_stride` apart. Under a mask, lanes from `columns_left` on are not
// touched; what they hold means nothing.
Value* KernelEmitter::load_vector(const Access& access, Value* offset, Value* column_stride,
                                  int lanes, Value* mask, Value* columns_left) {
  if (lanes == 1) return load_scalar(access, offset);
  llvm::Type* element = memory_type(llvm_context(), access.dtype);
  llvm::Type* type = vector_of(element, lanes);
  const llvm::Align align(dtype_size(access.dtype));
  Value* x = nullptr;
  if (is_constant(column_stride, 1)) {
    Value* at = builder_.CreateGEP(element, access.base, offset);
    x = mask ? builder_.CreateMaskedLoad(type, at, align, mask, llvm::Constant::getNullValue(type))
             : static_cast<Value*>(builder_.CreateAlignedLoad(type, at, align));
  } else {
    x = llvm::PoisonValue::get(type);
    for (int i = 0; i < lanes; ++i) {
      Value* lane = i64(i);
      if (mask) {  // repeats the first element where there is none
        lane = builder_.CreateSelect(builder_.CreateICmpSLT(lane, columns_left), lane, i64(0));
      }
      Value* at = builder_.CreateAdd(offset, builder_.CreateMul(lane, column_stride));
      Value* one = builder_.CreateLoad(element, builder_.CreateGEP(element, access.base, at));
      x = builder_.CreateInsertElement(x, one, static_cast<uint64_t>(i));
    }
  }
  if (access.dtype != DType::boolean) return x;
  return builder_.CreateICmpNE(x, llvm::Constant::getNullValue(type));
}

void KernelEmitter::store(const Access& access, Value* value, int r, int c) {
  llvm::Type* element = memory_type(llvm_context(), access.dtype);
  Value* row = r >= 0 ? builder_.CreateAdd(tile_.row, i64(r)) : tile_.row;
  Value* offset = row_offset(access, row);
  const bool vector = value->getType()->isVectorTy();
  if (access.dtype == DType::boolean) {
    value = builder_.CreateZExt(value, vector ? vector_of(element, lanes_) : element);
  }
  Value* stride =
      form_.rank() > 0 ? access.strides[static_cast<size_t>(form_.columns_axis())] : nullptr;
  if (c >= 0 && stride) {
    offset = builder_.CreateAdd(offset, builder_.CreateMul(column_of(c), stride));
  }
  const llvm::Align align(dtype_size(access.dtype));
  Value* at = builder_.CreateGEP(element, access.base, offset);
  if (!vector) {
    builder_.CreateStore(value, at);
  } else if (Value* mask = mask_for(c)) {
    SINTER_CHECK(is_constant(stride, 1), "a store with a stride");
    builder_.CreateMaskedStore(value, at, align, mask);
  } else {
    SINTER_CHECK(is_constant(stride, 1), "a store with a stride");
    builder_.CreateAlignedStore(value, at, align);
  }
}

}  // namespace sinter::compiler
