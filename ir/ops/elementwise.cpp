// Arithmetic, comparison and choice. Each op states its meaning once as a scalar rule and its derivative as IR.
#include "ir/ops/family.h"

namespace sinter::ir {

using S = std::span<const Scalar>;

namespace {

// The derivative of what is constant between its steps: 0, as in PyTorch, rather than an error.
void flat(Vjp& g) { g.add(0, g.b.constant(0, g.operand(0).type())); }

}  // namespace

const OpDef op_add = {
    .name = "add",
    .summary = "a + b",
    .operands = 2,
    .traits = Trait::elementwise | Trait::commutative,
    .infer = infer_arithmetic,
    .vjp = [](Vjp& g) {
      g.add(0, g.cotangent());
      g.add(1, g.cotangent());
    },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return x[0] + x[1]; },
};

const OpDef op_sub = {
    .name = "sub",
    .summary = "a - b",
    .operands = 2,
    .traits = Trait::elementwise,
    .infer = infer_arithmetic,
    .vjp = [](Vjp& g) {
      g.add(0, g.cotangent());
      g.add(1, -g.cotangent());
    },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return x[0] - x[1]; },
};

const OpDef op_mul = {
    .name = "mul",
    .summary = "a * b",
    .operands = 2,
    .traits = Trait::elementwise | Trait::commutative,
    .infer = infer_arithmetic,
    .vjp = [](Vjp& g) {
      g.add(0, g.cotangent() * g.operand(1));
      g.add(1, g.cotangent() * g.operand(0));
    },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return x[0] * x[1]; },
};

const OpDef op_div = {
    .name = "div",
    .summary = "a / b; integers truncate towards zero, and x / 0 is 0",
    .operands = 2,
    .traits = Trait::elementwise,
    .infer = infer_arithmetic,
    .vjp = [](Vjp& g) {
      const Expr quotient = g.cotangent() / g.operand(1);
      g.add(0, quotient);
      g.add(1, -(quotient * g.result()));
    },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return x[0] / x[1]; },
};

const OpDef op_neg = {
    .name = "neg",
    .summary = "-x",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_arithmetic,
    .vjp = [](Vjp& g) { g.add(0, -g.cotangent()); },
    .scalar = [](ScalarBuilder&, S x, const Op&) { return -x[0]; },
};

const OpDef op_abs = {
    .name = "abs",
    .summary = "x without its sign; the derivative at 0 is 0",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_arithmetic,
    .vjp = [](Vjp& g) {
      const Expr x = g.operand(0), zero = g.b.scalar(0, x.type().dtype);
      const Expr rising = select(less(zero, x), g.cotangent(), zero);
      g.add(0, select(less(x, zero), -g.cotangent(), rising));
    },
    // 0 - x, because -x would make -0 of 0.
    .scalar = [](ScalarBuilder& b, S x, const Op&) {
      const Scalar zero = b.constant(0, x[0].dtype());
      return b.select(b.compare(Prim::less_equal, x[0], zero), zero - x[0], x[0]);
    },
};

const OpDef op_sign = {
    .name = "sign",
    .summary = "1 where x > 0, -1 where x < 0, else 0, of NaN too; the derivative is 0",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_arithmetic,
    .vjp = flat,
    .scalar = [](ScalarBuilder& b, S x, const Op&) {
      const DType dtype = x[0].dtype();
      const Scalar zero = b.constant(0, dtype), one = b.constant(1, dtype);
      const Scalar above = b.select(b.compare(Prim::less, zero, x[0]), one, zero);
      return b.select(b.compare(Prim::less, x[0], zero), -one, above);
    },
};

const OpDef op_floor = {
    .name = "floor",
    .summary = "the largest integer that is not above x; the derivative is 0",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_float,
    .vjp = flat,
    .scalar = [](ScalarBuilder&, S x, const Op&) { return floor(x[0]); },
};

const OpDef op_round = {
    .name = "round",
    .summary = "the nearest integer, of two the even one; the derivative is 0",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_float,
    .vjp = flat,
    .scalar = [](ScalarBuilder&, S x, const Op&) { return round(x[0]); },
};

