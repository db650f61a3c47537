#include "compiler/llvm/emit_scalar.h"

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/Module.h>

#include <sinter/error.h>

#include "compiler/llvm/math/vector_math.h"

namespace sinter::compiler {

using ir::Prim;
using ir::ScalarNode;
using llvm::IRBuilder;
using llvm::Value;

llvm::Type* element_type(llvm::LLVMContext& context, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return llvm::Type::getFloatTy(context);
    case DType::f64:
      return llvm::Type::getDoubleTy(context);
    case DType::i32:
      return llvm::Type::getInt32Ty(context);
    case DType::i64:
      return llvm::Type::getInt64Ty(context);
    case DType::boolean:
      return llvm::Type::getInt1Ty(context);
  }
  return nullptr;
}

llvm::Type* memory_type(llvm::LLVMContext& context, DType dtype) {
  return dtype == DType::boolean ? llvm::Type::getInt8Ty(context) : element_type(context, dtype);
}

namespace {

class Emitter {
 public:
  Emitter(IRBuilder<>& b, const ir::ScalarProgram& program, const ScalarContext& context)
      : b_(b), program_(program), c_(context) {}

  Value* run() {
    for (const ScalarNode& node : program_.nodes) values_.push_back(emit(node));
    return values_[static_cast<size_t>(program_.result)];
  }

 private:
  Value* at(int i) const { return values_[static_cast<size_t>(i)]; }
  DType dtype(int i) const { return program_.nodes[static_cast<size_t>(i)].dtype; }
  llvm::Type* type(DType d) const {
    llvm::Type* element = element_type(b_.getContext(), d);
    return c_.lanes ? llvm::FixedVectorType::get(element, static_cast<unsigned>(c_.lanes))
                    : element;
  }

  Value* emit(const ScalarNode& node) {
    const bool real = is_float(node.a >= 0 ? dtype(node.a) : node.dtype);
    switch (node.prim) {
      case Prim::operand:
        return c_.operands[static_cast<size_t>(node.index)];
      case Prim::constant:
        return is_float(node.dtype)
                   ? llvm::ConstantFP::get(type(node.dtype), node.real)
                   : llvm::ConstantInt::get(type(node.dtype), static_cast<uint64_t>(node.integer));
      case Prim::index:
        return c_.index(node.index);
      case Prim::linear_index:
        return c_.linear_index();
      case Prim::rows:
        return c_.lanes ? b_.CreateVectorSplat(static_cast<unsigned>(c_.lanes), c_.rows) : c_.rows;
      case Prim::add:
        return real ? b_.CreateFAdd(at(node.a), at(node.b)) : b_.CreateAdd(at(node.a), at(node.b));
      case Prim::sub:
        return real ? b_.CreateFSub(at(node.a), at(node.b)) : b_.CreateSub(at(node.a), at(node.b));
      case Prim::mul:
        return real ? b_.CreateFMul(at(node.a), at(node.b)) : b_.CreateMul(at(node.a), at(node.b));
      case Prim::div:
        return real ? quotient(at(node.a), at(node.b)) : divide(at(node.a), at(node.b));
      case Prim::neg:
        return real ? b_.CreateFNeg(at(node.a)) : b_.CreateNeg(at(node.a));
      case Prim::exp:
        return transcendental(node, emit_exp, "exp");
      case Prim::log:
        return transcendental(node, emit_log, "log");
      case Prim::log1p:
        return transcendental(node, emit_log1p, "log1p");
      case Prim::tanh:
        return transcendental(node, emit_tanh, "tanh");
      case Prim::sin:
        return transcendental(node, emit_sin, "sin");
      case Prim::cos:
        return transcendental(node, emit_cos, "cos");
      case Prim::erf:
        return transcendental(node, emit_erf, "erf");
      case Prim::pow:
        return node.dtype == DType::f32 ? emit_pow(b_, c_.has, at(node.a), at(node.b))
                                        : call_libm("pow", {at(node.a), at(node.b)});
      case Prim::floor:
        return emit_floor(b_, c_.has, at(node.a));
      case Prim::round:
        return emit_round(b_, c_.has, at(node.a));
      case Prim::sqrt:
        return b_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, at(node.a));
      case Prim::equal:
        return real ? b_.CreateFCmpOEQ(at(node.a), at(node.b))
                    : b_.CreateICmpEQ(at(node.a), at(node.b));
      case Prim::less:
        return real ? b_.CreateFCmpOLT(at(node.a), at(node.b)) : integer_less(node, false);
      case Prim::less_equal:
        return real ? b_.CreateFCmpOLE(at(node.a), at(node.b)) : integer_less(node, true);
      case Prim::select:
        return b_.CreateSelect(at(node.a), at(node.b), at(node.c));
      case Prim::cast:
        return cast(at(node.a), dtype(node.a), node.dtype);
      case Prim::bit_and:
        return b_.CreateAnd(at(node.a), at(node.b));
      case Prim::bit_xor:
        return b_.CreateXor(at(node.a), at(node.b));
      case Prim::shift_right:
        return b_.CreateLShr(at(node.a), at(node.b));
    }
    SINTER_CHECK(false, "unknown primitive");
    return nullptr;
  }

