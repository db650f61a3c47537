#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <sinter/error.h>
#include <sinter/fit.h>
#include <sinter/trainer.h>

namespace sinter {

/// Where a number that is not finite came from.
struct NonFinite {
  /// Steps before this one, as the FiniteCheck counts them.
  int64_t step = 0;
  /// The first op, in the order forward pass, gradients, update, that made one out of finite
  /// operands and from which it spread; empty if it was in an input or a parameter on entry.
  std::string op;
  /// The value as the IR names it, "%hidden.log", and the line and module path that recorded it.
  std::string value;
  SourceLoc at;
  std::string scope;
  /// The first such element, and its row of the batch; -1 if the value has none.
  std::vector<int64_t> index;
  int64_t row = -1;
  double element = 0;
  struct Operand {
    std::string value, type;
    double low = 0, high = 0;
  };
  /// Ranges of what the op read.
  std::vector<Operand> operands;
  /// Runs the step again with the same numbers; empty if no folder was given.
  std::string replay;
};

/// What FiniteCheck throws: the report as a message at the user's line.
class NonFiniteError : public Error {
 public:
  NonFiniteError(const Error& text, NonFinite report) : Error(text), report_(std::move(report)) {}
  const NonFinite& report() const { return report_; }

 private:
  NonFinite report_;
};

struct FiniteCheckOptions {
  /// Where to write the step (.sir) and everything it read (.npy); empty for nowhere.
  std::string replay_dir{};
};

/// Finds out where a loss or a weight stopped being finite. Around each step it keeps a copy of
/// parameters and optimizer state, and looks at all of them afterwards; when something is NaN or
/// infinite it runs the same step in the interpreter, op by op, puts the copy back and throws
/// NonFiniteError. Training without it costs nothing. Use step() in place of the trainer's, or pass
/// it to fit() as a callback.
class FiniteCheck : public Callback {
 public:
  explicit FiniteCheck(FiniteCheckOptions options = {});

  /// trainer.step(x, y), checked.
  float step(Trainer& trainer, const Tensor& x, const Tensor& y,
             const std::source_location& at = std::source_location::current());

  void on_batch_begin(Fit& fit) override;
  void on_batch_end(Fit& fit) override;

 private:
  void keep(Trainer& trainer, const Tensor& x, const Tensor& y, const std::source_location& at);
  void look(Trainer& trainer, const Tensor& x, const Tensor& y, float loss);

  FiniteCheckOptions options_;
  int64_t steps_ = 0;
  // Of the globals of the step, in order, as they were before it.
  std::vector<Tensor> before_;
};

}  // namespace sinter
