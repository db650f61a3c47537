#include <sinter/error.h>
#include <sinter/functions.h>

#include "frontend/recording.h"
#include "ir/op.h"

namespace sinter {

using detail::Recorder;
using ir::Expr;
using ir::OpKind;

Value matmul(const Operand& a, const Operand& b) {
  Recorder r({&a, &b});
  const Expr x = r[0], y = r[1];
  const int64_t p = x.type().rank(), q = y.type().rank();
  if (p == q && p >= 3) {
    using List = std::vector<int64_t>;
    List leading;
    for (int64_t i = 0; i + 2 < p; ++i) leading.push_back(i);
    return r.done(r.builder().apply(
        OpKind::contraction, {x, y},
        {{"a", List{p - 1}}, {"b", List{p - 2}}, {"a_batch", leading}, {"b_batch", leading}}));
  }
  if (p < 2 || q != 2) {
    throw Error("matmul cannot multiply {} and {}", ir::to_string(x.type()),
                ir::to_string(y.type()))
        .at(r.loc().source())
        .help(
            "give a vector an axis, as in x.unsqueeze(0) for a row or x.unsqueeze(1) for a column");
  }
  return r.done(contraction(x, y, {p - 1}, {0}));
}

Value linear(const Operand& x, const Operand& weight, const Operand& bias) {
  Recorder r({&x, &weight, &bias});
  const Expr v = r[0], w = r[1], b = r[2];
  return r.done(r.builder().apply(OpKind::linear, {v, w, b}));
}

Value linear(const Operand& x, const Operand& weight) {
  Recorder r({&x, &weight});
  const Expr v = r[0], w = r[1];
  const ir::Type &from = v.type(), &to = w.type();
  // The checks of the op with a bias, and their messages.
  detail::located(r.loc(), [&] {
    const ir::Type bias{to.dtype, {to.rank() > 0 ? to.shape[0] : ir::Dim{1}}};
    return ir::infer_type(OpKind::linear, std::vector<ir::Type>{from, to, bias}, {}, std::nullopt);
  });
  return r.done(contraction(v, w, {from.rank() - 1}, {1}));
}

}  // namespace sinter
