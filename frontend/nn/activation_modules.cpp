#include <fmt/format.h>

#include <sinter/activations.h>
#include <sinter/error.h>
#include <sinter/nn_activations.h>

#include "frontend/recording.h"

namespace sinter::nn {

using X = const Value&;

Value Activation::forward(Value x) {
  const detail::LibraryCall here(x);
  return function_(x);
}

LeakyReLU::LeakyReLU(double negative_slope)
    : ClonedActivation([=](X x) { return leaky_relu(x, negative_slope); },
                       fmt::format("negative_slope={:#}", negative_slope)) {}
ELU::ELU(double alpha)
    : ClonedActivation([=](X x) { return elu(x, alpha); }, fmt::format("alpha={:#}", alpha)) {}
SELU::SELU() : ClonedActivation([](X x) { return selu(x); }) {}
CELU::CELU(double alpha)
    : ClonedActivation([=](X x) { return celu(x, alpha); }, fmt::format("alpha={:#}", alpha)) {}
GELU::GELU(GeluForm form)
    : ClonedActivation([=](X x) { return gelu(x, form); }, form == GeluForm::exact ? "exact" : "") {
}
GLU::GLU(int64_t axis)
    : ClonedActivation([=](X x) { return glu(x, axis); }, fmt::format("axis {}", axis)) {}
SiLU::SiLU() : ClonedActivation([](X x) { return silu(x); }) {}
Mish::Mish() : ClonedActivation([](X x) { return mish(x); }) {}
Hardtanh::Hardtanh(double min_val, double max_val)
    : ClonedActivation([=](X x) { return hardtanh(x, min_val, max_val); },
                       fmt::format("min_val={:#}, max_val={:#}", min_val, max_val)) {}
ReLU6::ReLU6() : ClonedActivation([](X x) { return relu6(x); }) {}
Hardsigmoid::Hardsigmoid() : ClonedActivation([](X x) { return hardsigmoid(x); }) {}
Hardswish::Hardswish() : ClonedActivation([](X x) { return hardswish(x); }) {}
Softsign::Softsign() : ClonedActivation([](X x) { return softsign(x); }) {}
Tanhshrink::Tanhshrink() : ClonedActivation([](X x) { return tanhshrink(x); }) {}
Softshrink::Softshrink(double lambda)
    : ClonedActivation([=](X x) { return softshrink(x, lambda); }, fmt::format("{:#}", lambda)) {}
Hardshrink::Hardshrink(double lambda)
    : ClonedActivation([=](X x) { return hardshrink(x, lambda); }, fmt::format("{:#}", lambda)) {}
Softplus::Softplus(double beta)
    : ClonedActivation([=](X x) { return softplus(x, beta); }, fmt::format("beta={:#}", beta)) {}
LogSigmoid::LogSigmoid() : ClonedActivation([](X x) { return logsigmoid(x); }) {}
LogSoftmax::LogSoftmax(int64_t axis)
    : ClonedActivation([=](X x) { return log_softmax(x, axis); }, fmt::format("axis {}", axis)) {}

PReLU::PReLU(int64_t num_parameters, double init) : count_(num_parameters) {
  if (num_parameters < 1) {
    throw Error("PReLU with {} slopes", num_parameters).help("make at least 1");
  }
  weight = add_parameter("weight", full({num_parameters}, init));
}

Value PReLU::forward(Value x) {
  const detail::LibraryCall here(x);
  return prelu(x, weight);
}

std::unique_ptr<Module> PReLU::clone() const {
  auto copy = std::make_unique<PReLU>(count_);
  copy->copy_parameters(*this);
  return copy;
}

std::string PReLU::extra() const { return fmt::format("num_parameters={}", count_); }

Lambda::Lambda(std::string name, std::function<Value(Value)> function)
    : name_(std::move(name)), function_(std::move(function)) {}

// No LibraryCall: ops carry the lines of the user's function.
Value Lambda::forward(Value x) { return function_(x); }

std::unique_ptr<Module> Lambda::clone() const { return std::make_unique<Lambda>(name_, function_); }

}  // namespace sinter::nn
