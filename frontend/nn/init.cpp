#include <cmath>

#include <sinter/error.h>
#include <sinter/init.h>

namespace sinter::nn::init {

namespace {

struct Fans {
  double in, out;
};

Fans fans_of(const Parameter& weight) {
  const Shape& shape = weight.value().shape();
  if (shape.size() < 2) {
    throw Error("parameter {} is {} and has no fan-in", weight.name(), weight.value().type_string())
        .help("use uniform, normal or constant for what is not a weight [out, in]");
  }
  const auto elements = static_cast<double>(weight.value().numel());
  return {elements / static_cast<double>(shape[0]), elements / static_cast<double>(shape[1])};
}

double xavier_deviation(const Parameter& weight, double gain) {
  const Fans fans = fans_of(weight);
  return gain * std::sqrt(2 / (fans.in + fans.out));
}

double kaiming_deviation(const Parameter& weight, double gain) {
  return gain / std::sqrt(fans_of(weight).in);
}

// Numbers on [-a, a) have the standard deviation a / sqrt(3).
void uniform_of(Parameter weight, double deviation, Generator& generator) {
  const double bound = std::sqrt(3.0) * deviation;
  uniform(std::move(weight), -bound, bound, generator);
}

// From random numbers in f32, whatever the parameter is.
template <class F>
void fill(Parameter& parameter, Tensor random, F from) {
  for (float& v : random.span<float>()) v = static_cast<float>(from(v));
  parameter.set_value(random.to(parameter.value().dtype()));
}

}  // namespace

double gain(After activation, double slope) {
  switch (activation) {
    case After::linear:
    case After::sigmoid:
      return 1;
    case After::tanh:
      return 5.0 / 3;
    case After::relu:
      return std::sqrt(2.0);
    case After::leaky_relu:
      return std::sqrt(2 / (1 + slope * slope));
    case After::selu:
      return 0.75;
  }
  SINTER_CHECK(false, "an activation without a gain");
}

void uniform(Parameter parameter, double low, double high, Generator& generator) {
  if (!(low <= high)) {
    throw Error("numbers from {} to {}", low, high).help("give the lower bound first");
  }
  fill(parameter, rand(parameter.value().shape(), generator),
       [&](double v) { return low + v * (high - low); });
}

void normal(Parameter parameter, double mean, double deviation, Generator& generator) {
  if (!(deviation >= 0)) {
    throw Error("a standard deviation of {}", deviation).help("give one that is at least 0");
  }
  fill(parameter, randn(parameter.value().shape(), generator),
       [&](double v) { return mean + v * deviation; });
}

void constant(Parameter parameter, double value) {
  parameter.set_value(full(parameter.value().shape(), value, parameter.value().dtype()));
}

void xavier_uniform(Parameter weight, double gain, Generator& generator) {
  const double deviation = xavier_deviation(weight, gain);
  uniform_of(std::move(weight), deviation, generator);
}

void xavier_normal(Parameter weight, double gain, Generator& generator) {
  const double deviation = xavier_deviation(weight, gain);
  normal(std::move(weight), 0, deviation, generator);
}

void kaiming_uniform(Parameter weight, double gain, Generator& generator) {
  const double deviation = kaiming_deviation(weight, gain);
  uniform_of(std::move(weight), deviation, generator);
}

void kaiming_normal(Parameter weight, double gain, Generator& generator) {
  const double deviation = kaiming_deviation(weight, gain);
  normal(std::move(weight), 0, deviation, generator);
}

}  // namespace sinter::nn::init
