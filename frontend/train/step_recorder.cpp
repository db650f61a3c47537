#include "frontend/train/step_recorder.h"

#include <algorithm>

#include <fmt/format.h>

#include <sinter/error.h>
#include <sinter/functions.h>

#include "ir/op.h"

namespace sinter::detail {

namespace {

void name_value(const Value& value, const std::string& name) {
  const auto [recording, id] = Recorder::resolve(value);
  ir::ValueInfo& info = recording->func()[id];
  if (info.def == ir::ValueDef::op && info.name.empty()) {
    info.name = recording->func().unique_name(name);
  }
}

// Which values the loss depends on through floating-point values: those that have a gradient.
std::vector<bool> reaches(const ir::Func& func, ir::ValueId loss) {
  std::vector<bool> out(func.values.size(), false);
  out[static_cast<size_t>(loss.index)] = true;
  for (size_t i = func.body.size(); i-- > 0;) {
    const ir::Op& op = func.body[i];
    if (!op.result.valid() || !out[static_cast<size_t>(op.result.index)]) continue;
    for (ir::ValueId v : op.operands) {
      if (is_float(func.type(v).dtype)) out[static_cast<size_t>(v.index)] = true;
    }
  }
  return out;
}

// A recording of a step of `source`, with its parameters in order and its inputs.
class StepRecording {
 public:
  StepRecording(const StepSource& source, const char* name)
      : source_(source), recording_(std::make_shared<Recording>(name)) {
    recording_->primary = true;
    parameters_ = source.net.parameters();
    for (const nn::Parameter& p : parameters_) {
      values_.push_back(recording_->add_parameter(p.name(), p));
    }
    recording_->closed = true;
  }

  Value input(const char* name, const Tensor& like) {
    const ir::ValueId id =
        recording_->add_argument({Argument::Kind::input}, batch_type(like), name);
    return Recorder::make(recording_, id);
  }

  Value predict(const Value& x) {
    const Value prediction = source_.net(Operand(x, source_.site));
    if (Recorder::resolve(prediction).first != recording_) {
      throw Error("forward() of {} does not use its input", source_.net.class_name())
          .at(source_.at)
          .help("compute the result from the value that forward() is given");
    }
    SINTER_CHECK(recording_->frames.size() == 1);
    name_value(prediction, "prediction");
    return prediction;
  }

  // The loss, then the metrics, as scalars.
  std::vector<Value> objectives(const Value& prediction, const Value& y) {
    std::vector<Value> out{source_.loss(prediction, y, source_.site)};
    check_scalar(out[0], "the loss", "reduce it, as in mean(loss)");
    name_value(out[0], "loss");
    for (const Metric& metric : source_.metrics) {
      out.push_back(metric.compute(prediction, y, source_.site));
      check_scalar(out.back(), "the metric " + metric.name, "reduce it, as in mean(x)");
      name_value(out.back(), metric.name);
    }
    return out;
  }

  std::vector<optim::Trained> gradients(const Value& loss) {
    const ir::ValueId of = Recorder::resolve(loss).second;
    const std::vector<bool> reached = reaches(recording_->func(), of);
    const LibraryCall here(recording_, source_.at);
    std::vector<optim::Trained> out;
    bool all_frozen = true;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (!parameters_[i].requires_grad()) continue;
      all_frozen = false;
      const auto at = static_cast<size_t>(values_[i].index);
      if (at >= reached.size() || !reached[at]) continue;
      const Value weight = Recorder::make(recording_, values_[i]);
      const Value gradient = grad(loss, weight);
      name_value(gradient, parameters_[i].name() + ".grad");
      out.push_back({parameters_[i].name(), weight, gradient});
    }
    if (out.empty()) {
      Error error = parameters_.empty() ? Error("the net has no parameters to train")
                    : all_frozen        ? Error("every parameter of the net is frozen")
                                        : Error("the loss depends on no parameter of the net");
      throw error.at(source_.at)
          .help(parameters_.empty()
                    ? "list its parts in its constructor, as in add(\"hidden\", hidden)"
                : all_frozen ? "unfreeze some with net.requires_grad(true)"
                             : "compute the loss from the prediction it is given");
    }
    return out;
  }

