// scatter_add: zeros, then each row added at its index, in order, by one thread. An index outside
// the result is clamped, as in a gather.
#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"

namespace sinter::compiler {

using ir::ValueId;
using llvm::Value;

void KernelEmitter::emit_scatter() {
  const ir::Func& func = context_.func;
  const ValueId rows = form_.root->operands[0], index = form_.root->operands[1];
  const ValueId result = form_.root->result;
  const ir::Type& type = func.type(result);
  lanes_ = context_.target.lanes(static_cast<int>(dtype_size(type.dtype)));
  const int by_row = 0, by_column = 1;  // the readers' axes here: the row read, the column
  const auto access = [&](ValueId v, const AxisMap& axes) {
    const auto found = resolve_access(func, context_.values, v, axes);
    SINTER_CHECK(found.has_value(), "scatter_add reads a value without memory");
    return make_access(*found, 2);
  };
  const Access from = access(rows, {by_row, by_column});
  const Access indices = access(index, {by_row});
  Value* width = extent(type.shape[1]);
  Value* last = builder_.CreateSub(extent(type.shape[0]), i64(1));
  llvm::Type* element = element_type(llvm_context(), type.dtype);
  llvm::Type* wide = vector_of(element, lanes_);
  const llvm::Align align(dtype_size(type.dtype));
  const auto stride_of = [&](const Access& a, int axis) {
    Value* stride = a.strides[static_cast<size_t>(axis)];
    return stride ? stride : i64(0);
  };
  // Calls body(column, mask) for every vector of a row.
  const auto along_row = [&](const std::function<void(Value*, Value*)>& body) {
    Carried none;
    Value* left = for_loop(i64(0), width, i64(lanes_), none,
                           [&](Value* column, Carried&) { body(column, nullptr); });
    Value* rest = builder_.CreateSub(width, left);
    if_then(builder_.CreateICmpSGT(rest, i64(0)), [&] { body(left, tail_mask(rest)); });
  };
  const auto store = [&](Value* value, Value* at, Value* mask) {
    if (mask) {
      builder_.CreateMaskedStore(value, at, align, mask);
    } else {
      builder_.CreateAlignedStore(value, at, align);
    }
  };
  // Where the result goes, and how far apart its rows lie there.
  std::vector<std::pair<Value*, Value*>> targets;
  for (int slot : context_.result_slots(result)) targets.emplace_back(slot_base(slot), width);
  if (func[result].storage) {
    targets.emplace_back(arena_base(func[result].storage->offset),
                         extent(func.stored_type(result).shape[1]));
  }
  Carried none;
  for (const auto& [base, pitch] : targets) {
    for_loop(i64(0), extent(type.shape[0]), i64(1), none,
             [&, base = base, pitch = pitch](Value* row, Carried&) {
               along_row([&](Value* column, Value* mask) {
                 Value* offset = builder_.CreateAdd(builder_.CreateMul(row, pitch), column);
                 store(llvm::Constant::getNullValue(wide),
                       builder_.CreateGEP(element, base, offset), mask);
               });
             });
    Value* count = extent(func.type(index).shape[0]);
    for_loop(i64(0), count, i64(1), none, [&, base = base, pitch = pitch](Value* i, Carried&) {
      Value* row = load_scalar(indices, builder_.CreateMul(i, stride_of(indices, by_row)));
      row = builder_.CreateSExtOrTrunc(row, builder_.getInt64Ty());
      row = builder_.CreateSelect(builder_.CreateICmpSLT(row, i64(0)), i64(0), row);
      row = builder_.CreateSelect(builder_.CreateICmpSGT(row, last), last, row);
      along_row([&](Value* column, Value* mask) {
        Value* offset = builder_.CreateAdd(builder_.CreateMul(row, pitch), column);
        Value* at = builder_.CreateGEP(element, base, offset);
        Value* zero = llvm::Constant::getNullValue(wide);
        Value* sum =
            mask ? static_cast<Value*>(builder_.CreateMaskedLoad(wide, at, align, mask, zero))
                 : static_cast<Value*>(builder_.CreateAlignedLoad(wide, at, align));
        Value* read = builder_.CreateAdd(builder_.CreateMul(i, stride_of(from, by_row)),
                                         builder_.CreateMul(column, stride_of(from, by_column)));
        Value* x = load_vector(from, read, stride_of(from, by_column), lanes_, mask,
                               builder_.CreateSub(width, column));
        store(is_float(type.dtype) ? builder_.CreateFAdd(sum, x) : builder_.CreateAdd(sum, x), at,
              mask);
      });
    });
  }
}

}  // namespace sinter::compiler
