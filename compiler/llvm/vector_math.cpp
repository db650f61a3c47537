#include "compiler/llvm/vector_math.h"

#include <llvm/IR/Intrinsics.h>

#include <initializer_list>
#include <limits>

namespace sinter::compiler {

using llvm::IRBuilder;
using llvm::Value;

namespace {

// Constants and polynomials for one operand type, float or a vector of floats.
class Math {
 public:
  Math(IRBuilder<>& b, bool fused, Value* x) : b(b), fused_(fused), type_(x->getType()) {
    int_ = type_->getWithNewType(b.getInt32Ty());
  }

  Value* real(double v) const { return llvm::ConstantFP::get(type_, v); }
  Value* integer(int64_t v) const {
    return llvm::ConstantInt::get(int_, static_cast<uint64_t>(v), true);
  }
  Value* fma(Value* a, Value* x, Value* c) const { return emit_fma(b, fused_, a, x, c); }
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

  IRBuilder<>& b;

 private:
  bool fused_;
  llvm::Type* type_;
  llvm::Type* int_;
};

}  // namespace

Value* emit_fma(IRBuilder<>& b, bool fused, Value* a, Value* x, Value* c) {
  if (!fused) return b.CreateFAdd(b.CreateFMul(a, x), c);
  return b.CreateIntrinsic(llvm::Intrinsic::fma, {a->getType()}, {a, x, c});
}

// exp(x) = 2^k * exp(r), k = round(x / ln 2), |r| <= ln(2)/2, with a minimax polynomial for exp(r)
// (Cephes, S. Moshier). ln 2 is subtracted in two parts, and 2^k applied in two halves so that
// results near the largest float do not overflow early.
Value* emit_exp(IRBuilder<>& b, bool fused, Value* x) {
  const Math m(b, fused, x);
  x = m.at_least(m.at_most(x, 89.0), -104.0);
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  Value* magic = m.real(12582912.0);
  Value* shifted = m.fma(x, m.real(1.44269504088896341), magic);
  Value* k = b.CreateFSub(shifted, magic);
  Value* r = m.fma(k, m.real(-0.693359375), x);
  r = m.fma(k, m.real(2.12194440e-4), r);
  Value* p = m.polynomial(r, {1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2,
                              1.6666665459e-1, 5.0000001201e-1});
  p = b.CreateFAdd(m.fma(p, b.CreateFMul(r, r), r), m.real(1.0));
  Value* power = b.CreateSub(m.bits(shifted), m.bits(magic));
  Value* half = b.CreateAShr(power, m.integer(1));
  const auto two_to = [&](Value* e) {
    return m.number(b.CreateShl(b.CreateAdd(e, m.integer(127)), m.integer(23)));
  };
  return b.CreateFMul(b.CreateFMul(p, two_to(half)), two_to(b.CreateSub(power, half)));
}

// log(x) = log(f) + e ln 2 for x = f * 2^e, sqrt(1/2) <= f < sqrt(2), with a minimax polynomial for
// log(1 + (f - 1)) (Cephes, S. Moshier).
Value* emit_log(IRBuilder<>& b, bool fused, Value* x) {
  const Math m(b, fused, x);
  constexpr int64_t sqrt_half = 0x3f3504f3;
  Value* shifted = b.CreateSub(m.bits(x), m.integer(sqrt_half));
  Value* exponent = b.CreateSIToFP(b.CreateAShr(shifted, m.integer(23)), x->getType());
  Value* fraction = b.CreateAnd(shifted, m.integer(0x007fffff));
  fraction = m.number(b.CreateAdd(fraction, m.integer(sqrt_half)));
  Value* f = b.CreateFSub(fraction, m.real(1.0));
  Value* f2 = b.CreateFMul(f, f);
  Value* p = m.polynomial(f, {7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1,
                              1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1,
                              3.3333331174e-1});
  p = b.CreateFMul(b.CreateFMul(p, f), f2);
  p = m.fma(exponent, m.real(-2.12194440e-4), p);
  p = m.fma(f2, m.real(-0.5), p);
  Value* out = m.fma(exponent, m.real(0.693359375), b.CreateFAdd(f, p));
  const double inf = std::numeric_limits<double>::infinity();
  // Zero (and what counts as zero), negative numbers, infinity and NaN.
  out = b.CreateSelect(b.CreateFCmpOLT(x, m.real(1.17549435e-38)), m.real(-inf), out);
  out = b.CreateSelect(b.CreateFCmpOLT(x, m.real(0.0)),
                       m.real(std::numeric_limits<double>::quiet_NaN()), out);
  Value* special = b.CreateOr(b.CreateFCmpOEQ(x, m.real(inf)), b.CreateFCmpUNO(x, x));
  return b.CreateSelect(special, x, out);
}

// Near zero an odd polynomial (Cephes, S. Moshier), elsewhere 1 - 2 / (exp(2|x|) + 1).
Value* emit_tanh(IRBuilder<>& b, bool fused, Value* x) {
  const Math m(b, fused, x);
  Value* z = b.CreateFMul(x, x);
  Value* p = m.polynomial(z, {-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2,
                              1.33314422036e-1, -3.33332819422e-1});
  Value* small = m.fma(b.CreateFMul(p, z), x, x);
  Value* size = b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x);
  Value* e = emit_exp(b, fused, b.CreateFAdd(size, size));
  Value* large = b.CreateFDiv(m.real(2.0), b.CreateFAdd(e, m.real(1.0)));
  large = b.CreateFSub(m.real(1.0), large);
  large = b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, large, x);
  return b.CreateSelect(b.CreateFCmpOLT(size, m.real(0.625)), small, large);
}

}  // namespace sinter::compiler
