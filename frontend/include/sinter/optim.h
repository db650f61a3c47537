#pragma once

#include <concepts>
#include <memory>
#include <optional>
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
  /// The path in the net, in a lane of a Race too.
  std::string name;
  Value value;
  Value gradient;
};

/// What an optimizer sees of the step: it reads gradients and hyper-parameters, keeps state, and
/// assigns the next values, all as ordinary arithmetic on values. A copy sees the same step.
class Step {
 public:
  explicit Step(detail::StepRecorder& recorder);

  const std::vector<Trained>& parameters() const { return trained_; }
  /// The names of all parameters of the net, frozen ones included.
  std::vector<std::string> all_names() const;
  /// A scalar argument of the step, changed at run time with Trainer::set(name, value).
  Value hyper(std::string_view name, double initial);
  /// A tensor like the parameter, named "adam.m.hidden.weight" for name = "m".
  Value state(std::string_view name, const Trained& parameter, double initial = 0);
  /// A scalar that all parameters share, named "adam.beta1_power". By default of the parameters'
  /// dtype.
  Value scalar_state(std::string_view name, double initial,
                     std::optional<DType> dtype = std::nullopt);
  /// Number of rows of the mini-batch, as a scalar of the parameters' dtype.
  Value rows();
  /// The next value of a parameter or a state; takes effect when the step is over.
  void assign(const Value& target, const Operand& next);

  // For optimizers that are made of others.

  /// The same step with other gradients, or with some of the parameters.
  Step with(std::vector<Trained> trained) const;
  /// The same step for one of several optimizers: its hyper-parameters are named "group.lr", its
  /// scalar states "group.adam.beta1_power". A common factor, the hyper-parameter "lr" that is 1 at
  /// first, goes with every "group.lr", so that a schedule moves all of them.
  Step in_group(std::string_view group) const;
  /// The same step for a rule that knows the module at `path` alone, by the names that the
  /// parameters have there: all_names() and parameters() without those of other modules.
  Step in_module(std::string_view path) const;
  /// The same step, in which assignments happen only where the scalar `condition` (bool) holds.
  Step only_if(const Value& condition) const;

 private:
  friend class Optimizer;

  detail::StepRecorder* recorder_;
  std::vector<Trained> trained_;
  std::string owner_, group_, module_;
  std::vector<Value> conditions_;
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
  /// Runs the rule; its states are named after it.
  void update(const Step& step) const;

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

// The rules. g is the gradient, or gradient + weight_decay w where a rule has such a field; t
// counts steps from 1. Numbers are arguments of the step and may change at any time without a
// recompile; only whether weight_decay, momentum and dampening are 0 when the optimizer is made,
// and the fields of type bool, decide which terms exist. Where PyTorch has the rule, the form and
// the defaults are PyTorch's.

/// Stochastic gradient descent, torch.optim.SGD:
///   b <- g at the first step, then momentum b + (1 - dampening) g
///   w <- w - lr b, or with nesterov w - lr (g + momentum b).
struct SGD {
  static constexpr std::string_view name = "sgd";
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;

  void update(Step& step) const;
};

/// Momentum as Polyak 1964 and Keras write it, with the rate inside the velocity:
///   m <- momentum m - lr g,  w <- w + m, or with nesterov w + momentum m - lr g.
/// Equal to SGD with momentum as long as lr is constant; after a change of lr the old velocity here
/// keeps its old rate.
struct Momentum {
  static constexpr std::string_view name = "momentum";
  double lr = 1e-3;
  double momentum = 0.9;
  double weight_decay = 0;
  bool nesterov = false;

  void update(Step& step) const;
};

/// Duchi, Hazan, Singer 2011, torch.optim.Adagrad:
///   s <- s + g^2,  w <- w - lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps).
struct AdaGrad {
  static constexpr std::string_view name = "adagrad";
  double lr = 1e-2;
  double lr_decay = 0;
  double weight_decay = 0;
  /// s before the first step.
  double initial_accumulator = 0;
  double eps = 1e-10;