  // Arguments in the order inputs, hyper-parameters, captured tensors.
  Recorded finish(const std::vector<Value>& results) {
    ir::Func& func = recording_->func();
    for (const Value& v : results) func.results.push_back(Recorder::resolve(v).second);
    std::vector<size_t> order(func.args.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return recording_->arguments[a].kind < recording_->arguments[b].kind;
    });
    Recorded out{{}, {}, recording_->globals, recording_->checks};
    std::vector<ir::ValueId> args;
    std::vector<size_t> moved(order.size());
    for (size_t i = 0; i < order.size(); ++i) {
      args.push_back(func.args[order[i]]);
      func[args.back()].index = static_cast<int32_t>(i);
      out.arguments.push_back(recording_->arguments[order[i]]);
      moved[order[i]] = i;
    }
    func.args = std::move(args);
    for (LabelCheck& check : out.checks) check.argument = moved[check.argument];
    ir::compact(func);
    out.module = std::move(recording_->module);
    return out;
  }

  const std::shared_ptr<Recording>& recording() { return recording_; }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const nn::Parameter& p : parameters_) out.push_back(p.name());
    return out;
  }

 private:
  void check_scalar(const Value& value, const std::string& what, const char* help) {
    const auto [recording, id] = Recorder::resolve(value);
    if (recording != recording_) {
      throw Error("{} does not depend on the prediction", what)
          .at(source_.at)
          .help("compute it from the two values it is given");
    }
    const ir::Type& type = recording->func().type(id);
    if (type.is_scalar() && is_float(type.dtype)) return;
    Error error("{} must be one floating-point number but is {}", what, ir::to_string(type));
    SourceLoc at = source_.at;
    for (const ir::Op& op : recording->func().body) {
      if (op.result == id && op.loc.known()) at = op.loc.source();
    }
    throw error.at(at).help(help);
  }

  const StepSource& source_;
  std::shared_ptr<Recording> recording_;
  std::vector<nn::Parameter> parameters_;
  std::vector<ir::ValueId> values_;
};

}  // namespace

ir::Type batch_type(const Tensor& tensor) {
  ir::Type out{tensor.dtype(), {}};
  for (int64_t size : tensor.shape()) out.shape.emplace_back(size);
  if (!out.shape.empty()) out.shape[0] = ir::batch_dim;
  return out;
}

StepRecorder::StepRecorder(std::shared_ptr<Recording> recording, std::vector<std::string> all_names)
    : recording_(std::move(recording)), all_names_(std::move(all_names)) {}

void StepRecorder::record(const optim::Optimizer& optimizer, std::vector<optim::Trained> trained,
                          const SourceLoc& at) {
  trained_ = std::move(trained);
  const LibraryCall here(recording_, at);
  located({at.file, at.line, {}}, [&] { optimizer.update(optim::Step(*this)); });
}

DType StepRecorder::dtype() const { return trained_.front().value.dtype(); }

Value StepRecorder::hyper(const std::string& name, double initial) {
  for (size_t i = 0; i < hypers_.size(); ++i) {
    if (hypers_[i].name == name) return hyper_values_[i];
  }
  hypers_.push_back({name, initial});
  const ir::ValueId id =
      recording_->add_argument({Argument::Kind::hyper}, {dtype(), {}}, hypers_.back().name);
  hyper_values_.push_back(Recorder::make(recording_, id));
  return hyper_values_.back();
}

Value StepRecorder::state_tensor(const std::string& name, const Tensor& initial) {
  for (size_t i = 0; i < states_.size(); ++i) {
    if (states_[i].first == name) return state_values_[i];
  }
  states_.emplace_back(name, initial);
  const ir::ValueId id = recording_->add_global(name, initial.raw(), initial);
  state_values_.push_back(Recorder::make(recording_, id));
  return state_values_.back();
}

