// Functions of floats that compute in doubles where floats would lose the digits: the angle of sin
// and cos modulo a turn, and the exponent of pow.
#include <limits>

#include <llvm/IR/Intrinsics.h>

#include "compiler/llvm/math/lane_math.h"
#include "compiler/llvm/math/vector_math.h"

namespace sinter::compiler {

using llvm::IRBuilder;
using llvm::Value;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// 2 / pi in parts of 29 bits: times a float of 24 bits each is exact in a double. The largest float
// takes seven for 60 bits behind the point.
constexpr double kTwoOverPi[] = {0x145f306dp-29,  0x19391054p-58, 0x14fe13abp-87, 0x1d1f534dp-116,
                                 0x1b81b6c5p-145, 0x5664f10p-174, 0x1c820ff2p-203};

struct QuarterTurns {
  Value* count;  // modulo 4 in the low bits, i32
  Value* rest;   // the angle that is left, at most pi / 4 to either side, in float
};

// x = count * pi/2 + rest, for every float: x * (2 / pi) modulo 4, part by part (Payne and Hanek
// 1983, with multiples of 4 taken off each exact product).
QuarterTurns quarter_turns(const LaneMath& m, Value* x) {
  IRBuilder<>& b = m.b;
  const LaneMath w = m.wide();
  Value* wide = m.widen(x);
  Value* size = w.absolute(wide);
  // From here to twice as much the unit of a number is 4.
  constexpr double four_units = 0x1p54;
  Value* fours = w.with_sign_of(w.real(four_units), wide);
  // The sum and what its roundings took away (Knuth 1998, section 4.2.2, theorem B): some floats
  // come within 2^-29 of a quarter turn, and all digits of their rest are in the low parts.
  Value* turns = nullptr;
  Value* lost = w.real(0.0);
  double limit = four_units;
  for (double part : kTwoOverPi) {
    // From the limit on the last bit of the product is worth 4 or more: nothing is left of it.
    Value* factor = w.real(part);
    if (limit <= std::numeric_limits<float>::max()) {
      factor = b.CreateSelect(b.CreateFCmpOLT(size, w.real(limit)), factor, w.real(0.0));
    }
    limit *= 0x1p29;
    Value* product = b.CreateFMul(wide, factor);
    Value* whole = b.CreateFSub(b.CreateFAdd(product, fours), fours);
    Value* rest = b.CreateFSub(product, whole);
    if (!turns) {
      turns = rest;
      continue;
    }
    Value* sum = b.CreateFAdd(turns, rest);
    Value* added = b.CreateFSub(sum, turns);
    Value* error =
        b.CreateFAdd(b.CreateFSub(turns, b.CreateFSub(sum, added)), b.CreateFSub(rest, added));
    lost = b.CreateFAdd(lost, error);
    turns = sum;
  }
  const LaneMath::Rounded count = w.rounded(turns);
  Value* rest = b.CreateFAdd(b.CreateFSub(turns, count.value), lost);
  rest = b.CreateFMul(rest, w.real(1.57079632679489661923));
  return {b.CreateTrunc(count.bits, m.bits(x)->getType()), m.narrow(rest)};
}

// sin(x + quarters * pi/2). Minimax fits of (sin(r)/r - 1)/r^2 and (cos(r) - 1 + r^2/2)/r^4 in r^2,
// within 2^-28 and 2^-33.
Value* sine(const LaneMath& m, Value* x, int64_t quarters) {
  IRBuilder<>& b = m.b;
  const auto [count, r] = quarter_turns(m, x);
  Value* z = b.CreateFMul(r, r);
  Value* s = m.polynomial(z, {-1.9517298765e-4, 8.3321781442e-3, -1.6666654944e-1});
  s = m.fma(b.CreateFMul(r, z), s, r);
  Value* c = m.polynomial(z, {2.4433156429e-5, -1.3887316248e-3, 4.1666645683e-2});
  c = m.fma(b.CreateFMul(z, z), c, m.fma(z, m.real(-0.5), m.real(1.0)));
  Value* quadrant = b.CreateAdd(count, m.integer(quarters));
  Value* odd = b.CreateICmpNE(b.CreateAnd(quadrant, m.integer(1)), m.integer(0));
  Value* sign = b.CreateShl(b.CreateAnd(quadrant, m.integer(2)), m.integer(30));
  return m.number(b.CreateXor(m.bits(b.CreateSelect(odd, c, s)), sign));
}

}  // namespace

