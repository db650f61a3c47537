// The softmax family and the losses: ops because their derivatives are simpler and more stable
// than those of the ops they lower to.
#include "ir/ops/family.h"

namespace sinter::ir {

namespace {

Type infer_softmax(const InferArgs& in) {
  const Type type = infer_float(in);
  const int64_t axis = in.attrs.integer("axis");
  if (checked_axis(axis, type) != axis || type.shape[static_cast<size_t>(axis)].batch) {
    throw Error(fmt::format("softmax along axis {} of {}", axis, to_string(type)))
        .help("use an axis counted from the front that does not follow the batch");
  }
  return type;
}

// exp(x - max) and its sum along the axis: the pieces that all of the family share, written the
// same way each time so that `cse` keeps one copy.
struct Exponentials {
  Expr shifted, exps, total;
};
Exponentials exponentials(Expr x, int64_t axis) {
  const Expr shifted = x - max(x, axis, true);
  const Expr exps = exp(shifted);
  return {shifted, exps, sum(exps, {axis}, true)};
}

// For logits [n, classes] and labels [n]: which class is the label, and the weight of each row
// (0 where it is ignored), as [n, classes] bool and [n, 1].
struct Targets {
  Expr hot, weight;
};
Targets targets(Builder& b, Expr logits, Expr labels, int64_t ignore_index) {
  const Type wide = logits.type().with(labels.type().dtype);
  const Expr column = reshape(labels, {labels.type().shape[0], Dim{1}});
  const DType dtype = logits.type().dtype;
  const Expr ignored = equal(column, b.scalar(static_cast<double>(ignore_index), wide.dtype));
  return {equal(b.iota(1, wide), column), select(ignored, b.scalar(0, dtype), b.scalar(1, dtype))};
}

// Reads a cotangent of the reduced loss: [] for mean and sum, [n] as a column for none.
Expr per_row(Expr ct, const Shape& rows) { return ct.type().is_scalar() ? ct : reshape(ct, rows); }

}  // namespace

const OpDef op_softmax = {
    .name = "softmax",
    .summary = "exp(x) / sum(exp(x)) along an axis, shifted by the maximum so that it is stable",
    .operands = 1,
    .attrs = {{"axis", AttrKind::integer}},
    .infer = infer_softmax,
    .vjp = [](Vjp& g) {
      const Expr weighted = g.cotangent() * g.result();
      const Expr total = sum(weighted, {g.attrs().integer("axis")}, true);
      g.add(0, weighted - g.result() * total);
    },
    .expand = [](Builder& b, const Op& op) {
      const Exponentials e = exponentials({b, op.operands[0]}, op.attrs.integer("axis"));
      return e.exps / e.total;
    },
};

const OpDef op_log_softmax = {
    .name = "log_softmax",
    .summary = "log(softmax(x)) along an axis, without the loss of small probabilities",
    .operands = 1,
    .attrs = {{"axis", AttrKind::integer}},
    .infer = infer_softmax,
    .vjp = [](Vjp& g) {
      const Expr total = sum(g.cotangent(), {g.attrs().integer("axis")}, true);
      g.add(0, g.cotangent() - exp(g.result()) * total);
    },
    .expand = [](Builder& b, const Op& op) {
      const Exponentials e = exponentials({b, op.operands[0]}, op.attrs.integer("axis"));
      return e.shifted - log(e.total);
    },
};

const OpDef op_mse_loss = {
    .name = "mse_loss",
    .summary = "mean over all elements of (prediction - target)^2",
    .operands = 2,
    .attrs = {{"reduction", AttrKind::text, std::string("mean")}},
    .infer = [](const InferArgs& in) {
      const Type &p = in.operands[0], &t = in.operands[1];
      check_reduction(in.attrs.text("reduction"));
      if (p != t || !is_float(p.dtype)) {
        throw Error(fmt::format("mse_loss needs a prediction and a target of one type but got {} "
                                "and {}", to_string(p), to_string(t)))
            .help("reshape the target to the shape of the prediction, as in y.unsqueeze(1)");
      }
      return in.attrs.text("reduction") == "none" ? p : Type{p.dtype, {}};
    },
    .vjp = [](Vjp& g) {
      const Type p = g.operand(0).type();
      Expr d = 2.0 * (g.operand(0) - g.operand(1));
      if (g.attrs().text("reduction") == "mean") d = d / g.b.extent(p.shape, p.dtype);
      d = d * g.cotangent();
      g.add(0, d);
      g.add(1, -d);
    },
    .expand = [](Builder& b, const Op& op) {
      const Expr d = Expr(b, op.operands[0]) - Expr(b, op.operands[1]);
      const Expr count = b.extent(d.type().shape, d.type().dtype);
      return reduce_loss(b, d * d, count, op.attrs.text("reduction"));
    },
};

const OpDef op_cross_entropy = {
    .name = "cross_entropy",
    .summary = "mean over rows whose label is not ignore_index of -log softmax(logits)[label]",
    .operands = 2,
    .attrs = {{"reduction", AttrKind::text, std::string("mean")},
              {"ignore_index", AttrKind::integer, int64_t{-100}}},
    .infer = [](const InferArgs& in) {
      const Type &x = in.operands[0], &y = in.operands[1];
      check_reduction(in.attrs.text("reduction"));
      if (x.rank() != 2 || !is_float(x.dtype)) {
        throw Error(fmt::format("cross_entropy needs logits [n, classes] but got {}",
                                to_string(x)))
            .help("pass the output of the last Linear, without softmax");
      }
      if (y.rank() != 1 || !is_int(y.dtype) || y.shape[0] != x.shape[0]) {
        throw Error(fmt::format("cross_entropy needs one integer label a row, {}[{}], but got {}",
                                "i64", to_string(x.shape[0]), to_string(y)))
            .help(y == x ? "pass class numbers instead of one-hot rows, as argmax(y, 1) gives them"
                         : "pass class numbers as a tensor of dtype i64 with one axis");
      }
      return in.attrs.text("reduction") == "none" ? Type{x.dtype, {x.shape[0]}}
                                                  : Type{x.dtype, {}};
    },
    .vjp = [](Vjp& g) {
      const Expr x = g.operand(0);
      const Targets t = targets(g.b, x, g.operand(1), g.attrs().integer("ignore_index"));
      const Exponentials e = exponentials(x, 1);
      const DType dtype = x.type().dtype;
      const Expr hot = select(t.hot, g.b.scalar(1, dtype), g.b.scalar(0, dtype));
      Expr scale = t.weight * per_row(g.cotangent(), t.weight.type().shape);
      if (g.attrs().text("reduction") == "mean") scale = scale / sum(t.weight, {0, 1}, false);
      g.add(0, (e.exps / e.total - hot) * scale);
    },
    .expand = [](Builder& b, const Op& op) {
      const Expr x(b, op.operands[0]);
      const Targets t = targets(b, x, {b, op.operands[1]}, op.attrs.integer("ignore_index"));
      const Exponentials e = exponentials(x, 1);
      const Expr picked = sum(select(t.hot, e.shifted, b.scalar(0, x.type().dtype)), {1}, true);
      const Expr loss = (log(e.total) - picked) * t.weight;
      const std::string& reduction = op.attrs.text("reduction");
      if (reduction == "none") return reshape(loss, {x.type().shape[0]});
      return reduce_loss(b, loss, sum(t.weight, {0, 1}, false), reduction);
    },
};

}  // namespace sinter::ir
