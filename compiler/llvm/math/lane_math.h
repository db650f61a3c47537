// The vocabulary in which compiler/llvm writes its own elementary functions.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

#include "compiler/llvm/math/vector_math.h"

namespace sinter::compiler {

// Constants and polynomials for one operand type: a float, a double, or a vector of them.
class LaneMath {
 public:
  using Value = llvm::Value;

  LaneMath(llvm::IRBuilder<>& b, LaneFeatures has, Value* x) : LaneMath(b, has, x->getType()) {}
  LaneMath(llvm::IRBuilder<>& b, LaneFeatures has, llvm::Type* type)
      : b(b),
        has_(has),
        type_(type),
        int_(type->getWithNewType(b.getIntNTy(type->getScalarSizeInBits()))) {}

  Value* real(double v) const { return llvm::ConstantFP::get(type_, v); }
  Value* integer(int64_t v) const {
    return llvm::ConstantInt::get(int_, static_cast<uint64_t>(v), true);
  }
  Value* fma(Value* a, Value* x, Value* c) const { return emit_fma(b, has_.fma, a, x, c); }
  // Horner's rule, highest coefficient first.
  Value* polynomial(Value* x, std::initializer_list<double> coefficients) const {
    Value* out = nullptr;
    for (double c : coefficients) out = out ? fma(out, x, real(c)) : real(c);
    return out;
  }
  Value* bits(Value* x) const { return b.CreateBitCast(x, int_); }
  Value* number(Value* x) const { return b.CreateBitCast(x, type_); }
  // NaN fails the comparison and passes through.
  Value* at_most(Value* x, double limit) const {
    return b.CreateSelect(b.CreateFCmpOGT(x, real(limit)), real(limit), x);
  }
  Value* at_least(Value* x, double limit) const {
    return b.CreateSelect(b.CreateFCmpOLT(x, real(limit)), real(limit), x);
  }

  Value* absolute(Value* x) const { return b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x); }
  Value* with_sign_of(Value* size, Value* x) const {
    return b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, size, x);
  }
  Value* is_nan(Value* x) const { return b.CreateFCmpUNO(x, x); }
  llvm::Type* type() const { return type_; }
  // As many doubles.
  LaneMath wide() const { return {b, has_, type_->getWithNewType(b.getDoubleTy())}; }
  Value* widen(Value* x) const { return b.CreateFPExt(x, wide().type_); }
  Value* narrow(Value* x) const { return b.CreateFPTrunc(x, type_); }
  // The nearest integer of a small number, and its low bits in an integer of the same width: adding
  // 1.5 times the number whose units are ones leaves them there.
  struct Rounded {
    Value *value, *bits;
  };
  Rounded rounded(Value* x) const {
    Value* magic = real(type_->getScalarType()->isFloatTy() ? 0x1.8p23 : 0x1.8p52);
    Value* shifted = b.CreateFAdd(x, magic);
    return {b.CreateFSub(shifted, magic), b.CreateSub(bits(shifted), bits(magic))};
  }

  // table[index modulo 16] of each lane, floats: AVX-512 only.
  using Table = std::array<float, 16>;
  Value* lookup(const Table& table, Value* index) const;

  llvm::IRBuilder<>& b;

 private:
  LaneFeatures has_;
  llvm::Type* type_;
  llvm::Type* int_;
};

}  // namespace sinter::compiler
