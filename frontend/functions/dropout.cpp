#include <cmath>

#include <sinter/dropout.h>
#include <sinter/error.h>

#include "frontend/recording.h"
#include "ir/op.h"

namespace sinter {

using detail::Recorder;
using ir::Expr;

Value dropout(const Operand& x, double p, const Generator& generator) {
  Recorder r({&x});
  const Expr v = r[0];
  if (!(p >= 0 && p < 1) || !is_float(v.type().dtype)) {
    throw Error("dropout of {} with probability {}", ir::to_string(v.type()), p)
        .at(r.loc().source())
        .help("give it floats and a probability from 0 to less than 1");
  }
  detail::Recording& recording = r.recording();
  if (!recording.training || p == 0) return r.done(v);
  ir::Builder& b = r.builder();
  const detail::Recording::Draw draw = recording.random_draw(generator);
  const Expr bits = b.apply(ir::OpKind::rng_bits, {{b, draw.seed}, {b, draw.step}},
                            {{"stream", draw.stream}}, v.type().with(DType::i64));
  // 32 random bits are less than p 2^32 with probability p.
  const Expr threshold = b.scalar(std::round(p * 0x1p32), DType::i64);
  const Expr kept = less_equal(threshold, bits);
  return r.done(select(kept, v * (1 / (1 - p)), b.scalar(0, v.type().dtype)), "dropout");
}

Value dropout(const Operand& x, double p) { return dropout(x, p, default_generator()); }

}  // namespace sinter
