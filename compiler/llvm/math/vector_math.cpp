#include "compiler/llvm/math/vector_math.h"

#include <limits>

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <llvm/IR/Module.h>
#include <llvm/TargetParser/Triple.h>

#include "compiler/llvm/math/lane_math.h"

namespace sinter::compiler {

using llvm::IRBuilder;
using llvm::Value;

Value* emit_fma(IRBuilder<>& b, bool fused, Value* a, Value* x, Value* c) {
  if (!fused) return b.CreateFAdd(b.CreateFMul(a, x), c);
  return b.CreateIntrinsic(llvm::Intrinsic::fma, {a->getType()}, {a, x, c});
}

namespace {

// Whether the processor multiplies these vectors by powers of two: only AVX-512 has 16 lanes.
bool has_scalef(IRBuilder<>& b, llvm::Type* type) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type);
  return vector && vector->getNumElements() == 16 && vector->getElementType()->isFloatTy() &&
         llvm::Triple(b.GetInsertBlock()->getModule()->getTargetTriple()).isX86();
}

}  // namespace

// exp(x) = 2^k * exp(r), k = round(x / ln 2), |r| <= ln(2)/2, with a minimax polynomial for exp(r)
// (Cephes, S. Moshier). ln 2 is subtracted in two parts, and 2^k applied in two halves so that
// results near the largest float do not overflow early.
Value* emit_exp(IRBuilder<>& b, bool fused, Value* x) {
  const LaneMath m(b, fused, x);
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
  if (has_scalef(b, x->getType())) {  // the same, in one instruction
    return b.CreateIntrinsic(
        llvm::Intrinsic::x86_avx512_mask_scalef_ps_512, {},
        {p, k, llvm::Constant::getNullValue(x->getType()), b.getInt16(0xFFFF), b.getInt32(4)});
  }
  Value* power = b.CreateSub(m.bits(shifted), m.bits(magic));
  Value* half = b.CreateAShr(power, m.integer(1));
  const auto two_to = [&](Value* e) {
    return m.number(b.CreateShl(b.CreateAdd(e, m.integer(127)), m.integer(23)));
  };
  return b.CreateFMul(b.CreateFMul(p, two_to(half)), two_to(b.CreateSub(power, half)));
}

namespace {

// log(x) + addend for x = f * 2^e, sqrt(1/2) <= f < sqrt(2), as log(f) + e ln 2, with a minimax
// polynomial for log(1 + (f - 1)) (Cephes, S. Moshier). The addend, if any, is small.
Value* log_of_normal(const LaneMath& m, Value* x, Value* addend) {
  IRBuilder<>& b = m.b;
  constexpr int64_t sqrt_half = 0x3f3504f3;
  Value* shifted = b.CreateSub(m.bits(x), m.integer(sqrt_half));
  Value* exponent = b.CreateSIToFP(b.CreateAShr(shifted, m.integer(23)), x->getType());
  Value* fraction = b.CreateAnd(shifted, m.integer(0x007fffff));
  fraction = m.number(b.CreateAdd(fraction, m.integer(sqrt_half)));
  Value* f = b.CreateFSub(fraction, m.real(1.0));
  Value* f2 = b.CreateFMul(f, f);
  Value* p = m.polynomial(
      f, {7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
          -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1});
  p = b.CreateFMul(b.CreateFMul(p, f), f2);
  p = m.fma(exponent, m.real(-2.12194440e-4), p);
  p = m.fma(f2, m.real(-0.5), p);
  if (addend) p = b.CreateFAdd(p, addend);
  return m.fma(exponent, m.real(0.693359375), b.CreateFAdd(f, p));
}

// `out`, but -inf where x is `pole`, NaN below, and x itself where it is infinite or NaN.
Value* with_log_limits(const LaneMath& m, Value* x, Value* is_pole, double pole, Value* out) {
  IRBuilder<>& b = m.b;
  const double inf = std::numeric_limits<double>::infinity();
  out = b.CreateSelect(is_pole, m.real(-inf), out);
  out = b.CreateSelect(b.CreateFCmpOLT(x, m.real(pole)),
                       m.real(std::numeric_limits<double>::quiet_NaN()), out);
  Value* special = b.CreateOr(b.CreateFCmpOEQ(x, m.real(inf)), m.is_nan(x));
  return b.CreateSelect(special, x, out);
}

}  // namespace

Value* emit_log(IRBuilder<>& b, bool fused, Value* x) {
  const LaneMath m(b, fused, x);
  Value* out = log_of_normal(m, x, nullptr);
  // What is smaller than the smallest normal number counts as zero.
  return with_log_limits(m, x, b.CreateFCmpOLT(x, m.real(1.17549435e-38)), 0, out);
}