  void update(Step& step) const;
};

/// Hinton's lecture 6e, 2012, torch.optim.RMSprop:
///   s <- alpha s + (1 - alpha) g^2,  u = g / (sqrt(s) + eps),
/// with centered: a <- alpha a + (1 - alpha) g and sqrt(s - a^2) in place of sqrt(s);
/// with momentum: b <- momentum b + u and b in place of u;  w <- w - lr u.
/// Where rounding makes s - a^2 negative it counts as 0.
struct RMSprop {
  static constexpr std::string_view name = "rmsprop";
  double lr = 1e-2;
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;

  void update(Step& step) const;
};

/// Zeiler 2012, torch.optim.Adadelta:
///   s <- rho s + (1 - rho) g^2,  d = sqrt(a + eps) / sqrt(s + eps) g,
///   a <- rho a + (1 - rho) d^2,  w <- w - lr d.
struct Adadelta {
  static constexpr std::string_view name = "adadelta";
  double lr = 1;
  double rho = 0.9;
  double eps = 1e-6;
  double weight_decay = 0;

  void update(Step& step) const;
};

/// Kingma and Ba 2015, torch.optim.Adam:
///   m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2,
///   w <- w - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
/// With amsgrad (Reddi, Kale, Kumar 2018) the largest v so far stands for v. Without
/// bias_correction 1 stands for 1 - beta^t: w <- w - lr m / (sqrt(v) + eps).
struct Adam {
  static constexpr std::string_view name = "adam";
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool amsgrad = false;
  bool bias_correction = true;

  void update(Step& step) const;
};

/// Loshchilov and Hutter 2019, torch.optim.AdamW: w <- w - lr weight_decay w, then Adam's update
/// with the gradient as it is.
struct AdamW {
  static constexpr std::string_view name = "adamw";
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;
  bool amsgrad = false;

  void update(Step& step) const;
};

/// Kingma and Ba 2015, section 7.1, torch.optim.Adamax:
///   m as in Adam,  u <- max(beta2 u, abs(g) + eps),  w <- w - lr / (1 - beta1^t) * m / u.
struct Adamax {
  static constexpr std::string_view name = "adamax";
  double lr = 2e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;

  void update(Step& step) const;
};

/// Dozat 2016, torch.optim.NAdam: m and v as in Adam, mu_t = beta1 (1 - 0.96^(t momentum_decay) /
/// 2),
///   M_t = mu_1 ... mu_t,  d = sqrt(v) / sqrt(1 - beta2^t) + eps,
///   w <- w - lr ((1 - mu_t) / (1 - M_t) g + mu_(t+1) / (1 - M_t mu_(t+1)) m) / d.
struct NAdam {
  static constexpr std::string_view name = "nadam";
  double lr = 2e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum_decay = 4e-3;

  void update(Step& step) const;
};

/// Liu et al. 2020, torch.optim.RAdam: m and v as in Adam, p = 2 / (1 - beta2) - 1,
///   p_t = p - 2 t beta2^t / (1 - beta2^t),
///   r = sqrt((p_t - 4) (p_t - 2) p / ((p - 4) (p - 2) p_t)) sqrt(1 - beta2^t) / (sqrt(v) + eps)
/// where p_t > 5, else 1;  w <- w - lr / (1 - beta1^t) * m r. The scalars are computed in f64: p_t
/// is the difference of two large numbers.
struct RAdam {
  static constexpr std::string_view name = "radam";
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;

  void update(Step& step) const;
};

/// Chen et al. 2023: w <- w - lr (sign(beta1 m + (1 - beta1) g) + weight_decay w), then
///   m <- beta2 m + (1 - beta2) g.
struct Lion {
  static constexpr std::string_view name = "lion";
  double lr = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;

  void update(Step& step) const;
};

/// You et al. 2020: with Adam's m and v,
///   u = m / (1 - beta1^t) / (sqrt(v) / sqrt(1 - beta2^t) + eps) + weight_decay w,
///   w <- w - lr norm(w) / norm(u) u for each parameter; a norm that is 0 makes the factor 1.
struct LAMB {
  static constexpr std::string_view name = "lamb";
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-6;
  double weight_decay = 0;

  void update(Step& step) const;
};

}  // namespace sinter::optim
