#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <sinter/fit.h>
#include <sinter/schedule.h>

namespace sinter {

enum class Better : uint8_t { smaller, larger };

struct EarlyStoppingOptions {
  std::string monitor = "val_loss";
  Better better = Better::smaller;
  /// Epochs without an improvement after which training stops.
  int64_t patience = 5;
  /// A smaller change is none.
  double min_delta = 0;
  /// Puts the weights of the best epoch back at the end, however it came about.
  bool restore_best = true;
};

/// Stops when a value no longer gets better.
class EarlyStopping : public Callback {
 public:
  explicit EarlyStopping(EarlyStoppingOptions options = {});
  void on_fit_begin(Fit& fit) override;
  void on_epoch_end(Fit& fit) override;
  void on_fit_end(Fit& fit) override;

  /// Counted like Fit::epoch; -1 before the first.
  int64_t best_epoch() const { return best_epoch_; }
  double best() const { return best_; }

 private:
  EarlyStoppingOptions options_;
  double best_ = 0;
  int64_t best_epoch_ = -1;
  int64_t waited_ = 0;
  std::vector<Tensor> weights_;
};

enum class Every : uint8_t { epoch, batch };

struct LearningRateOptions {
  /// When the rate changes, and what t counts.
  Every every = Every::epoch;
  /// The initial rate; by default what the hyper-parameter is when training begins. Give it where
  /// training may resume with a rate that has changed already.
  std::optional<double> initial{};
  /// The hyper-parameter.
  std::string name = "lr";
};

/// Sets a hyper-parameter by a schedule:
///     LearningRate(CosineAnnealingLR{.t_max = 20})
///     LearningRate(OneCycleLR{.max_lr = 0.1, .total_steps = 20 * loader.batches()},
///                  {.every = Every::batch})
class LearningRate : public Callback {
 public:
  explicit LearningRate(Schedule schedule, LearningRateOptions options = {});
  void on_fit_begin(Fit& fit) override;
  void on_epoch_begin(Fit& fit) override;
  void on_batch_begin(Fit& fit) override;

 private:
  Schedule schedule_;
  LearningRateOptions options_;
  double initial_ = 0;
};

struct ReduceLROnPlateauOptions {
  std::string monitor = "val_loss";
  Better better = Better::smaller;
  double factor = 0.1;
  /// Epochs without an improvement that are let pass.
  int64_t patience = 10;
  /// Only a change by more than this share of the best value counts.
  double threshold = 1e-4;
  /// Epochs after a reduction in which nothing is counted.
  int64_t cooldown = 0;
  double min_lr = 0;
};

/// Multiplies the learning rate by `factor` when a value has stopped getting better, as PyTorch's
/// class of that name does.
class ReduceLROnPlateau : public Callback {
 public:
  explicit ReduceLROnPlateau(ReduceLROnPlateauOptions options = {});
  void on_fit_begin(Fit& fit) override;
  void on_epoch_end(Fit& fit) override;

 private:
  ReduceLROnPlateauOptions options_;
  double best_ = 0;
  int64_t waited_ = 0, cooling_ = 0;
};

}  // namespace sinter
