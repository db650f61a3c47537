#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sinter/optim.h>

namespace sinter::optim {

// Optimizers made of others. The outer one acts first: clip_norm(1.0, Adam{}) clips, then Adam
// updates; accumulate(4, clip_norm(1.0, Adam{})) clips what four mini-batches have added up.

/// Scales all gradients by min(1, max_norm / (norm + 1e-6)), where norm is the Euclidean norm over
/// all of them together, as torch.nn.utils.clip_grad_norm_ does. "max_norm" is an argument of the
/// step.
struct ClipNorm {
  static constexpr std::string_view name = "clip_norm";
  double max_norm;
  Optimizer inner;

  void update(Step& step) const;
};
ClipNorm clip_norm(double max_norm, Optimizer inner);

/// Moves each element of the gradients into [-max_value, max_value], as
/// torch.nn.utils.clip_grad_value_ does; NaN stays. "max_value" is an argument of the step.
struct ClipValue {
  static constexpr std::string_view name = "clip_value";
  double max_value;
  Optimizer inner;

  void update(Step& step) const;
};
ClipValue clip_value(double max_value, Optimizer inner);

/// Lets `inner` update once for every `batches` mini-batches, with the gradient of the mean over
/// all their rows: each mini-batch counts with its number of rows, so that a smaller last one is no
/// more than its rows. That is for a loss that is a mean over rows; with Loss::sum gradients are
/// added as they are. The count goes on from one epoch to the next. "accumulate" is an argument of
/// the step: `trainer.set("accumulate", 1)` before a step makes it use up what has been gathered.
/// Between updates neither parameters nor the inner optimizer's state change.
struct Accumulate {
  static constexpr std::string_view name = "accumulate";
  enum class Loss : uint8_t { mean, sum };
  int64_t batches;
  Optimizer inner;
  Loss loss = Loss::mean;

  void update(Step& step) const;
};
/// Error if `batches` is less than 1.
Accumulate accumulate(int64_t batches, Optimizer inner,
                      Accumulate::Loss loss = Accumulate::Loss::mean);

/// Some of the parameters and the optimizer that updates them.
struct Group {
  /// Prefix of its hyper-parameters: "head.lr".
  std::string name;
  /// Paths of modules or parameters, "predict" or "predict.bias", or patterns as of a shell,
  /// "*.bias".
  std::vector<std::string> parameters;
  Optimizer optimizer;
};

/// An optimizer for each group of parameters:
///
///     optim::Groups{{"head", {"predict"}, optim::Adam{.lr = 1e-2}},
///                   {"rest", {"*"}, optim::SGD{.lr = 1e-3}}}
///
/// A parameter belongs to the first group that names it. Each group has hyper-parameters of its
/// own, "head.lr" and "rest.lr"; "lr" itself is a factor on all of these, 1 at first, for
/// schedules. Error for a parameter in no group, for a group that names no parameter of the net,
/// and for two groups of one name.
class Groups {
 public:
  static constexpr std::string_view name = "groups";

  Groups(std::initializer_list<Group> groups) : Groups(std::vector<Group>(groups)) {}
  explicit Groups(std::vector<Group> groups);

  void update(Step& step) const;

 private:
  size_t group_of(const std::string& parameter) const;

  std::vector<Group> groups_;
};

}  // namespace sinter::optim
