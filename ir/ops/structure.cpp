// Ops that make a program of the others: the request for a gradient, the update of a global, and
// the kernels and barriers that `fuse` and `plan_memory` make.
#include "ir/ops/family.h"

namespace sinter::ir {

const OpDef op_gradient = {
    .name = "gradient",
    .summary = "derivative of a scalar with respect to a value; `differentiate` replaces it",
    .operands = 2,
    .infer = [](const InferArgs& in) {
      const Type &loss = in.operands[0], &x = in.operands[1];
      if (!loss.is_scalar()) {
        throw Error(fmt::format("only a scalar has a gradient, not {}", to_string(loss)))
            .help("reduce it first, as in mean(loss)");
      }
      if (!is_float(loss.dtype)) {
        throw Error(fmt::format("a loss of dtype {} has no gradient", dtype_name(loss.dtype)))
            .help("compute the loss in floating point: the way through a cast has no derivative");
      }
      if (!is_float(x.dtype)) {
        throw Error(fmt::format("no derivative with respect to {} exists", to_string(x)))
            .help("differentiate with respect to a floating-point value");
      }
      return x;
    },
    .vjp = not_differentiable,
};

const OpDef op_assign = {
    .name = "assign",
    .summary = "gives a global its next value; all assigns take effect after the last op",
    .operands = 2,
    .traits = Trait::effect,
    .infer = [](const InferArgs& in) {
      if (in.operands[0] != in.operands[1]) {
        throw Error(fmt::format("cannot assign {} to a global of type {}",
                                to_string(in.operands[1]), to_string(in.operands[0])))
            .help("the new value must have the type of the old one");
      }
      return in.operands[0];
    },
    .vjp = not_differentiable,
};

const OpDef op_kernel = {
    .name = "kernel",
    .summary = "ops that run as one loop nest, with features or the batch in lanes, and store only "
               "the listed outputs",
    .operands = 0,
    .attrs = {{"name", AttrKind::text},
              {"lanes", AttrKind::text, std::string("features")},
              {"parallel", AttrKind::flag, false},
              {"thread", AttrKind::integer, int64_t{0}},
              {"by_rows", AttrKind::flag, false},
              {"in_chunks", AttrKind::flag, false},
              {"parts", AttrKind::integer, int64_t{1}},
              {"chunk", AttrKind::integer, int64_t{0}},
              {"partials", AttrKind::integer, int64_t{0}}},
    .traits = Trait::effect,
    .infer = [](const InferArgs&) { return Type{}; },
    .vjp = not_differentiable,
};

const OpDef op_barrier = {
    .name = "barrier",
    .summary = "every thread waits until all have come here",
    .operands = 0,
    .traits = Trait::effect,
    .infer = [](const InferArgs&) { return Type{}; },
    .vjp = not_differentiable,
};

}  // namespace sinter::ir