  // false < true, which a signed comparison of single bits would turn round.
  Value* integer_less(const ScalarNode& node, bool or_equal) {
    Value *x = at(node.a), *y = at(node.b);
    if (dtype(node.a) == DType::boolean) {
      return or_equal ? b_.CreateICmpULE(x, y) : b_.CreateICmpULT(x, y);
    }
    return or_equal ? b_.CreateICmpSLE(x, y) : b_.CreateICmpSLT(x, y);
  }

  // LLVM 19 takes lanes in which both operands are known to be zero, as lanes behind a tail mask
  // are, for zero in the quotient too, and drops the mask that follows: they are NaN. What is
  // frozen is not known to be anything.
  Value* quotient(Value* x, Value* y) {
    const bool vector = y->getType()->isVectorTy() && !llvm::isa<llvm::Constant>(y);
    return b_.CreateFDiv(x, vector ? b_.CreateFreeze(y) : y);
  }

  // x / 0 is 0, and the smallest integer / -1 wraps: neither may trap.
  Value* divide(Value* x, Value* y) {
    llvm::Type* t = x->getType();
    Value* zero = llvm::ConstantInt::get(t, 0);
    Value* one = llvm::ConstantInt::get(t, 1);
    Value* minus = llvm::ConstantInt::getSigned(t, -1);
    Value* by_zero = b_.CreateICmpEQ(y, zero);
    Value* by_minus = b_.CreateICmpEQ(y, minus);
    Value* safe = b_.CreateSelect(b_.CreateOr(by_zero, by_minus), one, y);
    Value* quotient = b_.CreateSDiv(x, safe);
    quotient = b_.CreateSelect(by_minus, b_.CreateNeg(x), quotient);
    return b_.CreateSelect(by_zero, zero, quotient);
  }

  template <class F>
  Value* transcendental(const ScalarNode& node, F polynomial, const char* libm) {
    Value* x = at(node.a);
    return node.dtype == DType::f32 ? polynomial(b_, c_.has, x) : call_libm(libm, {x});
  }

  // A function of doubles, lane by lane.
  Value* call_libm(const char* name, const std::vector<Value*>& operands) {
    llvm::Type* real = b_.getDoubleTy();
    const std::vector<llvm::Type*> types(operands.size(), real);
    llvm::FunctionCallee callee = b_.GetInsertBlock()->getModule()->getOrInsertFunction(
        name, llvm::FunctionType::get(real, types, false));
    if (!c_.lanes) return b_.CreateCall(callee, operands);
    Value* out = llvm::PoisonValue::get(operands[0]->getType());
    for (int i = 0; i < c_.lanes; ++i) {
      const auto lane = static_cast<uint64_t>(i);
      std::vector<Value*> one;
      for (Value* x : operands) one.push_back(b_.CreateExtractElement(x, lane));
      out = b_.CreateInsertElement(out, b_.CreateCall(callee, one), lane);
    }
    return out;
  }

  Value* cast(Value* x, DType from, DType to) {
    llvm::Type* t = type(to);
    if (from == to) return x;
    if (to == DType::boolean) {
      return is_float(from) ? b_.CreateFCmpUNE(x, llvm::ConstantFP::get(x->getType(), 0.0))
                            : b_.CreateICmpNE(x, llvm::ConstantInt::get(x->getType(), 0));
    }
    if (from == DType::boolean) {
      return is_float(to) ? b_.CreateUIToFP(x, t) : b_.CreateZExt(x, t);
    }
    if (is_float(from) && is_float(to)) return b_.CreateFPCast(x, t);
    if (is_float(from)) {
      // Saturates, and NaN becomes 0.
      return b_.CreateIntrinsic(llvm::Intrinsic::fptosi_sat, {t, x->getType()}, {x});
    }
    if (is_float(to)) return b_.CreateSIToFP(x, t);
    return b_.CreateSExtOrTrunc(x, t);
  }

  IRBuilder<>& b_;
  const ir::ScalarProgram& program_;
  const ScalarContext& c_;
  std::vector<Value*> values_;
};

}  // namespace

void emit_prefetch(IRBuilder<>& b, Value* first, int64_t bytes, bool written) {
  for (int64_t line = 0; line < bytes; line += cache_line) {
    Value* at = b.CreateConstGEP1_64(b.getInt8Ty(), first, static_cast<uint64_t>(line));
    b.CreateIntrinsic(llvm::Intrinsic::prefetch, {at->getType()},
                      {at, b.getInt32(written), b.getInt32(3), b.getInt32(1)});
  }
}

Value* emit_scalar_program(IRBuilder<>& b, const ir::ScalarProgram& program,
                           const ScalarContext& context) {
  return Emitter(b, program, context).run();
}

}  // namespace sinter::compiler
