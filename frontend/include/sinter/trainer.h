#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <sinter/loader_position.h>
#include <sinter/nn.h>
#include <sinter/optim.h>
#include <sinter/state_dict.h>
#include <sinter/tensor.h>
#include <sinter/value.h>

namespace sinter {

class DataLoader;

namespace detail {
struct TrainerFile;
struct Recorded;
}  // namespace detail

/// A function of (prediction, target): a loss or a metric. Made from mse_loss, cross_entropy,
/// accuracy, or any callable on two values.
class Objective {
 public:
  Objective(Value (*function)(const Operand&, const Operand&))  // NOLINT
      : call_([function](const Value& prediction, const Value& target,
                         const std::source_location& at) {
          return function(Operand(prediction, at), Operand(target, at));
        }) {}
  template <class F>
    requires(!std::same_as<F, Objective> && std::is_invocable_r_v<Value, F&, Value, Value>)
  Objective(F function)  // NOLINT(google-explicit-constructor)
      : call_([function = std::move(function)](const Value& prediction, const Value& target,
                                               const std::source_location&) mutable -> Value {
          return function(prediction, target);
        }) {}

  /// `at` is where a function of the library counts as called.
  Value operator()(const Value& prediction, const Value& target,
                   const std::source_location& at) const {
    return call_(prediction, target, at);
  }

 private:
  std::function<Value(const Value&, const Value&, const std::source_location&)> call_;
};

/// A scalar that the compiled step returns besides the loss, as {"accuracy", accuracy}.
struct Metric {
  std::string name;
  Objective compute;
};

struct TrainerOptions {
  /// Largest number of rows in one batch (B); 0 takes that of the first step. A larger batch later
  /// recompiles once, which compile_count() counts.
  int64_t max_batch = 0;
  /// A batch larger than max_batch is an Error instead.
  bool fixed_batch = false;
  /// 0: SINTER_THREADS, or one for each core or one alone, whichever is quicker. Results do not
  /// depend on it.
  int threads = 0;
  /// Runs more threads than there are cores, to test that results do not depend on their number.
  bool oversubscribe = false;
  std::vector<Metric> metrics{};
  /// Runs the reference interpreter, as SINTER_JIT=0 does.
  bool interpret = false;
  /// Where to write every stage of the compiler; empty: SINTER_DUMP.
  std::string dump_dir{};
  /// Passes to leave out, besides those of SINTER_OFF.
  std::vector<std::string> off{};
};

struct StepsOptions {
  /// Rows in each mini-batch; 0 takes max_batch, or all rows.
  int64_t batch_size = 0;
  /// How many mini-batches; 0 takes each row once. More start again with the first row.
  int64_t count = 0;
};

/// Trains a net: records forward pass, loss, gradient and optimizer at the first step, compiles
/// them into one function, and calls that for each mini-batch. Axis 0 of x and y is the batch.
/// Parameters stay in the net's tensors and are updated in place. The net may move, and must
/// outlive it.
class Trainer {
 public:
  Trainer(nn::Module& net, Objective loss, optim::Optimizer optimizer, TrainerOptions options = {},
          const std::source_location& at = std::source_location::current());
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;
  ~Trainer();

  /// One mini-batch: x [n, ...] and y [n, ...]; returns the loss before the update. After the first
  /// call it does not allocate. Error if shapes or dtypes differ from those of the first step, for
  /// a view that is not contiguous, and for a label out of range.
  float step(const Tensor& x, const Tensor& y,
             const std::source_location& at = std::source_location::current());
  /// Several mini-batches in one call over the rows of x and y in order, the last one smaller if
  /// batch_size does not divide the rows. Returns the mean loss over the rows seen.
  float steps(const Tensor& x, const Tensor& y, StepsOptions options = {},
              const std::source_location& at = std::source_location::current());
  /// An epoch of a loader, what is left of it after seek(), in few calls: mini-batches are gathered
  /// into blocks, and each block trains in one. The same batches, losses and bits as a loop over
  /// step(); losses() has all of them. Returns the mean loss over the rows seen. What a data set
  /// throws leaves the batches before it trained.
  float steps(DataLoader& loader, const std::source_location& at = std::source_location::current());
  /// The losses of the last step() or steps(), one for each mini-batch.
  std::span<const float> losses() const;
  /// A metric of the last step(), steps() (its mean over the rows seen) or evaluate(). Error with
  /// the names there are.
  double metric(const std::string& name) const;
  /// The metric at `index` of the options, in one mini-batch of the last step() or steps().
  double metric(size_t index, size_t batch) const;

  /// The net's output for any number of rows, computed in pieces of B. Does not train.
  Tensor predict(const Tensor& x, const std::source_location& at = std::source_location::current());
  /// Mean loss over all rows without an update; sets the metrics.
  float evaluate(const Tensor& x, const Tensor& y,
                 const std::source_location& at = std::source_location::current());

  /// Hyper-parameters by name, as "lr" or "momentum"; a change never recompiles. Error with the
  /// names there are. Before the first step they are not known yet, except "lr".
  double get(const std::string& name) const;
  void set(const std::string& name, double value);
  double lr() const { return get("lr"); }
  void set_lr(double value) { set("lr", value); }

  /// How often the training step was compiled.
  int compile_count() const;
  /// Rows that the compiled step takes at most; 0 before the first step.
  int64_t max_batch() const;
  /// Has the first step compile for at least `rows` rows, as if max_batch had said so, so that a
  /// small first batch costs no second compilation. Without effect after that.
  void reserve(int64_t rows);

  /// Error if it is gone.
  nn::Module& net() const;
  std::vector<std::string> metric_names() const;
  /// Those that get() and set() know.
  std::vector<std::string> hyper_names() const;

  /// Mini-batches trained so far, those before a checkpoint included.
  int64_t step_count() const;

  /// Writes everything that the rest of the run depends on: parameters, optimizer state,
  /// hyper-parameters, the step count, the default generator's seed and place, and where the loader
  /// stands. A crash leaves the old file or the new one. Error before the first step.
  void save_checkpoint(const std::string& path, const LoaderPosition& loader = {}) const;
  /// Goes on from there, bit for bit as if there had been no interruption; returns where the loader
  /// stood, for DataLoader::seek(). The net, the loss and the optimizer are made as they were.
  /// Error that lists every missing, extra and mismatched name, before anything is changed.
  LoaderPosition load_checkpoint(const std::string& path,
                                 const std::source_location& at = std::source_location::current());
  /// The weights by name; they share their buffers with the net.
  StateDict parameters() const;

  /// Optimizer state, by the names it has in the IR, such as "adam.m.hidden.weight".
  std::vector<std::pair<std::string, Tensor>> state() const;

  /// Records the step for inputs like these without running it; done by the first step otherwise.
  void record(const Tensor& x, const Tensor& y,
              const std::source_location& at = std::source_location::current());
  /// The recorded module: @train_step and @predict. Error before the first step.
  std::string ir() const;
  /// @train_step after a pass, by its name, or "forward" as recorded.
  std::string dump(const std::string& stage) const;
  /// The step with its buffers, for tools that run it in another way. Error before the first step.
  const detail::Recorded& recorded() const;

 private:
  friend struct detail::TrainerFile;
  struct Impl;
  explicit Trainer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sinter
