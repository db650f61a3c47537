#pragma once

#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include <sinter/fit.h>
#include <sinter/trainer.h>

namespace sinter {

/// One way to train, in a race.
struct Lane {
  /// Letters, digits, '_' and '-'.
  std::string name;
  optim::Optimizer optimizer;
};

/// Trains one net in several ways at once: every lane starts from the net's weights and sees every
/// mini-batch, and all lanes together are one compiled step. Each goes the way it would go alone:
/// bit for bit where the step of all lanes has the form that the step of one has, either one kernel
/// with the batch in lanes (`lanes = "batch"` in Trainer::dump("fuse_batch"), for gradients of up
/// to 3000 elements in all) or none; else, where only one net alone is narrow enough, to rounding.
///
///     Race race(net, mse_loss, {{"SGD", optim::SGD{.lr = 0.01}}, {"Adam", optim::Adam{.lr =
///     0.01}}}); for (auto [step, x, y] : loader) race.step(x, y);
///     net.copy_parameters(race.net(race.ranking().front().name));
///
/// The net itself stands still; it may move, and must outlive the race.
class Race {
 public:
  /// Metrics of the options are computed for each lane. Error without lanes, and for names that two
  /// lanes have or that the IR does not know.
  Race(nn::Module& net, Objective loss, std::vector<Lane> lanes, TrainerOptions options = {},
       const std::source_location& at = std::source_location::current());
  Race(Race&&) noexcept;
  Race& operator=(Race&&) noexcept;
  ~Race();

  /// One mini-batch, as Trainer::step; returns the loss of each lane before its update.
  std::span<const float> step(const Tensor& x, const Tensor& y,
                              const std::source_location& at = std::source_location::current());
  /// Several mini-batches in one call, as Trainer::steps.
  void steps(const Tensor& x, const Tensor& y, StepsOptions options = {},
             const std::source_location& at = std::source_location::current());

  std::vector<std::string> names() const;
  /// The loss of a lane in each mini-batch that step() and steps() have seen. Error with the names
  /// there are.
  const std::vector<float>& losses(const std::string& lane) const;

  struct Place {
    std::string name;
    double loss = 0;
  };
  /// The lanes by the mean of their losses over the last `batches` mini-batches (0: all), best
  /// first; one whose loss is no number comes last.
  std::vector<Place> ranking(int64_t batches = 0) const;
  /// A column for each lane, a row for each mini-batch. Error if the file cannot be written.
  void save_csv(const std::string& path) const;

  /// A net with the weights of a lane: to save, to copy_parameters() from, to predict with.
  nn::Module& net(const std::string& lane);
  Tensor predict(const std::string& lane, const Tensor& x,
                 const std::source_location& at = std::source_location::current());

  /// The trainer of all lanes, for fit(), callbacks and checkpoints: its loss is the sum of theirs,
  /// its metrics are "SGD.loss" and "SGD.accuracy", its hyper-parameters "SGD.lr", and "lr" is a
  /// factor on all of these.
  Trainer& trainer();
  int compile_count() const;

 private:
  friend History fit(Race& race, DataLoader& loader, FitOptions options,
                     const std::source_location& at);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// As fit() of a trainer, with what happens to trainer(); losses() and ranking() know every batch.
History fit(Race& race, DataLoader& loader, FitOptions options = {},
            const std::source_location& at = std::source_location::current());

}  // namespace sinter
