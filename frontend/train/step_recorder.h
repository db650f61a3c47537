// Records the training step: forward pass, loss, metrics, gradients, and the optimizer's rule.
#pragma once

#include <memory>
#include <optional>
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
  // `all_names`: those of all parameters, frozen ones included.
  StepRecorder(std::shared_ptr<Recording> recording, std::vector<std::string> all_names);

  // Runs the rule over `trained`; ops count as written at `at`.
  void record(const optim::Optimizer& optimizer, std::vector<optim::Trained> trained,
              const SourceLoc& at);

  const std::vector<optim::Trained>& trained() const { return trained_; }
  const std::vector<std::string>& all_names() const { return all_names_; }
  Value hyper(const std::string& name, double initial);
  Value state(const std::string& name, const optim::Trained& like, double initial);
  Value scalar_state(const std::string& name, double initial, std::optional<DType> dtype);
  Value rows();
  void assign(const Value& target, const Operand& next);
  // Where the step draws random numbers: makes the next step draw others, and lists their state.
  void advance_random_step();

  const std::vector<Hyper>& hypers() const { return hypers_; }
  const std::vector<std::pair<std::string, Tensor>>& states() const { return states_; }

 private:
  DType dtype() const;
  Value state_tensor(const std::string& name, const Tensor& initial);

  std::shared_ptr<Recording> recording_;
  std::vector<std::string> all_names_;
  std::vector<optim::Trained> trained_;
  std::vector<Hyper> hypers_;
  std::vector<Value> hyper_values_;
  std::vector<std::pair<std::string, Tensor>> states_;
  std::vector<Value> state_values_;
};

// The hyper-parameters that a rule asks for, found by running it on a step with one number for each
// parameter of `net`.
std::vector<Hyper> hypers_of(const optim::Optimizer& optimizer, const nn::Module& net,
                             const SourceLoc& at);

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
  std::vector<Hyper> hypers;  // in the order of the arguments
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
