// pad: a load where the operand has an element, a constant elsewhere. Nothing outside the operand
// is touched: lanes are masked, scalars are read at 0 and not used.
#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"

namespace sinter::compiler {

using ir::ValueId;
using llvm::Value;

Value* KernelEmitter::compute_pad(const KernelOp& k, int r, int c) {
  const ValueId x = k.op->operands[0];
  const auto padded = static_cast<size_t>(k.op->attrs.integer("axis"));
  const int64_t start = k.op->attrs.integer("start"), step = k.op->attrs.integer("step");
  const int64_t size = context_.func.type(x).shape[padded].scale;
  const int axis = k.axes[padded];
  // The padded axis is one of the reader's beside those of the domain: its index is worked out
  // here.
  AxisMap axes = k.axes;
  const auto own = static_cast<size_t>(form_.rank());
  axes[padded] = form_.rank();
  Access from = access_of(x, axes);
  Value* stride = from.strides[own];
  from.strides.resize(own);
  if (axis < 0) return load(from, r, c);

  const auto like = [&](Value* index, int64_t value) -> Value* {
    return index->getType()->isVectorTy() ? lanes_of(i64(value)) : i64(value);
  };
  const auto fill = [&](llvm::Type* type) -> Value* {
    const double value = k.op->attrs.real("value");
    if (is_float(from.dtype)) return llvm::ConstantFP::get(type, value);
    const int64_t whole = from.dtype == DType::boolean ? value != 0 : static_cast<int64_t>(value);
    return llvm::ConstantInt::getSigned(type, whole);
  };
  Value* at = domain_index(axis, r, c);
  Value* index = builder_.CreateSub(at, like(at, start));
  Value* inside = nullptr;
  if (step != 1) {
    inside = builder_.CreateICmpEQ(builder_.CreateSRem(index, like(at, step)), like(at, 0));
    index = builder_.CreateSDiv(index, like(at, step));
  }
  Value* range = builder_.CreateICmpULT(index, like(at, size));  // a negative one is huge
  inside = inside ? builder_.CreateAnd(inside, range) : range;
  const auto zero_outside = [&] { return builder_.CreateSelect(inside, index, like(at, 0)); };

  llvm::Type* element = memory_type(llvm_context(), from.dtype);
  if (!at->getType()->isVectorTy()) {
    if (stride) {
      Value* offset = builder_.CreateMul(zero_outside(), stride);
      from.base = builder_.CreateGEP(element, from.base, offset);
    }
    Value* value = load(from, r, c);
    return builder_.CreateSelect(inside, value, fill(value->getType()));
  }
  Value* row = r >= 0 ? builder_.CreateAdd(tile_.row, i64(r)) : tile_.row;
  Value* base = builder_.CreateGEP(element, from.base, row_offset(from, row));
  llvm::Type* wide = vector_of(element, lanes_);
  Value* out = nullptr;
  auto* unit = llvm::dyn_cast_or_null<llvm::ConstantInt>(stride);
  if (unit && unit->isOne() && step == 1) {
    Value* mask = mask_for(c) ? builder_.CreateAnd(inside, mask_for(c)) : inside;
    Value* first = builder_.CreateSub(column_of(c), i64(start));
    out = builder_.CreateMaskedLoad(wide, builder_.CreateGEP(element, base, first),
                                    llvm::Align(dtype_size(from.dtype)), mask, fill(wide));
  } else {
    Value* indices = zero_outside();
    out = llvm::PoisonValue::get(wide);
    for (int i = 0; i < lanes_; ++i) {
      const auto lane = static_cast<uint64_t>(i);
      Value* offset = builder_.CreateExtractElement(indices, lane);
      offset = stride ? builder_.CreateMul(offset, stride) : i64(0);
      Value* one = builder_.CreateLoad(element, builder_.CreateGEP(element, base, offset));
      out = builder_.CreateInsertElement(out, one, lane);
    }
    out = builder_.CreateSelect(inside, out, fill(wide));
  }
  if (from.dtype != DType::boolean) return out;
  return builder_.CreateICmpNE(out, llvm::Constant::getNullValue(wide));
}

}  // namespace sinter::compiler