const OpDef op_relu = {
    .name = "relu",
    .summary = "x where x > 0, else 0; NaN stays NaN and the derivative at 0 is 0",
    .operands = 1,
    .traits = Trait::elementwise,
    .infer = infer_float,
    // The mask comes from the result: where it is positive, so was x.
    .vjp = [](Vjp& g) {
      const Expr zero = g.b.scalar(0, g.result().type().dtype);
      g.add(0, select(less(zero, g.result()), g.cotangent(), zero));
    },
    .scalar = [](ScalarBuilder& b, S x, const Op&) {
      const Scalar zero = b.constant(0, x[0].dtype());
      // As processors define their maximum, so that it takes one instruction.
      return b.select(b.compare(Prim::less, x[0], zero), zero, x[0]);
    },
};

const OpDef op_equal = {
    .name = "equal",
    .summary = "a == b",
    .operands = 2,
    .traits = Trait::elementwise | Trait::commutative,
    .infer = infer_comparison,
    .vjp = not_differentiable,
    .scalar = [](ScalarBuilder& b, S x, const Op&) {
      return b.compare(Prim::equal, x[0], x[1]);
    },
};

const OpDef op_less = {
    .name = "less",
    .summary = "a < b",
    .operands = 2,
    .traits = Trait::elementwise,
    .infer = infer_comparison,
    .vjp = not_differentiable,
    .scalar = [](ScalarBuilder& b, S x, const Op&) { return b.compare(Prim::less, x[0], x[1]); },
};

const OpDef op_less_equal = {
    .name = "less_equal",
    .summary = "a <= b",
    .operands = 2,
    .traits = Trait::elementwise,
    .infer = infer_comparison,
    .vjp = not_differentiable,
    .scalar = [](ScalarBuilder& b, S x, const Op&) {
      return b.compare(Prim::less_equal, x[0], x[1]);
    },
};

const OpDef op_select = {
    .name = "select",
    .summary = "a where the condition holds, else b",
    .operands = 3,
    .traits = Trait::elementwise,
    .infer = [](const InferArgs& in) {
      if (in.operands[0].dtype != DType::boolean) {
        throw Error(fmt::format("the condition of select must be bool but is {}",
                                to_string(in.operands[0])))
            .help("compare first, as in less(0, x)");
      }
      Type out = infer_arithmetic({in.operands.subspan(1), in.attrs, in.declared});
      Shape joined;
      if (!broadcast_shapes(in.operands[0].shape, out.shape, joined)) {
        throw Error(fmt::format("shapes {} and {} do not broadcast",
                                to_string(in.operands[0].shape), to_string(out.shape)))
            .help("give the condition the shape of the values it chooses from");
      }
      out.shape = joined;
      return out;
    },
    .vjp = [](Vjp& g) {
      const Expr zero = g.b.scalar(0, g.result().type().dtype);
      g.add(1, select(g.operand(0), g.cotangent(), zero));
      g.add(2, select(g.operand(0), zero, g.cotangent()));
    },
    .scalar = [](ScalarBuilder& b, S x, const Op&) { return b.select(x[0], x[1], x[2]); },
};

const OpDef op_cast = {
    .name = "cast",
    .summary = "the same values in another dtype; floats truncate towards zero into integers",
    .operands = 1,
    .traits = Trait::elementwise | Trait::typed_result,
    .infer = [](const InferArgs& in) {
      const Type& to = declared_type(in);
      if (to.shape != in.operands[0].shape) {
        throw Error(fmt::format("cast keeps the shape, but {} is declared {}",
                                to_string(in.operands[0]), to_string(to)))
            .help("cast first, then reshape");
      }
      return to;
    },
    .vjp = [](Vjp& g) {
      const DType from = g.operand(0).type().dtype;
      if (is_float(from)) g.add(0, cast(g.cotangent(), from));
    },
    .scalar = [](ScalarBuilder& b, S x, const Op&) { return b.cast(x[0], b.result_dtype); },
};

}  // namespace sinter::ir