// log(u) + (1 + x - u) / u, where u is 1 + x rounded: what rounding took away comes back in the
// first order. The difference is exact (Knuth 1998, section 4.2.2, theorem B).
Value* emit_log1p(IRBuilder<>& b, bool fused, Value* x) {
  const LaneMath m(b, fused, x);
  Value* one = m.real(1.0);
  Value* u = b.CreateFAdd(one, x);
  Value* part = b.CreateFSub(u, one);
  Value* lost = b.CreateFAdd(b.CreateFSub(one, b.CreateFSub(u, part)), b.CreateFSub(x, part));
  Value* out = log_of_normal(m, u, b.CreateFDiv(lost, u));
  return with_log_limits(m, x, b.CreateFCmpOEQ(x, m.real(-1.0)), -1, out);
}

// |x| = u + k ln 2, t = tanh(u) by a minimax polynomial, and with e = 4^k the addition theorem
//   tanh(|x|) = (e - 1 + (e + 1) t) / (e + 1 + (e - 1) t).
// k is 0 up to 0.567, where the quotient is t / 1 and rounds nothing, and u is not far below zero
// elsewhere, so that the numerator loses nothing. The denominator is written as numerator + 2 (1 -
// t): what was rounded off the one then stands in the other as well. From 9.2 on tanh is 1 in f32.
Value* emit_tanh(IRBuilder<>& b, bool fused, Value* x) {
  const LaneMath m(b, fused, x);
  Value* size = m.at_most(m.absolute(x), 9.2);
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  Value* magic = m.real(0x1.8p23);
  Value* shifted = m.fma(b.CreateFSub(size, m.real(0.22)), m.real(1.44269504088896341), magic);
  Value* k = b.CreateFSub(shifted, magic);
  Value* u = m.fma(k, m.real(-0.693359375), size);
  u = m.fma(k, m.real(2.12194440e-4), u);
  Value* u2 = b.CreateFMul(u, u);
  Value* t = m.polynomial(u2, {-6.148015148937702e-3, 2.0985182374715805e-2, -5.383211374282837e-2,
                               1.333240270614624e-1, -3.333331346511841e-1});
  t = m.fma(t, b.CreateFMul(u, u2), u);
  // The bits of `magic` itself are shifted out.
  Value* power = b.CreateShl(m.bits(shifted), m.integer(24));
  Value* e = m.number(b.CreateAdd(power, m.bits(m.real(1.0))));
  Value* above = m.fma(b.CreateFAdd(e, m.real(1.0)), t, b.CreateFSub(e, m.real(1.0)));
  Value* below = b.CreateFAdd(above, m.fma(t, m.real(-2.0), m.real(2.0)));
  return m.with_sign_of(b.CreateFDiv(above, below), x);
}

// Near zero x + x p(x^2), elsewhere 1 - exp(-q(|x|)): p and q are minimax fits of erf(x)/x - 1 and
// of -log(erfc(x)), within 2^-31 of erf and 2^-34 of 1. From 4 on erf is 1 in f32.
Value* emit_erf(IRBuilder<>& b, bool fused, Value* x) {
  const LaneMath m(b, fused, x);
  Value* p = m.polynomial(b.CreateFMul(x, x),
                          {8.3331958687e-5, -8.133944743e-4, 5.200257528e-3, -2.6859084742e-2,
                           1.1283689809e-1, -3.7612633362e-1, 1.283791666e-1});
  Value* small = m.fma(x, p, x);
  Value* size = m.absolute(x);
  if (!fused) {
    // Here x p may be flushed to zero although x + x p is no denormal.
    Value* tiny = b.CreateFCmpOLT(size, m.real(0x1p-100));
    small = b.CreateSelect(tiny, b.CreateFMul(x, m.real(1.1283791671)), small);
  }
  Value* q = m.polynomial(m.at_most(size, 4.0),
                          {2.125045758e-5, -4.3624618516e-4, 4.1796393361e-3, -2.5141835062e-2,
                           1.0831446442e-1, 6.3331592326e-1, 1.129530134, -1.7782029846e-4});
  Value* large = b.CreateFSub(m.real(1.0), emit_exp(b, fused, b.CreateFNeg(q)));
  large = m.with_sign_of(large, x);
  return b.CreateSelect(b.CreateFCmpOLT(size, m.real(0.9275)), small, large);
}

// Adding a number whose unit is 1 and taking it away rounds, halves to even; from there on every
// number is an integer. No target needs a library for it, as it may for the intrinsic.
Value* emit_round(IRBuilder<>& b, bool fused, Value* x) {
  const LaneMath m(b, fused, x);
  Value* unit = m.real(x->getType()->getScalarType()->isFloatTy() ? 0x1p23 : 0x1p52);
  Value* size = m.absolute(x);
  Value* nearest = m.with_sign_of(b.CreateFSub(b.CreateFAdd(size, unit), unit), x);
  return b.CreateSelect(b.CreateFCmpOLT(size, unit), nearest, x);
}

Value* emit_floor(IRBuilder<>& b, bool fused, Value* x) {
  const LaneMath m(b, fused, x);
  Value* nearest = emit_round(b, fused, x);
  Value* above = b.CreateFCmpOGT(nearest, x);
  return b.CreateFSub(nearest, b.CreateSelect(above, m.real(1.0), m.real(0.0)));
}

}  // namespace sinter::compiler
