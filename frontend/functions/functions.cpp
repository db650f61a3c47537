// Every function records ops through one Recorder, so that all of them carry the caller's line.
#include <algorithm>
#include <cmath>

#include <sinter/error.h>
#include <sinter/functions.h>

#include "frontend/functions/function_parts.h"
#include "frontend/functions/losses.h"
#include "frontend/recording.h"
#include "ir/op.h"
#include "ir/ops/family.h"

namespace sinter {

using detail::axis_of;
using detail::check_rows;
using detail::Recorder;
using ir::Expr;
using ir::OpKind;

namespace {

std::string_view name_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::mean:
      return "mean";
    case Reduction::sum:
      return "sum";
    case Reduction::none:
      return "none";
  }
  return "?";
}

}  // namespace

Value silu(const Operand& x) {
  Recorder r({&x});
  const Expr v = r[0];
  return r.done(v * r.builder().apply(OpKind::sigmoid, {v}), "silu");
}

Value gelu(const Operand& x) {
  Recorder r({&x});
  const Expr v = r[0];
  const Expr inner = std::sqrt(2 / std::acos(-1.0)) * (v + 0.044715 * (v * v * v));
  return r.done(0.5 * v * (1.0 + r.builder().apply(OpKind::tanh, {inner})), "gelu");
}

Value softmax(const Operand& x, int64_t axis) {
  Recorder r({&x});
  const int64_t at = axis_of(r, r[0], axis);
  return r.done(r.builder().apply(OpKind::softmax, {r[0]}, {{"axis", at}}), "softmax");
}

Value log_softmax(const Operand& x, int64_t axis) {
  Recorder r({&x});
  const int64_t at = axis_of(r, r[0], axis);
  return r.done(r.builder().apply(OpKind::log_softmax, {r[0]}, {{"axis", at}}), "log_softmax");
}

Value mse_loss(const Operand& prediction, const Operand& target) {
  return mse_loss(prediction, target, LossOptions{});
}

Value mse_loss(const Operand& prediction, const Operand& target, LossOptions options) {
  Recorder r({&prediction, &target});
  const Expr p = r[0], y = r[1];
  return r.done(r.builder().apply(OpKind::mse_loss, {p, y},
                                  {{"reduction", std::string(name_of(options.reduction))}}));
}

Value cross_entropy(const Operand& logits, const Operand& labels) {
  return cross_entropy(logits, labels, CrossEntropyOptions{});
}

Value cross_entropy(const Operand& logits, const Operand& labels, CrossEntropyOptions options) {
  if (options.class_weights || options.label_smoothing != 0) {
    return detail::smoothed_cross_entropy(logits, labels, options);
  }
  Recorder r({&logits, &labels});
  const Expr x = r[0], y = r[1];
  for (const ir::Op& op : r.builder().func().body) {
    if (op.result != x.id() || op.kind != OpKind::softmax) continue;
    throw Error("cross_entropy takes logits but receives the result of softmax")
        .at(r.loc().source())
        .note("it computes log(softmax(logits)) itself; on probabilities it would learn slowly")
        .help("leave softmax out of forward(), and apply it to what predict() gives");
  }
  const Value out =
      r.done(r.builder().apply(OpKind::cross_entropy, {x, y},
                               {{"reduction", std::string(name_of(options.reduction))},
                                {"ignore_index", options.ignore_index}}));
  check_rows(r, y, x.type().shape[1], options.ignore_index);
  return out;
}

Value accuracy(const Operand& logits, const Operand& labels) {
  Recorder r({&logits, &labels});
  const Expr x = r[0], y = r[1];
  if (x.type().rank() != 2 || y.type().rank() != 1 || !is_int(y.type().dtype) ||
      y.type().shape[0] != x.type().shape[0]) {
    throw Error("accuracy needs logits [n, classes] and integer labels [n] but got {} and {}",
                ir::to_string(x.type()), ir::to_string(y.type()))
        .at(r.loc().source())
        .help("pass one class number a row, as argmax(y, 1) makes them of one-hot rows");
  }
  const Expr hit = equal(argmax(x, 1), cast(y, DType::i64));
  return r.done(r.builder().apply(OpKind::mean, {cast(hit, DType::f32)},
                                  {{"axes", std::vector<int64_t>{0}}}));
}

Value grad(const Operand& loss, const Operand& wrt) {
  Recorder r({&loss, &wrt});
  const Expr of = r[0], at = r[1];
  const ir::ValueInfo& info = r.builder().func()[at.id()];
  const auto global = static_cast<size_t>(info.index);
  if (info.def == ir::ValueDef::global && r.recording().globals[global].frozen) {
    throw Error("the parameter {} : {} is frozen and has no gradient",
                r.recording().module.globals[global].name, to_string(info.type))
        .at(r.loc().source())
        .help("unfreeze it with set_requires_grad(true), or do not ask for its gradient");
  }
  return r.done(r.builder().apply(OpKind::gradient, {of, at}));
}

std::vector<Value> grad(const Operand& loss, const std::vector<Value>& wrt,
                        const std::source_location& at) {
  std::vector<Value> out;
  for (const Value& w : wrt) out.push_back(grad(loss, Operand(w, at)));
  return out;
}

}  // namespace sinter
