#include "compiler/llvm/math/vector_math.h"

#include <limits>
#include <numeric>
#include <vector>

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <sinter/error.h>

#include "compiler/llvm/math/lane_math.h"

namespace sinter::compiler {

using llvm::IRBuilder;
using llvm::Value;

Value* emit_fma(IRBuilder<>& b, bool fused, Value* a, Value* x, Value* c) {
  if (!fused) return b.CreateFAdd(b.CreateFMul(a, x), c);
  return b.CreateIntrinsic(llvm::Intrinsic::fma, {a->getType()}, {a, x, c});
}

namespace {

// Floats in a vector of AVX-512.
constexpr unsigned kFullWidth = 16;

bool is_full_vector(const Value* x) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(x->getType());
  return vector && vector->getNumElements() == kFullWidth;
}

}  // namespace

Value* LaneMath::lookup(const Table& table, Value* index) const {
  Value* numbers = llvm::ConstantDataVector::get(b.getContext(), table);
  const auto look = [&](Value* at) {
    return b.CreateIntrinsic(llvm::Intrinsic::x86_avx512_permvar_sf_512, {}, {numbers, at});
  };
  if (is_full_vector(index)) return look(index);
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(index->getType());
  if (!vector) {
    Value* one = llvm::PoisonValue::get(llvm::FixedVectorType::get(index->getType(), kFullWidth));
    one = b.CreateInsertElement(one, index, uint64_t{0});
    return b.CreateExtractElement(look(one), uint64_t{0});
  }
  const unsigned lanes = vector->getNumElements();
  SINTER_CHECK(lanes < kFullWidth, "{} lanes of floats", lanes);
  std::vector<int> taken(kFullWidth, -1);
  std::iota(taken.begin(), taken.begin() + lanes, 0);
  Value* out = look(b.CreateShuffleVector(index, taken));
  taken.resize(lanes);
  return b.CreateShuffleVector(out, taken);
}

