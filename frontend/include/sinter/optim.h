#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sinter/value.h>

namespace sinter::detail {
class StepRecorder;
}

namespace sinter::optim {

/// A trainable parameter in the step that is being recorded.
struct Trained {
  std::string name;
  Value value;
  Value gradient;
};

/// What an optimizer sees of the step: it reads gradients and hyper-parameters, keeps state, and
/// assigns the next values, all as ordinary arithmetic on values.
class Step {
 public:
  explicit Step(detail::StepRecorder& recorder) : recorder_(recorder) {}

  const std::vector<Trained>& parameters() const;
  /// A scalar argument of the step, changed at run time with Trainer::set(name, value).
  Value hyper(std::string_view name, double initial);
  /// A tensor like the parameter, zero at first, named "adam.m.hidden.weight" for name = "m".
  Value state(std::string_view name, const Trained& parameter);
  /// A scalar that all parameters share, named "adam.beta1_power".
  Value scalar_state(std::string_view name, double initial);
  /// The next value of a parameter or a state; takes effect when the step is over.
  void assign(const Value& target, const Operand& next);

 private:
  detail::StepRecorder& recorder_;
};

/// Anything with a name and a rule that writes the update into the step.
template <class R>
concept Rule = std::copy_constructible<R> && requires(const R& rule, Step& step) {
  { R::name } -> std::convertible_to<std::string_view>;
  rule.update(step);
};

/// Any Rule.
class Optimizer {
 public:
  template <Rule R>
  Optimizer(R rule)  // NOLINT(google-explicit-constructor)
      : rule_(std::make_shared<Model<R>>(std::move(rule))) {}

  std::string_view name() const { return rule_->name(); }
  void update(Step& step) const { rule_->update(step); }

 private:
  struct Concept {
    virtual ~Concept() = default;
    virtual std::string_view name() const = 0;
    virtual void update(Step& step) const = 0;
  };
  template <class R>
  struct Model final : Concept {
    explicit Model(R r) : rule(std::move(r)) {}
    std::string_view name() const override { return R::name; }
    void update(Step& step) const override { rule.update(step); }
    R rule;
  };
  std::shared_ptr<const Concept> rule_;
};

/// Stochastic gradient descent as in PyTorch (torch.optim.SGD): with g = gradient + weight_decay w,
///   b <- g at the first step, then momentum b + (1 - dampening) g
///   w <- w - lr b, or with nesterov w - lr (g + momentum b).
/// Which of momentum, dampening and weight_decay are not 0 decides the graph; those are arguments
/// of the step together with lr, and may change at any time without a recompile.
struct SGD {
  static constexpr std::string_view name = "sgd";
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;

  void update(Step& step) const;
};

/// Adam, Kingma and Ba 2015, in PyTorch's form: with g = gradient + weight_decay w,
///   m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2,
///   w <- w - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
/// All five are arguments of the step; weight_decay only if it is not 0.
struct Adam {
  static constexpr std::string_view name = "adam";
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;

  void update(Step& step) const;
};

}  // namespace sinter::optim
