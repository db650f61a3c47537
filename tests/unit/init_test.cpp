// Initial weights by the gain of the activation.
#include <cmath>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using Catch::Contains;
using namespace sinter;
using nn::init::After;
using nn::init::gain;

namespace {

struct Spread {
  double mean = 0, deviation = 0, largest = 0;
  explicit Spread(const Tensor& t) {
    const auto n = static_cast<double>(t.numel());
    for (float v : t.span<float>()) {
      mean += v / n;
      deviation += static_cast<double>(v) * v / n;
      largest = std::max<double>(largest, std::abs(v));
    }
    deviation = std::sqrt(deviation - mean * mean);
  }
};

}  // namespace

TEST_CASE("weights have the variance of their formula", "[nn]") {
  manual_seed(1);
  nn::Linear layer(300, 100);
  const auto after = [&](auto initialize) {
    initialize(layer.weight);
    const Spread s(layer.weight.value());
    CHECK(std::abs(s.mean) < 0.02 * s.deviation);
    return s;
  };
  const Spread xu = after([](auto w) { nn::init::xavier_uniform(w, 2); });
  CHECK(xu.deviation == Approx(2 * std::sqrt(2.0 / 400)).epsilon(0.02));
  CHECK(xu.largest <= 2 * std::sqrt(6.0 / 400));
  CHECK(xu.largest > 0.99 * 2 * std::sqrt(6.0 / 400));
  const Spread xn = after([](auto w) { nn::init::xavier_normal(w); });
  CHECK(xn.deviation == Approx(std::sqrt(2.0 / 400)).epsilon(0.02));
  CHECK(xn.largest > 3 * xn.deviation);
  const Spread ku = after([](auto w) { nn::init::kaiming_uniform(w); });
  CHECK(ku.deviation == Approx(std::sqrt(2.0 / 300)).epsilon(0.02));
  CHECK(ku.largest <= std::sqrt(6.0 / 300));
  const Spread kn = after([](auto w) { nn::init::kaiming_normal(w, gain(After::tanh)); });
  CHECK(kn.deviation == Approx(5.0 / 3 / std::sqrt(300.0)).epsilon(0.02));
}

TEST_CASE("gains are those of PyTorch", "[nn]") {
  CHECK(gain(After::linear) == 1);
  CHECK(gain(After::sigmoid) == 1);
  CHECK(gain(After::tanh) == 5.0 / 3);
  CHECK(gain(After::relu) == std::sqrt(2.0));
  CHECK(gain(After::leaky_relu, 0.2) == std::sqrt(2 / 1.04));
  CHECK(gain(After::selu) == 0.75);
}

TEST_CASE("with its gain a deep net keeps the size of its values", "[nn]") {
  manual_seed(2);
  const auto size_behind = [](auto initialize) {
    nn::Sequential net;
    for (int i = 0; i < 20; ++i) {
      auto layer = std::make_unique<nn::Linear>(128, 128, nn::LinearOptions{.bias = false});
      initialize(layer->weight);
      net.append(std::move(layer));
      net.append(std::make_unique<nn::ReLU>());
    }
    const Tensor x = randn({64, 128});
    return Spread(eval(net(x))).deviation / Spread(x).deviation;
  };
  CHECK(size_behind([](auto w) { nn::init::kaiming_normal(w); }) == Approx(1).epsilon(0.7));
  CHECK(size_behind([](auto w) { nn::init::kaiming_normal(w, 1); }) < 0.01);
}

TEST_CASE("initial weights follow the generator and keep the dtype", "[nn]") {
  nn::Linear a(4, 3), b(4, 3);
  b.to(DType::f64);
  Generator one(7), same(7);
  nn::init::xavier_normal(a.weight, 1, one);
  nn::init::xavier_normal(b.weight, 1, same);
  CHECK(b.weight.value().dtype() == DType::f64);
  CHECK(equal(b.weight.value().to(DType::f32), a.weight.value()));
  nn::init::constant(b.bias, 0.25);
  CHECK(b.bias.value().at({2}) == 0.25);
  nn::init::uniform(a.bias, 2, 3);
  CHECK(Spread(a.bias.value()).mean >= 2);
  CHECK_THROWS_WITH(nn::init::kaiming_uniform(a.bias),
                    Contains("f32[3] and has no fan-in") && Contains("uniform, normal"));
  CHECK_THROWS_WITH(nn::init::uniform(a.bias, 3, 2), Contains("the lower bound first"));
  CHECK_THROWS_WITH(nn::init::normal(a.bias, 0, -1), Contains("at least 0"));
}
