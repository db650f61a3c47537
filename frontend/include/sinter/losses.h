#pragma once

#include <cstdint>
#include <optional>

#include <sinter/functions.h>
#include <sinter/value.h>

namespace sinter {

// Losses besides mse_loss and cross_entropy of functions.h, named after torch.nn.functional. Where
// nothing else is said, prediction and target have one shape and dtype (an Error otherwise, never a
// broadcast), and the mean is over all elements. A lambda sets options for a trainer:
//
//     Trainer trainer(net, [](Value p, Value y) { return huber_loss(p, y, {.delta = 0.5}); }, ...);

/// abs(prediction - target); the derivative where they are equal is 0.
Value l1_loss(const Operand& prediction, const Operand& target);
Value l1_loss(const Operand& prediction, const Operand& target, LossOptions options);

struct HuberOptions {
  Reduction reduction = Reduction::mean;
  double delta = 1;
};
/// With d = abs(prediction - target): d^2 / 2 where d < delta, else delta (d - delta / 2).
/// Source: Huber 1964.
Value huber_loss(const Operand& prediction, const Operand& target);
Value huber_loss(const Operand& prediction, const Operand& target, HuberOptions options);

struct SmoothL1Options {
  Reduction reduction = Reduction::mean;
  /// Larger than 0.
  double beta = 1;
};
/// Huber's loss divided by its delta, here beta: slope 1 far away. Source: Girshick 2015.
Value smooth_l1_loss(const Operand& prediction, const Operand& target);
Value smooth_l1_loss(const Operand& prediction, const Operand& target, SmoothL1Options options);

/// -(y log p + (1 - y) log(1 - p)) for probabilities p. Logarithms are at least -100, as in
/// PyTorch, and without slope where they are. Prefer the next one: it does not lose small
/// probabilities.
Value binary_cross_entropy(const Operand& probability, const Operand& target);
Value binary_cross_entropy(const Operand& probability, const Operand& target, LossOptions options);

struct LogitsOptions {
  Reduction reduction = Reduction::mean;
  /// A factor on the positive part, [classes] or [1], of the dtype of the logits.
  std::optional<Tensor> pos_weight{};
};
/// The same for p = sigmoid(logit), stable for logits of any size.
Value binary_cross_entropy_with_logits(const Operand& logits, const Operand& target);
Value binary_cross_entropy_with_logits(const Operand& logits, const Operand& target,
                                       LogitsOptions options);

/// -log_probabilities[label] for rows [n, classes] such as log_softmax gives them, and integer
/// labels [n]; by default the mean over the rows whose label is not ignore_index. With class
/// weights and label smoothing as in cross_entropy.
Value nll_loss(const Operand& log_probabilities, const Operand& labels);
Value nll_loss(const Operand& log_probabilities, const Operand& labels,
               CrossEntropyOptions options);

/// How kl_div reduces: batchmean is the sum divided by the size of axis 0, which is the divergence
/// itself; mean divides by all elements.
enum class KlReduction : uint8_t { mean, sum, none, batchmean };
struct KlOptions {
  KlReduction reduction = KlReduction::mean;
  /// The target holds logarithms too.
  bool log_target = false;
};
/// Kullback and Leibler 1951: target (log(target) - x), where x are logarithms of probabilities and
/// a target of 0 counts 0.
Value kl_div(const Operand& log_probabilities, const Operand& target);
Value kl_div(const Operand& log_probabilities, const Operand& target, KlOptions options);

struct CosineOptions {
  Reduction reduction = Reduction::mean;
  double margin = 0;
};
/// For pairs of rows a, b [n, width] and labels y [n] of 1 or -1, in the dtype of the rows:
/// 1 - cos(a, b) where y is 1, else max(0, cos(a, b) - margin). 1e-12 is added to squared norms.
Value cosine_embedding_loss(const Operand& a, const Operand& b, const Operand& y);
Value cosine_embedding_loss(const Operand& a, const Operand& b, const Operand& y,
                            CosineOptions options);

}  // namespace sinter
