#include <cmath>

#include <fmt/format.h>

#include <sinter/error.h>
#include <sinter/functions.h>
#include <sinter/nn.h>
#include <sinter/random.h>

#include "frontend/recording.h"

namespace sinter::nn {

namespace {

Tensor uniform(Shape shape, double bound, Generator& generator) {
  Tensor out = rand(std::move(shape), generator);
  for (float& v : out.span<float>()) v = static_cast<float>((2.0 * v - 1.0) * bound);
  return out;
}

}  // namespace

Linear::Linear(int64_t in, int64_t out, LinearOptions options)
    : Linear(in, out, options, default_generator()) {}

Linear::Linear(int64_t in, int64_t out, LinearOptions options, Generator& generator)
    : in_(in), out_(out) {
  if (in < 1 || out < 1) {
    throw Error("Linear({}, {}) has no weights", in, out).help("both sizes are at least 1");
  }
  const double bound = 1.0 / std::sqrt(static_cast<double>(in));
  weight = add_parameter("weight", uniform({out, in}, bound, generator));
  if (options.bias) bias = add_parameter("bias", uniform({out}, bound, generator));
}

Value Linear::forward(Value x) {
  const detail::LibraryCall here(x);
  return bias ? linear(x, weight, bias) : linear(x, weight);
}

std::unique_ptr<Module> Linear::clone() const {
  Generator unused;
  auto copy = std::make_unique<Linear>(in_, out_, LinearOptions{.bias = bool(bias)}, unused);
  copy->copy_parameters(*this);
  return copy;
}

std::string Linear::extra() const { return fmt::format("{} -> {}", in_, out_); }

Value ReLU::forward(Value x) {
  const detail::LibraryCall here(x);
  return relu(x);
}
std::unique_ptr<Module> ReLU::clone() const { return std::make_unique<ReLU>(); }

Value Sigmoid::forward(Value x) {
  const detail::LibraryCall here(x);
  return sigmoid(x);
}
std::unique_ptr<Module> Sigmoid::clone() const { return std::make_unique<Sigmoid>(); }

Value Tanh::forward(Value x) {
  const detail::LibraryCall here(x);
  return tanh(x);
}
std::unique_ptr<Module> Tanh::clone() const { return std::make_unique<Tanh>(); }

Dropout::Dropout(double p) : p_(p) {
  if (!(p >= 0 && p < 1)) {
    throw Error("Dropout({}) is no probability", p).help("give a number from 0 to less than 1");
  }
}
Dropout::Dropout(double p, const Generator& generator) : Dropout(p) { generator_ = generator; }

Value Dropout::forward(Value x) {
  const detail::LibraryCall here(x);
  return dropout(x, p_, generator_ ? *generator_ : default_generator());
}
std::unique_ptr<Module> Dropout::clone() const {
  return generator_ ? std::make_unique<Dropout>(p_, *generator_) : std::make_unique<Dropout>(p_);
}
std::string Dropout::extra() const { return fmt::format("p = {}", p_); }

Value Softmax::forward(Value x) {
  const detail::LibraryCall here(x);
  return softmax(x, axis_);
}
std::unique_ptr<Module> Softmax::clone() const { return std::make_unique<Softmax>(axis_); }
std::string Softmax::extra() const { return fmt::format("axis {}", axis_); }

void Sequential::append(std::unique_ptr<Module> module) {
  add(fmt::format("{}", modules_.size()), *module);
  modules_.push_back(std::move(module));
}

Value Sequential::forward(Value x) {
  const detail::LibraryCall here(x);
  for (const auto& module : modules_) x = (*module)(x);
  return x;
}

std::unique_ptr<Module> Sequential::clone() const {
  auto copy = std::make_unique<Sequential>();
  for (const auto& module : modules_) copy->append(module->clone());
  return copy;
}

}  // namespace sinter::nn
