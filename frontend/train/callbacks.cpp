#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include <sinter/callbacks.h>
#include <sinter/error.h>

namespace sinter {

namespace {

double worst(Better better) {
  const double infinity = std::numeric_limits<double>::infinity();
  return better == Better::smaller ? infinity : -infinity;
}

// NaN is no improvement.
bool improves(Better better, double value, double bound) {
  return better == Better::smaller ? value < bound : value > bound;
}

}  // namespace

EarlyStopping::EarlyStopping(EarlyStoppingOptions options) : options_(std::move(options)) {
  if (options_.patience < 1 || !(options_.min_delta >= 0))
    throw Error("EarlyStopping got patience = {} and min_delta = {}", options_.patience,
                options_.min_delta)
        .help("wait at least one epoch, and give a min_delta of 0 or more");
}

void EarlyStopping::on_fit_begin(Fit&) {
  best_ = worst(options_.better);
  best_epoch_ = -1;
  waited_ = 0;
  weights_.clear();
}

void EarlyStopping::on_epoch_end(Fit& fit) {
  const double value = fit.value(options_.monitor);
  const double margin =
      options_.better == Better::smaller ? -options_.min_delta : options_.min_delta;
  if (improves(options_.better, value, best_ + margin)) {
    best_ = value;
    best_epoch_ = fit.epoch;
    waited_ = 0;
    if (!options_.restore_best) return;
    const std::vector<nn::Parameter> parameters = fit.trainer.net().parameters();
    weights_.resize(parameters.size());
    for (size_t i = 0; i < parameters.size(); ++i) weights_[i] = parameters[i].value().clone();
    return;
  }
  if (++waited_ < options_.patience) return;
  fit.stop(fmt::format("{} has not improved for {} epochs", options_.monitor, waited_));
}

void EarlyStopping::on_fit_end(Fit& fit) {
  if (weights_.empty()) return;
  std::vector<nn::Parameter> parameters = fit.trainer.net().parameters();
  for (size_t i = 0; i < parameters.size(); ++i) parameters[i].set_value(weights_[i]);
}

LearningRate::LearningRate(Schedule schedule, LearningRateOptions options)
    : schedule_(std::move(schedule)), options_(std::move(options)) {
  if (!schedule_) throw Error("LearningRate got no schedule").help("pass one, as StepLR{{}}");
}

void LearningRate::on_fit_begin(Fit& fit) {
  initial_ = options_.initial ? *options_.initial : fit.trainer.get(options_.name);
}

void LearningRate::on_epoch_begin(Fit& fit) {
  if (options_.every == Every::epoch)
    fit.trainer.set(options_.name, schedule_(initial_, fit.epoch));
}

void LearningRate::on_batch_begin(Fit& fit) {
  if (options_.every == Every::batch) fit.trainer.set(options_.name, schedule_(initial_, fit.step));
}

ReduceLROnPlateau::ReduceLROnPlateau(ReduceLROnPlateauOptions options)
    : options_(std::move(options)) {
  if (!(options_.factor > 0 && options_.factor < 1))
    throw Error("ReduceLROnPlateau got factor = {}", options_.factor)
        .help("give a factor between 0 and 1");
}

void ReduceLROnPlateau::on_fit_begin(Fit&) {
  best_ = worst(options_.better);
  waited_ = cooling_ = 0;
}

void ReduceLROnPlateau::on_epoch_end(Fit& fit) {
  const double value = fit.value(options_.monitor);
  const double change =
      options_.better == Better::smaller ? -options_.threshold : options_.threshold;
  const double bound = std::isinf(best_) ? best_ : best_ * (1 + change);
  if (improves(options_.better, value, bound)) {
    best_ = value;
    waited_ = 0;
  } else {
    ++waited_;
  }
  if (cooling_ > 0) {
    --cooling_;
    waited_ = 0;
  }
  if (waited_ <= options_.patience) return;
  fit.trainer.set_lr(std::max(options_.min_lr, options_.factor * fit.trainer.lr()));
  cooling_ = options_.cooldown;
  waited_ = 0;
}

}  // namespace sinter
