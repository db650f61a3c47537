// Compositions; what activations.cpp says of `where` holds here as well.
#include "frontend/functions/losses.h"

#include <fmt/format.h>

#include <sinter/error.h>
#include <sinter/losses.h>

#include "frontend/functions/composite.h"
#include "frontend/functions/function_parts.h"
#include "ir/text/text.h"

namespace sinter {

using detail::Composite;

namespace {

Value reduced(const Value& loss, Reduction reduction) {
  if (reduction == Reduction::none) return loss;
  return reduction == Reduction::sum ? sum(loss) : mean(loss);
}

// A prediction and a target of one type, as mse_loss wants them.
void require_one_type(const Composite& c, const char* name) {
  const ir::Type &p = c.type(0), &t = c.type(1);
  if (p == t && is_float(p.dtype)) return;
  throw Error("{} needs a prediction and a target of one type but got {} and {}", name,
              ir::to_string(p), ir::to_string(t))
      .at(c.at())
      .help("reshape the target to the shape of the prediction, as in y.unsqueeze(1)");
}

void require_positive(const Composite& c, const char* name, const char* field, double value) {
  if (value > 0) return;
  throw Error("{} with {} = {}", name, field, value)
      .at(c.at())
      .help("give a number larger than 0{}",
            std::string_view(name) == "smooth_l1_loss" ? ", or use l1_loss" : "");
}

Value huber(const Value& d, double delta) {
  const Value size = abs(d);
  return where(less(size, delta), 0.5 * (d * d), delta * (size - 0.5 * delta));
}

}  // namespace

Value l1_loss(const Operand& prediction, const Operand& target) {
  return l1_loss(prediction, target, {});
}
Value l1_loss(const Operand& prediction, const Operand& target, LossOptions options) {
  Composite c({&prediction, &target});
  require_one_type(c, "l1_loss");
  return c.done(reduced(abs(c[0] - c[1]), options.reduction), "l1_loss");
}

Value huber_loss(const Operand& prediction, const Operand& target) {
  return huber_loss(prediction, target, {});
}
Value huber_loss(const Operand& prediction, const Operand& target, HuberOptions options) {
  Composite c({&prediction, &target});
  require_one_type(c, "huber_loss");
  require_positive(c, "huber_loss", "delta", options.delta);
  return c.done(reduced(huber(c[0] - c[1], options.delta), options.reduction), "huber_loss");
}

Value smooth_l1_loss(const Operand& prediction, const Operand& target) {
  return smooth_l1_loss(prediction, target, {});
}
Value smooth_l1_loss(const Operand& prediction, const Operand& target, SmoothL1Options options) {
  Composite c({&prediction, &target});
  require_one_type(c, "smooth_l1_loss");
  require_positive(c, "smooth_l1_loss", "beta", options.beta);
  const Value loss = huber(c[0] - c[1], options.beta) / options.beta;
  return c.done(reduced(loss, options.reduction), "smooth_l1_loss");
}

Value binary_cross_entropy(const Operand& probability, const Operand& target) {
  return binary_cross_entropy(probability, target, {});
}
Value binary_cross_entropy(const Operand& probability, const Operand& target, LossOptions options) {
  Composite c({&probability, &target});
  require_one_type(c, "binary_cross_entropy");
  const auto bounded_log = [](const Value& p) {
    const Value zero = equal(p, 0);
    return maximum(where(zero, -100, log(where(zero, 1, p))), -100);
  };
  const Value loss = -(c[1] * bounded_log(c[0]) + (1 - c[1]) * bounded_log(1 - c[0]));
  return c.done(reduced(loss, options.reduction), "binary_cross_entropy");
}

Value binary_cross_entropy_with_logits(const Operand& logits, const Operand& target) {
  return binary_cross_entropy_with_logits(logits, target, {});
}
Value binary_cross_entropy_with_logits(const Operand& logits, const Operand& target,
                                       LogitsOptions options) {
  Composite c({&logits, &target});
  require_one_type(c, "binary_cross_entropy_with_logits");
  // log p = -softplus(-x) and log(1 - p) = -softplus(x).
  Value positive = c[1] * softplus(-c[0]);
  if (options.pos_weight) positive = *options.pos_weight * positive;
  const Value loss = positive + (1 - c[1]) * softplus(c[0]);
  if (Composite::type_of(loss) != c.type(0)) {
    throw Error("pos_weight {} does not fit logits {}", options.pos_weight->type_string(),
                ir::to_string(c.type(0)))
        .at(c.at())
        .help("give one number for each class, or a single one");
  }
  return c.done(reduced(loss, options.reduction), "binary_cross_entropy_with_logits");
}

namespace {

// Labels are class numbers, or the one to ignore.
void check_labels(Composite& c, const CrossEntropyOptions& options) {
  detail::Recorder& r = c.recorder();
  detail::check_rows(r, r[1], c.type(0).shape[1], options.ignore_index);
}

void require_labels(Composite& c, const char* name, const CrossEntropyOptions& options) {
  const ir::Type &x = c.type(0), &y = c.type(1);
  if (x.rank() != 2 || !is_float(x.dtype) || x.shape[1].batch || y.rank() != 1 ||
      !is_int(y.dtype) || y.shape[0] != x.shape[0]) {
    throw Error("{} needs floats [n, classes] and integer labels [n] but got {} and {}", name,
                ir::to_string(x), ir::to_string(y))
        .at(c.at())
        .help("pass one class number a row, as argmax(y, 1) makes them of one-hot rows");
  }
  if (options.label_smoothing < 0 || options.label_smoothing > 1) {
    throw Error("{} with label_smoothing = {}", name, options.label_smoothing)
        .at(c.at())
        .help("give a share of 1, as 0.1");
  }
  if (!options.class_weights) return;
  const Tensor& w = *options.class_weights;
  if (w.shape() == Shape{x.shape[1].scale} && w.dtype() == x.dtype) return;
  throw Error("class_weights {} do not fit {}", w.type_string(), ir::to_string(x))
      .at(c.at())
      .help("give one factor for each of the {} classes, of the same dtype", x.shape[1].scale);
}

// -log_p[label] with weights and smoothing, PyTorch's definition: the mean divides by the weights
// of the labels, or without them by the number of rows that count.
Value labelled_loss(Composite& c, const Value& log_p, const CrossEntropyOptions& options) {
  const int64_t classes = c.type(0).shape[1].scale;
  detail::Recorder& r = c.recorder();
  const Value numbers = r.done(r.builder().iota(0, {c.type(1).dtype, {ir::Dim{classes}}}));
  const Value column = unsqueeze(c[1], 1);
  const Value ignored = equal(column, static_cast<double>(options.ignore_index));
  const Value hot = equal(column, numbers);
  const auto weighted = [&](const Value& v) {
    return options.class_weights ? *options.class_weights * v : v;
  };
  // Chosen, not multiplied by 0: an ignored row and a class that is not the label may hold
  // anything.
  Value loss = sum(where(hot, weighted(-log_p), 0), 1, true);
  if (options.label_smoothing != 0) {
    const double share = options.label_smoothing;
    const Value all = sum(weighted(-log_p), 1, true);
    loss = (1 - share) * loss + share / static_cast<double>(classes) * all;
  }
  loss = where(ignored, 0, loss);
  if (options.reduction == Reduction::none) return squeeze(loss, 1);
  const Value total = sum(loss);
  if (options.reduction == Reduction::sum) return total;
  if (!options.class_weights) return total / sum(1 - cast(ignored, c.type(0).dtype));
  const Value factor = sum(where(hot, *options.class_weights, 0), 1, true);
  return total / sum(where(ignored, 0, factor));
}

}  // namespace

Value detail::smoothed_cross_entropy(const Operand& logits, const Operand& labels,
                                     const CrossEntropyOptions& options) {
  Composite c({&logits, &labels});
  require_labels(c, "cross_entropy", options);
  check_labels(c, options);
  return c.done(labelled_loss(c, log_softmax(c[0], 1), options), "cross_entropy");
}

Value nll_loss(const Operand& log_probabilities, const Operand& labels) {
  return nll_loss(log_probabilities, labels, {});
}
Value nll_loss(const Operand& log_probabilities, const Operand& labels,
               CrossEntropyOptions options) {
  Composite c({&log_probabilities, &labels});
  require_labels(c, "nll_loss", options);
  check_labels(c, options);
  return c.done(labelled_loss(c, c[0], options), "nll_loss");
}

Value kl_div(const Operand& log_probabilities, const Operand& target) {
  return kl_div(log_probabilities, target, {});
}
Value kl_div(const Operand& log_probabilities, const Operand& target, KlOptions options) {
  Composite c({&log_probabilities, &target});
  require_one_type(c, "kl_div");
  Value loss;
  if (options.log_target) {
    loss = exp(c[1]) * (c[1] - c[0]);
  } else {
    const Value none = equal(c[1], 0);
    loss = where(none, 0, c[1] * (log(where(none, 1, c[1])) - c[0]));
  }
  if (options.reduction == KlReduction::sum) {
    loss = sum(loss);
  } else if (options.reduction == KlReduction::mean) {
    loss = mean(loss);
  } else if (options.reduction == KlReduction::batchmean) {
    // The mean over axis 0 of the sums over the others.
    while (loss.dim() > 1) loss = sum(loss, -1);
    loss = mean(loss);
  }
  return c.done(loss, "kl_div");
}

Value cosine_embedding_loss(const Operand& a, const Operand& b, const Operand& y) {
  return cosine_embedding_loss(a, b, y, {});
}
Value cosine_embedding_loss(const Operand& a, const Operand& b, const Operand& y,
                            CosineOptions options) {
  Composite c({&a, &b, &y});
  const ir::Type &p = c.type(0), &q = c.type(1), &label = c.type(2);
  if (p != q || p.rank() != 2 || !is_float(p.dtype) || label.dtype != p.dtype ||
      label.rank() != 1 || label.shape[0] != p.shape[0]) {
    throw Error(
        "cosine_embedding_loss needs rows [n, width] twice and labels [n] of one dtype but "
        "got {}, {} and {}",
        ir::to_string(p), ir::to_string(q), ir::to_string(label))
        .at(c.at())
        .help("pass 1 for pairs that belong together and -1 for those that do not");
  }
  const auto square = [](const Value& v) { return sum(v * v, 1) + 1e-12; };
  const Value cosine = sum(c[0] * c[1], 1) / sqrt(square(c[0]) * square(c[1]));
  const Value apart = relu(cosine - options.margin);
  const Value loss = where(equal(c[2], 1), 1 - cosine, apart);
  return c.done(reduced(loss, options.reduction), "cosine_embedding_loss");
}

}  // namespace sinter