Value* emit_sin(IRBuilder<>& b, LaneFeatures has, Value* x) {
  const LaneMath m(b, has, x);
  // Small numbers are their own sine, -0 too.
  return b.CreateSelect(b.CreateFCmpOLT(m.absolute(x), m.real(0x1p-12)), x, sine(m, x, 0));
}

Value* emit_cos(IRBuilder<>& b, LaneFeatures has, Value* x) {
  return sine(LaneMath(b, has, x), x, 1);
}

// 2^(y log2|x|), with log2(f * 2^e) = e + t p(t^2), t = (f - 1) / (f + 1), and 2^z = 2^k q(z - k):
// minimax fits within 2^-43 and 2^-29. Special values as in C (ISO/IEC 9899:1999, F.9.4.4).
Value* emit_pow(IRBuilder<>& b, LaneFeatures has, Value* x, Value* y) {
  const LaneMath m(b, has, x), w = m.wide();
  Value* size = m.absolute(x);
  constexpr int64_t sqrt_half = 0x3f3504f3;
  Value* shifted = b.CreateSub(m.bits(size), m.integer(sqrt_half));
  Value* exponent = b.CreateSIToFP(b.CreateAShr(shifted, m.integer(23)), w.type());
  Value* fraction = b.CreateAnd(shifted, m.integer(0x007fffff));
  Value* f = m.widen(m.number(b.CreateAdd(fraction, m.integer(sqrt_half))));
  Value* t = b.CreateFDiv(b.CreateFSub(f, w.real(1.0)), b.CreateFAdd(f, w.real(1.0)));
  Value* p = w.polynomial(b.CreateFMul(t, t),
                          {0.2829130047745538, 0.31990478033642333, 0.41220927530130125,
                           0.5770779421310969, 0.9617966941141592, 2.8853900817778495});
  Value* log2 = w.fma(t, p, exponent);
  Value* zero = b.CreateFCmpOLT(size, m.real(1.17549435e-38));
  Value* infinite = b.CreateFCmpOEQ(size, m.real(kInf));
  log2 = b.CreateSelect(zero, w.real(-kInf), b.CreateSelect(infinite, w.real(kInf), log2));

  Value* z = w.at_least(w.at_most(b.CreateFMul(m.widen(y), log2), 200.0), -200.0);
  const LaneMath::Rounded k = w.rounded(z);
  Value* q = w.polynomial(
      b.CreateFSub(z, k.value),
      {0.00015345811549373652, 0.001339993085349614, 0.009618488964078062, 0.0555032877812782,
       0.24022646890479943, 0.6931472057364774, 1.0000000005541883});
  Value* scale = w.number(b.CreateShl(b.CreateAdd(k.bits, w.integer(1023)), w.integer(52)));
  // Too large becomes inf here, too small a denormal, that is zero.
  Value* out = m.narrow(b.CreateFMul(q, scale));

  Value* whole = b.CreateFCmpOEQ(emit_floor(b, has, y), y);
  Value* half = b.CreateFMul(y, m.real(0.5));
  Value* odd = b.CreateAnd(whole, b.CreateFCmpUNE(emit_floor(b, has, half), half));
  out = b.CreateSelect(odd, m.with_sign_of(out, x), out);
  Value* finite = b.CreateNot(b.CreateOr(zero, infinite));
  Value* no_root =
      b.CreateAnd(b.CreateFCmpOLT(x, m.real(0.0)), b.CreateAnd(finite, b.CreateNot(whole)));
  out = b.CreateSelect(b.CreateOr(no_root, m.is_nan(x)), m.real(kNaN), out);
  Value* unit =
      b.CreateAnd(b.CreateFCmpOEQ(size, m.real(1.0)), b.CreateFCmpOEQ(m.absolute(y), m.real(kInf)));
  Value* one = b.CreateOr(b.CreateFCmpOEQ(x, m.real(1.0)), b.CreateFCmpOEQ(y, m.real(0.0)));
  return b.CreateSelect(b.CreateOr(one, unit), m.real(1.0), out);
}

}  // namespace sinter::compiler