Value StepRecorder::state(const std::string& name, const optim::Trained& like, double initial) {
  const auto [recording, id] = Recorder::resolve(like.value);
  const ir::Type& type = recording->func().type(id);
  return state_tensor(name, full(type.dims(1), initial, type.dtype));
}

Value StepRecorder::scalar_state(const std::string& name, double initial,
                                 std::optional<DType> dtype) {
  return state_tensor(name, full({}, initial, dtype.value_or(this->dtype())));
}

Value StepRecorder::rows() {
  ir::Builder builder(recording_->module, recording_->func());
  builder.set_loc(recording_->loc_for(std::source_location::current()));
  return Recorder::make(recording_, builder.extent({ir::batch_dim}, dtype()).id());
}

void StepRecorder::assign(const Value& target, const Operand& next) {
  const Operand to(target, next.at());
  Recorder r({&to, &next}, next.at());
  const ir::Expr global = r[0], value = r[1];
  const ir::ValueInfo& info = recording_->func()[global.id()];
  if (info.def != ir::ValueDef::global) {
    throw Error("only a parameter or a state can be assigned")
        .at(r.loc().source())
        .help("assign to what parameters(), state() or scalar_state() gave");
  }
  const std::string name = recording_->module.globals[static_cast<size_t>(info.index)].name;
  r.builder().create(ir::OpKind::assign, {global.id(), value.id()});
  name_value(Recorder::make(recording_, value.id()), name + ".next");
}

void StepRecorder::advance_random_step() {
  const ir::ValueId step = recording_->random_step();
  if (!step.valid()) return;
  ir::Builder b(recording_->module, recording_->func());
  const ir::Expr next = ir::Expr(b, step) + 1.0;
  b.create(ir::OpKind::assign, {step, next.id()});
  const auto& state = recording_->random_state();
  states_.insert(states_.end(), state.begin(), state.end());
}

std::vector<Hyper> hypers_of(const optim::Optimizer& optimizer, const nn::Module& net,
                             const SourceLoc& at) {
  auto recording = std::make_shared<Recording>("probe");
  recording->primary = true;
  std::vector<std::string> names;
  std::vector<optim::Trained> trained;
  for (const nn::Parameter& p : net.parameters()) {
    names.push_back(p.name());
    const Tensor one = zeros({1});
    const ir::ValueId id = recording->add_global(p.name(), one.raw(), one);
    const Value value = Recorder::make(recording, id);
    trained.push_back({p.name(), value, value});
  }
  // Recording a step says that there is nothing to train; here that is no reason to stop.
  if (trained.empty()) return {};
  StepRecorder recorder(recording, std::move(names));
  recorder.record(optimizer, std::move(trained), at);
  return recorder.hypers();
}

RecordedStep record_step(const StepSource& source, const optim::Optimizer& optimizer,
                         const Tensor& x, const Tensor& y) {
  StepRecording step(source, "train_step");
  step.recording()->training = true;
  const Value input = step.input("x", x), target = step.input("y", y);
  const std::vector<Value> results = step.objectives(step.predict(input), target);
  StepRecorder recorder(step.recording(), step.names());
  recorder.record(optimizer, step.gradients(results[0]), source.at);
  recorder.advance_random_step();
  return {step.finish(results), recorder.hypers(), recorder.states()};
}

Recorded record_evaluate(const StepSource& source, const Tensor& x, const Tensor& y) {
  StepRecording step(source, "evaluate");
  const Value input = step.input("x", x), target = step.input("y", y);
  return step.finish(step.objectives(step.predict(input), target));
}

Recorded record_predict(const StepSource& source, const Tensor& x) {
  StepRecording step(source, "predict");
  return step.finish({step.predict(step.input("x", x))});
}

}  // namespace sinter::detail
