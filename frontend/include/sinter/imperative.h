#pragma once

#include <cstdint>
#include <memory>

#include <sinter/trainer.h>

namespace sinter {

namespace detail {
struct ImperativeState;
}

/// The loss of one mini-batch, which has not been computed yet.
class Loss {
 public:
  /// Asks for the gradients. Error if gradients are there already: they would add up, so call
  /// zero_grad() before; and if it is not the loss of the last batch.
  void backward();
  /// The number. After step() it is the one that the step computed on its way; before, it costs a
  /// forward pass.
  float item() const;

 private:
  friend class Imperative;
  Loss(std::shared_ptr<detail::ImperativeState> state, int64_t batch)
      : state_(std::move(state)), batch_(batch) {}
  std::shared_ptr<detail::ImperativeState> state_;
  int64_t batch_;
};

/// The loop that readers of other libraries know, in front of the one compiled step:
///
///     Imperative optimizer(trainer);
///     for (auto [step, x, y] : loader) {
///       Loss loss = optimizer.loss(x, y);
///       optimizer.zero_grad();
///       loss.backward();
///       optimizer.step();
///       fmt::print("{}\n", loss.item());
///     }
///
/// Nothing is computed until step(), which runs forward pass, gradients and update as the one call
/// that Trainer::step is; zero_grad() costs nothing. An order of calls that would mean something
/// else in a library that computes at once is an Error, never another result.
class Imperative {
 public:
  /// The trainer must outlive it.
  explicit Imperative(Trainer& trainer);

  /// Of net(x) against y. The tensors are read when the step runs.
  Loss loss(const Tensor& x, const Tensor& y,
            const std::source_location& at = std::source_location::current());
  void zero_grad();
  /// The update. Error unless backward() was called since the last one.
  void step();

 private:
  std::shared_ptr<detail::ImperativeState> state_;
};

}  // namespace sinter
