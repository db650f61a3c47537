// What an optimizer sees of the step, and the rules that keep no second moment.
#include <fmt/format.h>

#include <sinter/functions.h>
#include <sinter/optim.h>

#include "frontend/optim/optim_parts.h"
#include "frontend/train/step_recorder.h"

namespace sinter::optim {

Step::Step(detail::StepRecorder& recorder) : recorder_(&recorder), trained_(recorder.trained()) {}

std::vector<std::string> Step::all_names() const {
  std::vector<std::string> out;
  for (const std::string& name : recorder_->all_names()) {
    if (name.starts_with(module_)) out.push_back(name.substr(module_.size()));
  }
  return out;
}

Value Step::hyper(std::string_view name, double initial) {
  const Value own = recorder_->hyper(fmt::format("{}{}", group_, name), initial);
  return !group_.empty() && name == "lr" ? own * recorder_->hyper("lr", 1) : own;
}

Value Step::state(std::string_view name, const Trained& parameter, double initial) {
  return recorder_->state(fmt::format("{}.{}.{}{}", owner_, name, module_, parameter.name),
                          parameter, initial);
}

Value Step::scalar_state(std::string_view name, double initial, std::optional<DType> dtype) {
  return recorder_->scalar_state(fmt::format("{}{}.{}", group_, owner_, name), initial, dtype);
}

Value Step::rows() { return recorder_->rows(); }

void Step::assign(const Value& target, const Operand& next) {
  Operand chosen = next;
  for (const Value& condition : conditions_) {
    chosen = Operand(where(condition, chosen, target), next.at());
  }
  recorder_->assign(target, chosen);
}

Step Step::with(std::vector<Trained> trained) const {
  Step out = *this;
  out.trained_ = std::move(trained);
  return out;
}

Step Step::in_group(std::string_view group) const {
  Step out = *this;
  out.group_ = fmt::format("{}{}.", group_, group);
  return out;
}

Step Step::in_module(std::string_view path) const {
  Step out = *this;
  const std::string prefix = fmt::format("{}.", path);
  out.module_ += prefix;
  out.trained_.clear();
  for (const Trained& p : trained_) {
    if (!p.name.starts_with(prefix)) continue;
    out.trained_.push_back(p);
    out.trained_.back().name.erase(0, prefix.size());
  }
  return out;
}

Step Step::only_if(const Value& condition) const {
  Step out = *this;
  out.conditions_.push_back(condition);
  return out;
}

void Optimizer::update(const Step& step) const {
  Step mine = step;
  mine.owner_ = name();
  rule_->update(mine);
}

Value decayed_gradient(Step& step, const Trained& p, double weight_decay) {
  if (weight_decay == 0) return p.gradient;
  return p.gradient + step.hyper("weight_decay", weight_decay) * p.value;
}

Value advance_product(Step& step, std::string_view name, const Value& factor,
                      std::optional<DType> dtype) {
  const Value before = step.scalar_state(name, 1, dtype);
  const Value next = maximum(before * factor, 1e-30);
  step.assign(before, next);
  return next;
}

Value advance_count(Step& step, std::optional<DType> dtype) {
  const Value before = step.scalar_state("step", 0, dtype);
  const Value t = before + 1;
  step.assign(before, t);
  return t;
}

void SGD::update(Step& step) const {
  const Value rate = step.hyper("lr", lr);
  for (const Trained& p : step.parameters()) {
    Value g = decayed_gradient(step, p, weight_decay);
    if (momentum != 0) {
      const Value mu = step.hyper("momentum", momentum);
      const Value b = step.state("momentum_buffer", p);
      Value next = mu * b + g;
      if (dampening != 0) {
        // PyTorch does not dampen the first step.
        const Value started = step.scalar_state("started", 0);
        const Value damped = mu * b + (1 - step.hyper("dampening", dampening)) * g;
        next = where(equal(started, 0), g, damped);
      }
      step.assign(b, next);
      g = nesterov ? g + mu * next : next;
    }
    step.assign(p.value, p.value - rate * g);
  }
  if (momentum != 0 && dampening != 0) {
    const Value started = step.scalar_state("started", 0);
    step.assign(started, where(equal(started, 0), 1, started));
  }
}

void Momentum::update(Step& step) const {
  const Value rate = step.hyper("lr", lr), mu = step.hyper("momentum", momentum);
  for (const Trained& p : step.parameters()) {
    const Value g = decayed_gradient(step, p, weight_decay);
    const Value m = step.state("m", p);
    const Value next = mu * m - rate * g;
    step.assign(m, next);
    step.assign(p.value, p.value + (nesterov ? mu * next - rate * g : next));
  }
}

void Lion::update(Step& step) const {
  const Value rate = step.hyper("lr", lr);
  const Value b1 = step.hyper("beta1", beta1), b2 = step.hyper("beta2", beta2);
  for (const Trained& p : step.parameters()) {
    const Value m = step.state("m", p);
    const Value c = b1 * m + (1 - b1) * p.gradient;
    // A zero and a NaN are their own sign.
    Value u = where(less(0, c), 1, where(less(c, 0), -1, c));
    if (weight_decay != 0) u = u + step.hyper("weight_decay", weight_decay) * p.value;
    step.assign(p.value, p.value - rate * u);
    step.assign(m, b2 * m + (1 - b2) * p.gradient);
  }
}

}  // namespace sinter::optim
