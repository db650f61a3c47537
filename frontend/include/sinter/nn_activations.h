#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <sinter/activations.h>
#include <sinter/nn.h>

namespace sinter::nn {

/// An activation as a module: one function of one value.
class Activation : public Module {
 public:
  Value forward(Value x) override;
  std::string extra() const override { return extra_; }

 protected:
  using Function = std::function<Value(const Value&)>;
  explicit Activation(Function function, std::string extra = {})
      : function_(std::move(function)), extra_(std::move(extra)) {}
  void copy_function(const Activation& from) {
    function_ = from.function_;
    extra_ = from.extra_;
  }

 private:
  Function function_;
  // What stands between the parentheses when it is printed.
  std::string extra_;
};

/// Gives `Derived`, which can be made without arguments, its clone().
template <class Derived>
class ClonedActivation : public Activation {
 public:
  std::unique_ptr<Module> clone() const override {
    auto copy = std::make_unique<Derived>();
    static_cast<ClonedActivation&>(*copy).copy_function(*this);
    return copy;
  }

 protected:
  using Activation::Activation;
};

// As in torch.nn; the functions are those of activations.h and functions.h.

struct LeakyReLU : ClonedActivation<LeakyReLU> {
  explicit LeakyReLU(double negative_slope = 0.01);
};
struct ELU : ClonedActivation<ELU> {
  explicit ELU(double alpha = 1);
};
struct SELU : ClonedActivation<SELU> {
  SELU();
};
struct CELU : ClonedActivation<CELU> {
  explicit CELU(double alpha = 1);
};
struct GELU : ClonedActivation<GELU> {
  explicit GELU(GeluForm form = GeluForm::tanh);
};
struct GLU : ClonedActivation<GLU> {
  explicit GLU(int64_t axis = -1);
};
struct SiLU : ClonedActivation<SiLU> {
  SiLU();
};
struct Mish : ClonedActivation<Mish> {
  Mish();
};
struct Hardtanh : ClonedActivation<Hardtanh> {
  explicit Hardtanh(double min_val = -1, double max_val = 1);
};
struct ReLU6 : ClonedActivation<ReLU6> {
  ReLU6();
};
struct Hardsigmoid : ClonedActivation<Hardsigmoid> {
  Hardsigmoid();
};
struct Hardswish : ClonedActivation<Hardswish> {
  Hardswish();
};
struct Softsign : ClonedActivation<Softsign> {
  Softsign();
};
struct Tanhshrink : ClonedActivation<Tanhshrink> {
  Tanhshrink();
};
struct Softshrink : ClonedActivation<Softshrink> {
  explicit Softshrink(double lambda = 0.5);
};
struct Hardshrink : ClonedActivation<Hardshrink> {
  explicit Hardshrink(double lambda = 0.5);
};
struct Softplus : ClonedActivation<Softplus> {
  explicit Softplus(double beta = 1);
};
struct LogSigmoid : ClonedActivation<LogSigmoid> {
  LogSigmoid();
};
struct LogSoftmax : ClonedActivation<LogSoftmax> {
  explicit LogSoftmax(int64_t axis = -1);
};

/// A leaky ReLU whose slopes are trained: one, or one for each element of axis 1.
class PReLU : public Module {
 public:
  explicit PReLU(int64_t num_parameters = 1, double init = 0.25);
  Value forward(Value x) override;
  std::unique_ptr<Module> clone() const override;
  std::string extra() const override;

  Parameter weight;

 private:
  int64_t count_;
};

/// A function of your own as a module, for Sequential; printed under the name it is given:
///
///     nn::Lambda("Mish", [](Value x) { return x * tanh(softplus(x)); })
class Lambda : public Module {
 public:
  Lambda(std::string name, std::function<Value(Value)> function);
  Value forward(Value x) override;
  std::unique_ptr<Module> clone() const override;
  std::string class_name() const override { return name_; }

 private:
  std::string name_;
  std::function<Value(Value)> function_;
};

}  // namespace sinter::nn