// exp(x) = 2^k * exp(r), k = round(x / ln 2), |r| <= ln(2)/2, with a minimax polynomial for exp(r)
// (Cephes, S. Moshier). ln 2 is subtracted in two parts, and 2^k applied in two halves so that
// results near the largest float do not overflow early.
Value* emit_exp(IRBuilder<>& b, LaneFeatures has, Value* x) {
  const LaneMath m(b, has, x);
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
  if (has.avx512 && is_full_vector(x)) {  // the same, in one instruction
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

Value* emit_log(IRBuilder<>& b, LaneFeatures has, Value* x) {
  const LaneMath m(b, has, x);
  Value* out = log_of_normal(m, x, nullptr);
  // What is smaller than the smallest normal number counts as zero.
  return with_log_limits(m, x, b.CreateFCmpOLT(x, m.real(1.17549435e-38)), 0, out);
}

// log(u) + (1 + x - u) / u, where u is 1 + x rounded: what rounding took away comes back in the
// first order. The difference is exact (Knuth 1998, section 4.2.2, theorem B).
Value* emit_log1p(IRBuilder<>& b, LaneFeatures has, Value* x) {
  const LaneMath m(b, has, x);
  Value* one = m.real(1.0);
  Value* u = b.CreateFAdd(one, x);
  Value* part = b.CreateFSub(u, one);
  Value* lost = b.CreateFAdd(b.CreateFSub(one, b.CreateFSub(u, part)), b.CreateFSub(x, part));
  Value* out = log_of_normal(m, u, b.CreateFDiv(lost, u));
  return with_log_limits(m, x, b.CreateFCmpOEQ(x, m.real(-1.0)), -1, out);
}

namespace {

// tanh(|x|) = p(|x| - c): c and the six coefficients of p are those of one of 16 intervals that
// |x| + 0.625 names by the top bits of its mantissa and the lowest of its exponent: from 0 to
// 0.125, 0.25 and 0.375, then of width 0.25 to 1.375, 0.5 to 3.375, 1 to 7.375 and the rest.
// Minimax fits within 2^-24 of the result; the c are floats whose tanh is all but a float. From 9.2
// on tanh is 1 in f32. The tables are indexed by the low four bits of what names the interval.
Value* tanh_by_tables(const LaneMath& m, Value* x) {
  using Table = LaneMath::Table;
  static constexpr Table kCenter = {1.62527895,  2.1244576,   2.6251359,   3.12478685,
                                    3.87510729,  4.87447119,  5.87636137,  6.87356949,
                                    8.2903614,   0,           0.187471583, 0.312523425,
                                    0.499970794, 0.750143766, 1.0001992,   1.24971187};
  static constexpr Table kCoefficients[] = {
      {0.00110375346, 0.00445305137, 0.00236007269, 0.000976055628, 0.000236727326, 3.24770663e-05,
       4.40350686e-06, 6.030686e-07, 3.90146688e-08, 0.129986018, 0.096028991, 0.0446024761,
       -0.0255283583, -0.0635267496, -0.0463067219, -0.019343283},
      {-0.0248540137, -0.0150378952, -0.00647839671, -0.00252258405, -0.000596652972,
       -8.14059167e-05, -1.0985942e-05, -2.03634568e-06, -2.25754402e-08, 0.000472800515,
       0.112887725, 0.157787949, 0.163596734, 0.0996875837, 0.028075723, -0.0122330682},
      {0.0751492381, 0.0339331962, 0.0134122027, 0.00507071614, 0.00114301569, 0.000155349917,
       2.09493828e-05, 2.85224451e-06, 1.66165663e-07, -0.333355635, -0.288722575, -0.219530672,
       -0.0942445323, 0.0418643095, 0.103627577, 0.108325958},
      {-0.13294819, -0.053957615, -0.0205481052, -0.00766518014, -0.00171758095, -0.000233085069,
       -3.14317658e-05, -4.14267879e-06, -3.11337715e-07, 3.11896969e-07, -0.178942502,
       -0.274986625, -0.363417596, -0.378902763, -0.319790065, -0.237966523},
      {0.143660054, 0.0555218607, 0.020765923, 0.00769535918, 0.00172116619, 0.000233404659,
       3.14720346e-05, 4.28304338e-06, 2.51850707e-07, 1, 0.965661764, 0.908353925, 0.786469042,
       0.596476853, 0.419846922, 0.28055197},
      {0.92538631, 0.971842647, 0.989562571, 0.996144891, 0.999139071, 0.999883294, 0.999984264,
       0.999997854, 0.999999881, 0, 0.185305759, 0.302731007, 0.462094188, 0.635234714, 0.761677802,
       0.848202825}};
  IRBuilder<>& b = m.b;
  Value* size = m.at_most(m.absolute(x), 9.2);
  Value* interval = b.CreateLShr(m.bits(b.CreateFAdd(size, m.real(0.625))), m.integer(21));
  Value* t = b.CreateFSub(size, m.lookup(kCenter, interval));
  Value* p = nullptr;
  for (const Table& table : kCoefficients) {
    Value* c = m.lookup(table, interval);
    p = p ? m.fma(p, t, c) : c;
  }
  return m.with_sign_of(p, x);
}

}  // namespace

// By tables where a table of 16 numbers is one register: half as long as by a division. Else with
// |x| = u + k ln 2, t = tanh(u) by a minimax polynomial, and with e = 4^k the addition theorem
//   tanh(|x|) = (e - 1 + (e + 1) t) / (e + 1 + (e - 1) t).
// k is 0 up to 0.567, where the quotient is t / 1 and rounds nothing, and u is not far below zero
// elsewhere, so that the numerator loses nothing. The denominator is written as numerator + 2 (1 -
// t): what was rounded off the one then stands in the other as well. From 9.2 on tanh is 1 in f32.
Value* emit_tanh(IRBuilder<>& b, LaneFeatures has, Value* x) {
  const LaneMath m(b, has, x);
  if (has.avx512) return tanh_by_tables(m, x);
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
Value* emit_erf(IRBuilder<>& b, LaneFeatures has, Value* x) {
  const LaneMath m(b, has, x);
  Value* p = m.polynomial(b.CreateFMul(x, x),
                          {8.3331958687e-5, -8.133944743e-4, 5.200257528e-3, -2.6859084742e-2,
                           1.1283689809e-1, -3.7612633362e-1, 1.283791666e-1});
  Value* small = m.fma(x, p, x);
  Value* size = m.absolute(x);
  if (!has.fma) {
    // Here x p may be flushed to zero although x + x p is no denormal.
    Value* tiny = b.CreateFCmpOLT(size, m.real(0x1p-100));
    small = b.CreateSelect(tiny, b.CreateFMul(x, m.real(1.1283791671)), small);
  }
  Value* q = m.polynomial(m.at_most(size, 4.0),
                          {2.125045758e-5, -4.3624618516e-4, 4.1796393361e-3, -2.5141835062e-2,
                           1.0831446442e-1, 6.3331592326e-1, 1.129530134, -1.7782029846e-4});
  Value* large = b.CreateFSub(m.real(1.0), emit_exp(b, has, b.CreateFNeg(q)));
  large = m.with_sign_of(large, x);
  return b.CreateSelect(b.CreateFCmpOLT(size, m.real(0.9275)), small, large);
}

// Adding a number whose unit is 1 and taking it away rounds, halves to even; from there on every
// number is an integer. No target needs a library for it, as it may for the intrinsic.
Value* emit_round(IRBuilder<>& b, LaneFeatures has, Value* x) {
  const LaneMath m(b, has, x);
  Value* unit = m.real(x->getType()->getScalarType()->isFloatTy() ? 0x1p23 : 0x1p52);
  Value* size = m.absolute(x);
  Value* nearest = m.with_sign_of(b.CreateFSub(b.CreateFAdd(size, unit), unit), x);
  return b.CreateSelect(b.CreateFCmpOLT(size, unit), nearest, x);
}

Value* emit_floor(IRBuilder<>& b, LaneFeatures has, Value* x) {
  const LaneMath m(b, has, x);
  Value* nearest = emit_round(b, has, x);
  Value* above = b.CreateFCmpOGT(nearest, x);
  return b.CreateFSub(nearest, b.CreateSelect(above, m.real(1.0), m.real(0.0)));
}

}  // namespace sinter::compiler
