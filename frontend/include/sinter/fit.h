#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <sinter/data_loader.h>
#include <sinter/trainer.h>

namespace sinter {

/// What fit() saw: one value for each epoch and each name ("loss", metrics, "val_loss", metrics
/// after "val_", "lr").
class History {
 public:
  /// Error with the names there are.
  const std::vector<double>& operator[](std::string_view name) const;
  std::vector<std::string> names() const;
  /// Epochs that were finished.
  int64_t epochs() const { return epochs_; }
  /// Why training ended before its last epoch; empty if it did not.
  const std::string& stopped() const { return stopped_; }
  /// A table with a row for each epoch, as CSV. Error if the file cannot be written.
  void save_csv(const std::string& path) const;

 private:
  friend class Fit;
  friend class FitLoop;
  std::vector<std::pair<std::string, std::vector<double>>> columns_;
  int64_t epochs_ = 0;
  std::string stopped_;
};

/// A training run from the inside, for callbacks.
class Fit {
 public:
  Fit(Trainer& trainer, DataLoader& loader) : trainer(trainer), loader(loader) {}

  Trainer& trainer;
  DataLoader& loader;
  /// Counted from 0, like those of the loader's position where fit() resumes.
  int64_t epoch = 0;
  /// Where training ends.
  int64_t epochs = 0;
  /// Batches since training began, and in this epoch.
  int64_t step = 0, batch = 0;
  /// The rows of this batch, while there is one.
  const Tensor* x = nullptr;
  const Tensor* y = nullptr;
  /// Of this batch, before its update.
  float loss = 0;

  /// A value of the epoch that has just ended, by its name in the history. Error with the names
  /// there are.
  double value(std::string_view name) const;
  /// Ends training after this batch.
  void stop(std::string reason);
  bool stopped() const { return !history_.stopped_.empty(); }
  const History& history() const { return history_; }

 private:
  friend class FitLoop;
  void add(const std::string& name, double value);
  History history_;
};

/// Something that happens during training. Override what you need.
class Callback {
 public:
  virtual ~Callback() = default;
  virtual void on_fit_begin(Fit&) {}
  virtual void on_epoch_begin(Fit&) {}
  virtual void on_batch_begin(Fit&) {}
  virtual void on_batch_end(Fit&) {}
  virtual void on_epoch_end(Fit&) {}
  virtual void on_fit_end(Fit&) {}
};

/// A Callback by value or shared, or a function that is called after each epoch.
class AnyCallback {
 public:
  template <std::derived_from<Callback> C>
  AnyCallback(C callback)  // NOLINT(google-explicit-constructor)
      : callback_(std::make_shared<C>(std::move(callback))) {}
  template <std::derived_from<Callback> C>
  AnyCallback(std::shared_ptr<C> callback)  // NOLINT(google-explicit-constructor)
      : callback_(std::move(callback)) {}
  template <class F>
    requires(std::is_invocable_v<F&, Fit&> && !std::derived_from<F, Callback>)
  AnyCallback(F function)  // NOLINT(google-explicit-constructor)
      : callback_(std::make_shared<AfterEpoch<F>>(std::move(function))) {}

  Callback* operator->() const { return callback_.get(); }

 private:
  template <class F>
  struct AfterEpoch final : Callback {
    explicit AfterEpoch(F f) : function(std::move(f)) {}
    void on_epoch_end(Fit& fit) override { function(fit); }
    F function;
  };
  std::shared_ptr<Callback> callback_;
};

/// How fit() reports: on a terminal as one line that is drawn anew, elsewhere as one line each
/// epoch.
enum class Progress : uint8_t { automatic, redraw, lines, silent };

/// Rows at hand, {x, y}, or those of a loader, {.loader = &loader}: another than the one that
/// trains, which must outlive fit().
struct Validation {
  Tensor x{}, y{};
  DataLoader* loader = nullptr;
};

struct FitOptions {
  int64_t epochs = 1;
  /// Rows that are evaluated after each epoch, without an update.
  Validation validation{};
  /// Called in this order.
  std::vector<AnyCallback> callbacks{};
  Progress progress = Progress::automatic;
  /// Counts epochs as the loader does: after seek() training goes on where it was, mid-epoch too,
  /// up to epoch `epochs`, and schedules with it. Otherwise each fit() runs `epochs` epochs.
  bool resume = false;
};

/// Trains on all batches of the loader, epoch after epoch. A value of an epoch is the mean over its
/// rows. Compiles once for the loader's batch size.
///
///     const History history =
///         fit(trainer, loader, {.epochs = 20, .callbacks = {EarlyStopping({.patience = 3})}});
History fit(Trainer& trainer, DataLoader& loader, FitOptions options = {},
            const std::source_location& at = std::source_location::current());

}  // namespace sinter
