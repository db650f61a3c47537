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

// For logits [n, classes] and labels [n]: which class is the label, and which rows are ignored, as
// bool [n, classes] and [n, 1].
struct Targets {
  Expr hot, ignored;
};
Targets targets(Builder& b, Expr logits, Expr labels, int64_t ignore_index) {
  const Type wide = logits.type().with(labels.type().dtype);
  const Expr column = reshape(labels, {labels.type().shape[0], Dim{1}});
  const Expr ignored = b.scalar(static_cast<double>(ignore_index), wide.dtype);
  return {equal(b.iota(1, wide), column), equal(column, ignored)};
}

// How many rows are not ignored.
Expr counted_rows(Builder& b, Expr ignored, DType dtype) {
  return sum(select(ignored, b.scalar(0, dtype), b.scalar(1, dtype)), {0, 1}, false);
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
      // One division for the whole batch instead of one for each element.
      Expr scale = g.b.scalar(2, p.dtype) * g.cotangent();
      if (g.attrs().text("reduction") == "mean") scale = scale / g.b.extent(p.shape, p.dtype);
      const Expr d = (g.operand(0) - g.operand(1)) * scale;
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
      Expr scale = per_row(g.cotangent(), t.ignored.type().shape);
      if (g.attrs().text("reduction") == "mean") {
        scale = scale / counted_rows(g.b, t.ignored, dtype);
      }
      // Chosen, not multiplied by 0: an ignored row may hold NaN.
      const Expr d = (e.exps / e.total - hot) * scale;
      g.add(0, select(t.ignored, g.b.scalar(0, dtype), d));
    },
    .expand = [](Builder& b, const Op& op) {
      const Expr x(b, op.operands[0]);
      const Targets t = targets(b, x, {b, op.operands[1]}, op.attrs.integer("ignore_index"));
      const Exponentials e = exponentials(x, 1);
      const DType dtype = x.type().dtype;
      const Expr zero = b.scalar(0, dtype);
      const Expr picked = sum(select(t.hot, e.shifted, zero), {1}, true);
      const Expr loss = select(t.ignored, zero, log(e.total) - picked);
      const std::string& reduction = op.attrs.text("reduction");
      if (reduction == "none") return reshape(loss, {x.type().shape[0]});
      return reduce_loss(b, loss, counted_rows(b, t.ignored, dtype), reduction);
    },
};

}  // namespace sinter::ir
