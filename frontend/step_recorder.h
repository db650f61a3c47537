// Records the training step: forward pass, loss, metrics, gradients, and the optimizer's rule.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sinter/optim.h>
#include <sinter/trainer.h>

#include "frontend/recording.h"

namespace sinter::detail {

struct Hyper {
  std::string name;
  double value = 0;
};

// The optimizer's view of a recording; see optim::Step.
class StepRecorder {
 public:
  StepRecorder(std::shared_ptr<Recording> recording, const optim::Optimizer& optimizer);

  // Runs the rule over `trained`; ops count as written at `at`.
  void record(std::vector<optim::Trained> trained, const SourceLoc& at);

  const std::vector<optim::Trained>& trained() const { return trained_; }
  Value hyper(std::string_view name, double initial);
  Value state(std::string_view name, const optim::Trained& parameter);
  Value scalar_state(std::string_view name, double initial);
  void assign(const Value& target, const Operand& next);

  const std::vector<Hyper>& hypers() const { return hypers_; }
  const std::vector<std::pair<std::string, Tensor>>& states() const { return states_; }

 private:
  DType dtype() const;
  Value state_tensor(const std::string& name, const Tensor& initial);

  std::shared_ptr<Recording> recording_;
  const optim::Optimizer& optimizer_;
  std::vector<optim::Trained> trained_;
  std::vector<Hyper> hypers_;
  std::vector<Value> hyper_values_;
  std::vector<std::pair<std::string, Tensor>> states_;
  std::vector<Value> state_values_;
};

// The hyper-parameters that a rule asks for, found by running it on a step of one weight.
std::vector<Hyper> hypers_of(const optim::Optimizer& optimizer);

// What the three functions of a trainer are recorded from.
struct StepSource {
  nn::Module& net;
  const Objective& loss;
  const std::vector<Metric>& metrics;
  SourceLoc at;  // of the Trainer
  std::source_location site;
};

struct RecordedStep {
  Recorded recorded;
  std::vector<std::pair<std::string, Tensor>> states;
};

// @train_step(x, y, hyper-parameters, captured tensors) -> loss, metrics.
RecordedStep record_step(const StepSource& source, const optim::Optimizer& optimizer,
                         const Tensor& x, const Tensor& y);
// @evaluate(x, y, captured tensors) -> loss, metrics.
Recorded record_evaluate(const StepSource& source, const Tensor& x, const Tensor& y);
// @predict(x, captured tensors) -> prediction.
Recorded record_predict(const StepSource& source, const Tensor& x);

// The type of a batch like `tensor`: its first axis becomes n.
ir::Type batch_type(const Tensor& tensor);

}  // namespace sinter::detail
