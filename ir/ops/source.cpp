// Values made from nothing: their elements are functions of the index, so they need no memory.
#include "ir/ops/family.h"

namespace sinter::ir {

using S = std::span<const Scalar>;

const OpDef op_constant = {
    .name = "constant",
    .summary = "one value in every element",
    .operands = 0,
    .attrs = {{"value", AttrKind::real}},
    .traits = Trait::typed_result | Trait::source,
    .infer = [](const InferArgs& in) { return declared_type(in); },
    .vjp = not_differentiable,
    .scalar = [](ScalarBuilder& b, S, const Op& op) {
      return b.constant(op.attrs.real("value"), b.result_dtype);
    },
};

const OpDef op_iota = {
    .name = "iota",
    .summary = "the index of the element along an axis",
    .operands = 0,
    .attrs = {{"axis", AttrKind::integer}},
    .traits = Trait::typed_result | Trait::source,
    .infer = [](const InferArgs& in) {
      const Type& type = declared_type(in);
      if (checked_axis(in.attrs.integer("axis"), type) != in.attrs.integer("axis")) {
        throw Error("the axis of iota must count from the front").help("use axis >= 0");
      }
      return type;
    },
    .vjp = not_differentiable,
    .scalar = [](ScalarBuilder& b, S, const Op& op) {
      return b.cast(b.index(static_cast<int>(op.attrs.integer("axis"))), b.result_dtype);
    },
};

const OpDef op_extent = {
    .name = "extent",
    .summary = "the number of elements of a shape, for the rows at hand",
    .operands = 0,
    .attrs = {{"of", AttrKind::shape}},
    .traits = Trait::typed_result | Trait::source,
    .infer = [](const InferArgs& in) {
      const Type type = infer_declared_float(in);
      if (!type.is_scalar()) {
        throw Error(fmt::format("extent is a scalar but is declared {}", to_string(type)))
            .help("declare it f32[]");
      }
      return type;
    },
    .vjp = not_differentiable,
    .scalar = [](ScalarBuilder& b, S, const Op& op) {
      Scalar count = b.integer(1);
      for (const Dim& d : op.attrs.shape("of")) {
        count = count * b.integer(d.scale);
        if (d.batch) count = count * b.rows();
      }
      return b.cast(count, b.result_dtype);
    },
};

// Philox4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011); the key
// and counter layout is that of sinter::random_bits.
const OpDef op_rng_bits = {
    .name = "rng_bits",
    .summary = "32 random bits (0 to 2^32-1) for each element, a function of seed, stream, step",
    .operands = 2,
    .attrs = {{"stream", AttrKind::integer}},
    .traits = Trait::typed_result | Trait::source,
    .infer = [](const InferArgs& in) {
      for (const Type& t : in.operands) {
        if (t != Type{DType::i64, {}}) {
          throw Error(fmt::format("seed and step must be i64[] but one is {}", to_string(t)))
              .help("pass i64 scalars");
        }
      }
      const Type& type = declared_type(in);
      if (type.dtype != DType::i64) {
        throw Error(fmt::format("random bits are i64 but are declared {}", to_string(type)))
            .help("declare the result i64 and cast it");
      }
      return type;
    },
    .vjp = not_differentiable,
    .scalar = [](ScalarBuilder& b, S x, const Op& op) {
      const auto word = [&](uint32_t v) { return b.integer(static_cast<int64_t>(v)); };
      const Scalar mask = word(0xFFFFFFFFu);
      const auto lo = [&](Scalar v) { return b.binary(Prim::bit_and, v, mask); };
      const auto hi = [&](Scalar v) { return b.binary(Prim::shift_right, v, b.integer(32)); };
      const auto mix = [&](Scalar p, Scalar q, Scalar r) {
        return b.binary(Prim::bit_xor, b.binary(Prim::bit_xor, p, q), r);
      };
      const auto stream = static_cast<uint32_t>(op.attrs.integer("stream"));
      const Scalar element = b.linear_index();
      Scalar c[4] = {lo(element), hi(element), lo(x[1]), hi(x[1])};
      Scalar k[2] = {b.binary(Prim::bit_xor, lo(x[0]), word(stream * 0x9E3779B9u)), hi(x[0])};
      for (int round = 0; round < 10; ++round) {
        const Scalar p0 = c[0] * word(0xD2511F53u);
        const Scalar p1 = c[2] * word(0xCD9E8D57u);
        const Scalar next[4] = {mix(hi(p1), c[1], k[0]), lo(p1), mix(hi(p0), c[3], k[1]), lo(p0)};
        for (int i = 0; i < 4; ++i) c[i] = next[i];
        k[0] = lo(k[0] + word(0x9E3779B9u));
        k[1] = lo(k[1] + word(0xBB67AE85u));
      }
      return c[0];
    },
};

}  // namespace sinter::ir
