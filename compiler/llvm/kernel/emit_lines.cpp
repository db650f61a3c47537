// cumsum and top_k: each line of an axis is one chain of steps, so lines are what threads share.
#include <functional>

#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"

namespace sinter::compiler {

using ir::ValueId;
using llvm::Value;

void KernelEmitter::emit_lines() {
  const ir::Func& func = context_.func;
  const ValueId x = form_.root->operands[0], result = form_.root->result;
  const DType dtype = func.type(result).dtype;
  const int rank = func.type(x).rank();
  const ir::AttrValue* attr = form_.root->attrs.find("axis");
  const auto axis =
      attr ? static_cast<size_t>(std::get<int64_t>(*attr)) : static_cast<size_t>(rank) - 1;
  AxisMap axes;
  for (int i = 0; i < rank; ++i) axes.push_back(i);
  const auto found = resolve_access(func, context_.values, x, axes);
  SINTER_CHECK(found.has_value(), "a line is read from a value without memory");
  Access from = make_access(*found, rank);
  for (Value*& stride : from.strides) stride = stride ? stride : i64(0);
  std::vector<Access> targets;
  for (int slot : context_.result_slots(result)) {
    targets.push_back(make_access(slot_base(slot), dtype, func.type(result).shape, axes, rank));
  }
  if (func[result].storage) {
    targets.push_back(make_access(arena_base(func[result].storage->offset), dtype,
                                  func.stored_type(result).shape, axes, rank));
  }

  ir::Shape lines = func.type(x).shape;
  lines[axis] = ir::Dim{1};
  const auto [begin, end] = shard(extent(lines, 0));
  Carried none;
  for_loop(begin, end, i64(1), none, [&](Value* line, Carried&) {
    std::vector<Value*> indices(lines.size(), i64(0));
    for (size_t i = lines.size(); i-- > 0;) {
      Value* size = extent(lines[i]);
      indices[i] = builder_.CreateURem(line, size);
      line = builder_.CreateUDiv(line, size);
    }
    const auto first_of = [&](const Access& access) {
      Value* offset = i64(0);
      for (size_t i = 0; i < lines.size(); ++i) {
        offset = builder_.CreateAdd(offset, builder_.CreateMul(indices[i], access.strides[i]));
      }
      return offset;
    };
    for (const Access& to : targets) {
      if (form_.root->kind == ir::OpKind::cumsum) {
        line_of_sums(from, first_of(from), to, first_of(to));
      } else {
        line_of_largest(from, first_of(from), to, first_of(to));
      }
    }
  });
}

// Adds up a line from `offset` on and writes it from `at` on.
void KernelEmitter::line_of_sums(const Access& from, Value* offset, const Access& to, Value* at) {
  const ir::Type& type = context_.func.type(form_.root->result);
  const auto axis = static_cast<size_t>(form_.root->attrs.integer("axis"));
  llvm::Type* element = element_type(llvm_context(), type.dtype);
  Value* length = extent(type.shape[axis]);
  Value* last = builder_.CreateSub(length, i64(1));
  const bool reverse = form_.root->attrs.flag("reverse");
  Carried sum{llvm::Constant::getNullValue(element)};
  for_loop(i64(0), length, i64(1), sum, [&](Value* i, Carried& s) {
    if (reverse) i = builder_.CreateSub(last, i);
    Value* x =
        load_scalar(from, builder_.CreateAdd(offset, builder_.CreateMul(i, from.strides[axis])));
    s[0] = is_float(type.dtype) ? builder_.CreateFAdd(s[0], x) : builder_.CreateAdd(s[0], x);
    Value* place = builder_.CreateAdd(at, builder_.CreateMul(i, to.strides[axis]));
    builder_.CreateStore(s[0], builder_.CreateGEP(element, to.base, place));
  });
}

// Keeps the k largest of the elements seen so far in order, as indices in the result: an element
// that is larger than one of them takes its place and moves the ones behind it on by one.
void KernelEmitter::line_of_largest(const Access& from, Value* offset, const Access& to,
                                    Value* at) {
  const ir::Type& type = context_.func.type(form_.root->operands[0]);
  const size_t axis = type.shape.size() - 1;
  llvm::Type* word = builder_.getInt64Ty();
  Value* k = i64(form_.root->attrs.integer("k"));
  const auto place = [&](Value* p) {
    return builder_.CreateGEP(word, to.base, builder_.CreateAdd(at, p));
  };
  const auto element = [&](Value* index) {
    return load_scalar(from,
                       builder_.CreateAdd(offset, builder_.CreateMul(index, from.strides[axis])));
  };
  const auto larger = [&](Value* a, Value* b) {
    if (!is_float(type.dtype)) return builder_.CreateICmpSGT(a, b);
    Value* nan = builder_.CreateAnd(builder_.CreateFCmpUNO(a, a), builder_.CreateFCmpORD(b, b));
    return builder_.CreateOr(builder_.CreateFCmpOGT(a, b), nan);
  };
  Carried none;
  for_loop(i64(0), extent(type.shape[axis]), i64(1), none, [&](Value* i, Carried&) {
    Value* x = element(i);
    Value* open = builder_.CreateICmpSLT(i, k);  // fewer than k were seen
    Value* held = builder_.CreateSelect(open, i, k);
    // While places are open the first element is read in vain; it is there.
    Value* least = builder_.CreateSelect(open, i64(0), builder_.CreateSub(k, i64(1)));
    Value* first = builder_.CreateSelect(builder_.CreateICmpEQ(i, i64(0)), i64(0),
                                         builder_.CreateLoad(word, place(least)));
    Value* enters = builder_.CreateOr(open, larger(x, element(first)));
    if_then(enters, [&] {
      Carried moving{i, x, builder_.getFalse()};
      for_loop(i64(0), held, i64(1), moving, [&](Value* p, Carried& m) {
        Value* there = builder_.CreateLoad(word, place(p));
        Value* y = element(there);
        m[2] = builder_.CreateOr(m[2], larger(m[1], y));
        builder_.CreateStore(builder_.CreateSelect(m[2], m[0], there), place(p));
        m[0] = builder_.CreateSelect(m[2], there, m[0]);
        m[1] = builder_.CreateSelect(m[2], y, m[1]);
      });
      if_then(open, [&] { builder_.CreateStore(moving[0], place(i)); });
    });
  });
}

}  // namespace sinter::compiler
