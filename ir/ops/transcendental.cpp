// Powers, logarithms, and what is made of them. The primitives are libm in the interpreter and
// polynomials in compiled code.
#include <cmath>

#include "ir/ops/family.h"

namespace sinter::ir {

using S = std::span<const Scalar>;

const OpDef op_exp = {
    .name = "exp",
    .summary = "e to the power x",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_float,
    .vjp = [](Vjp& g) { g.add(0, g.cotangent() * g.result()); },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return exp(x[0]); },
};

const OpDef op_log = {
    .name = "log",
    .summary = "natural logarithm",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_float,
    .vjp = [](Vjp& g) { g.add(0, g.cotangent() / g.operand(0)); },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return log(x[0]); },
};

const OpDef op_sqrt = {
    .name = "sqrt",
    .summary = "square root",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_float,
    .vjp = [](Vjp& g) { g.add(0, 0.5 * g.cotangent() / g.result()); },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return sqrt(x[0]); },
};

const OpDef op_pow = {
    .name = "pow",
    .summary = "a to the power b, C's pow: NaN where a < 0 and b is no integer, 1 where b is 0",
    .operands = 2,
    .traits = Trait::elementwise,
    .infer = infer_float,
    .vjp = [](Vjp& g) {
      const Expr a = g.operand(0), b = g.operand(1), ct = g.cotangent();
      const Expr zero = g.b.scalar(0, a.type().dtype);
      // x^0 is 1 everywhere, and 0^b is 0 for all b > 0: flat, where the formulas say 0 times inf.
      const Expr by_base = ct * (b * pow(a, b - 1.0));
      g.add(0, select(equal(b, zero), zero, by_base));
      const Expr by_exponent = ct * (g.result() * log(a));
      const Expr at_zero = select(less(b, zero), by_exponent, zero);
      g.add(1, select(equal(a, zero), at_zero, by_exponent));
    },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return pow(x[0], x[1]); },
};

const OpDef op_sin = {
    .name = "sin",
    .summary = "sine, of radians",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_float,
    .vjp = [](Vjp& g) { g.add(0, g.cotangent() * cos(g.operand(0))); },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return sin(x[0]); },
};

const OpDef op_cos = {
    .name = "cos",
    .summary = "cosine, of radians",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_float,
    .vjp = [](Vjp& g) { g.add(0, -(g.cotangent() * sin(g.operand(0)))); },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return cos(x[0]); },
};

const OpDef op_erf = {
    .name = "erf",
    .summary = "2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_float,
    .vjp = [](Vjp& g) {
      const Expr x = g.operand(0);
      // 2 / sqrt(pi) as two floats, so that f64 has all of it; in f32 the sum is the first of them.
      const double all = 2 / std::sqrt(std::acos(-1.0));
      const double most = static_cast<float>(all);
      const DType dtype = x.type().dtype;
      const Expr slope_at_0 = g.b.scalar(most, dtype) + g.b.scalar(all - most, dtype);
      g.add(0, g.cotangent() * (slope_at_0 * exp(-(x * x))));
    },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return erf(x[0]); },
};

const OpDef op_tanh = {
    .name = "tanh",
    .summary = "hyperbolic tangent",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_float,
    .vjp = [](Vjp& g) { g.add(0, g.cotangent() * (1.0 - g.result() * g.result())); },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return tanh(x[0]); },
};

const OpDef op_sigmoid = {
    .name = "sigmoid",
    .summary = "1 / (1 + exp(-x))",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_float,
    .vjp = [](Vjp& g) { g.add(0, g.cotangent() * g.result() * (1.0 - g.result())); },
    // With e = exp(-|x|): 1 - q or e - e q for q = e / (1 + e). The rounding of 1 + e reaches the
    // result through q alone, which is small beside it.
    .scalar = [](ScalarBuilder& b, S x, const Op&) {
      const DType dtype = x[0].dtype();
      const Scalar negative = b.compare(Prim::less, x[0], b.constant(0, dtype));
      const Scalar e = exp(b.select(negative, x[0], -x[0]));
      const Scalar most = b.select(negative, e, b.constant(1, dtype));
      return most - most * (e / (1.0 + e));
    },
};

const OpDef op_softplus = {
    .name = "softplus",
    .summary = "log(1 + exp(x))",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_float,
    .vjp = [](Vjp& g) {
      g.add(0, g.cotangent() * g.b.apply(OpKind::sigmoid, {g.operand(0)}));
    },
    // max(x, 0) + log(1 + exp(-|x|)): exp cannot overflow, and small results keep their digits.
    .scalar = [](ScalarBuilder& b, S x, const Op&) {
      const Scalar zero = b.constant(0, x[0].dtype());
      const Scalar negative = b.compare(Prim::less, x[0], zero);
      const Scalar e = exp(b.select(negative, x[0], -x[0]));
      return b.select(negative, zero, x[0]) + log1p(e);
    },
};

}  // namespace sinter::ir
