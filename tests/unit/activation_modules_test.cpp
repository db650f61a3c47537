// Activations as modules, and activations and losses of a user's own.
#include <regex>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using Catch::Contains;
using namespace sinter;

namespace {

// The ops of each kernel of a fused step, without names and lines.
std::vector<std::string> kernels(const std::string& text) {
  std::vector<std::string> out;
  static const std::regex op(R"(^ +(?:%\S+ = )?(\w+))");
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (!std::regex_search(line, match, op)) continue;
    if (match[1] == "kernel") out.emplace_back();
    if (!out.empty()) out.back() += match[1].str() + " ";
  }
  return out;
}

struct Trained {
  std::vector<std::string> kernels;
  std::vector<Tensor> weights;
};

Trained train(nn::Sequential net) {
  const Tensor x = linspace(-1, 1, 40).reshape({20, 2}), y = linspace(1, 2, 20).unsqueeze(1);
  // With the batch in lanes all of it would be one kernel.
  Trainer trainer(net, mse_loss, optim::Adam{.lr = 0.01}, {.off = {"fuse_batch"}});
  for (int i = 0; i < 5; ++i) trainer.step(x, y);
  Trained out{kernels(trainer.dump("fuse")), {}};
  for (const nn::Parameter& p : net.parameters()) out.weights.push_back(p.value());
  return out;
}

template <class M>
Trained train_with(M activation) {
  manual_seed(1);
  return train(nn::Sequential{nn::Linear(2, 8), std::move(activation), nn::Linear(8, 1)});
}

}  // namespace

TEST_CASE("an activation of one's own has the kernels and the bits of a built-in one", "[nn]") {
  const Trained built_in = train_with(nn::Mish());
  const Trained own = train_with(nn::Lambda("Own", [](Value x) { return x * tanh(softplus(x)); }));
  CHECK(built_in.kernels.size() >= 3);
  CHECK(own.kernels == built_in.kernels);
  for (size_t i = 0; i < own.weights.size(); ++i) {
    CHECK(equal(own.weights[i], built_in.weights[i]));
  }
  // No more kernels than with an op of the table.
  CHECK(own.kernels.size() == train_with(nn::Tanh()).kernels.size());
}

TEST_CASE("activations print as in PyTorch", "[nn]") {
  const auto text = [](const nn::Module& m) { return m.to_string(); };
  CHECK(text(nn::LeakyReLU()) == "LeakyReLU (negative_slope=0.01)");
  CHECK(text(nn::ELU()) == "ELU (alpha=1.0)");
  CHECK(text(nn::ELU(0.25)) == "ELU (alpha=0.25)");
  CHECK(text(nn::CELU()) == "CELU (alpha=1.0)");
  CHECK(text(nn::SELU()) == "SELU ()");
  CHECK(text(nn::GELU()) == "GELU ()");
  CHECK(text(nn::SiLU()) == "SiLU ()");
  CHECK(text(nn::Mish()) == "Mish ()");
  CHECK(text(nn::Hardtanh()) == "Hardtanh (min_val=-1.0, max_val=1.0)");
  CHECK(text(nn::ReLU6()) == "ReLU6 ()");
  CHECK(text(nn::Softplus()) == "Softplus (beta=1.0)");
  CHECK(text(nn::Softshrink()) == "Softshrink (0.5)");
  CHECK(text(nn::PReLU()) == "PReLU (num_parameters=1)");
  CHECK(text(nn::Lambda("Square", [](Value x) { return x * x; })) == "Square ()");
}

TEST_CASE("exact gelu is x Phi(x), and so is its derivative", "[nn]") {
  const Tensor x = linspace(-6, 6, 97).to(DType::f64);
  const Value exact = gelu(Value(x), GeluForm::exact);
  const std::vector<Tensor> got =
      eval({exact, grad(sum(exact), x), gelu(Value(x), GeluForm::tanh), gelu(Value(x))});
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double v = x.at({i});
    const double phi = std::exp(-v * v / 2) / std::sqrt(2 * std::numbers::pi);
    const double below = 0.5 * std::erfc(-v / std::numbers::sqrt2);
    CHECK(got[0].at({i}) == Approx(v * below).margin(1e-14));
    CHECK(got[1].at({i}) == Approx(below + v * phi).margin(1e-14));
    // How far the approximation is off.
    CHECK(std::abs(got[2].at({i}) - got[0].at({i})) < 5e-4);
  }
  CHECK(equal(got[2], got[3]));
  CHECK_FALSE(equal(got[2], got[0]));
}

TEST_CASE("glu gates one half with the other", "[nn]") {
  const Tensor x = linspace(-4, 4, 24).to(DType::f64).reshape({3, 2, 4});
  const Value last = glu(Value(x)), middle = glu(Value(x), 1);
  const std::vector<Tensor> got = eval({last, grad(sum(last), x), middle});
  REQUIRE(got[0].shape() == Shape{3, 2, 2});
  REQUIRE(got[2].shape() == Shape{3, 1, 4});
  const auto gate = [](double b) { return 1 / (1 + std::exp(-b)); };
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t k = 0; k < 2; ++k) {
      const double a = x.at({i, k, 1}), b = x.at({i, k, 3}), s = gate(b);
      CHECK(got[0].at({i, k, 1}) == Approx(a * s));
      CHECK(got[1].at({i, k, 1}) == Approx(s));
      CHECK(got[1].at({i, k, 3}) == Approx(a * s * (1 - s)));
    }
    CHECK(got[2].at({i, 0, 3}) == Approx(x.at({i, 0, 3}) * gate(x.at({i, 1, 3}))));
  }
  CHECK_THROWS_WITH(glu(Value(ones({2, 3}))),
                    Contains("axis -1 of f32[2, 3]") && Contains("twice as wide"));
  CHECK_THROWS_WITH(glu(Value(ones({2, 4})), 2), Contains("axis 2 of f32[2, 4]"));
}

TEST_CASE("each activation module computes its function, and so does its clone", "[nn]") {
  const Tensor x = linspace(-4, 4, 33).reshape({3, 11});
  const auto same = [&](const nn::Module& module, const Value& expected) {
    INFO(module.to_string());
    const Tensor want = eval(expected);
    CHECK(equal(eval((*module.clone())(x)), want));
    CHECK(equal(eval(const_cast<nn::Module&>(module)(x)), want));
    CHECK(module.clone()->to_string() == module.to_string());
  };
  const Value v = x;
  same(nn::LeakyReLU(0.3), leaky_relu(v, 0.3));
  same(nn::ELU(0.5), elu(v, 0.5));
  same(nn::SELU(), selu(v));
  same(nn::CELU(0.5), celu(v, 0.5));
  same(nn::GELU(), gelu(v));
  same(nn::GELU(GeluForm::exact), gelu(v, GeluForm::exact));
  const Value even = linspace(-4, 4, 24).reshape({3, 8});
  CHECK(equal(eval(nn::GLU()(even)), eval(glu(even))));
  same(nn::SiLU(), silu(v));
  same(nn::Mish(), mish(v));
  same(nn::Hardtanh(-2, 0.5), hardtanh(v, -2, 0.5));
  same(nn::ReLU6(), relu6(v));
  same(nn::Hardsigmoid(), hardsigmoid(v));
  same(nn::Hardswish(), hardswish(v));
  same(nn::Softsign(), softsign(v));
  same(nn::Tanhshrink(), tanhshrink(v));
  same(nn::Softshrink(0.2), softshrink(v, 0.2));
  same(nn::Hardshrink(0.2), hardshrink(v, 0.2));
  same(nn::Softplus(2), softplus(v, 2));
  same(nn::LogSigmoid(), logsigmoid(v));
  same(nn::LogSoftmax(), log_softmax(v));
  same(nn::PReLU(11, 0.1), prelu(v, full({11}, 0.1)));
  same(nn::Lambda("Square", [](Value a) { return a * a; }), v * v);
}

TEST_CASE("the slope of PReLU is trained", "[nn]") {
  const Tensor x = linspace(-1, 1, 20).reshape({10, 2});
  const Tensor y = eval(where(less(0, Value(x)), Value(x), 0.7 * Value(x)));
  nn::PReLU net(2);
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 1});
  for (int i = 0; i < 100; ++i) trainer.step(x, y);
  CHECK(allclose(net.weight.value(), full({2}, 0.7), 1e-4));
  CHECK_THROWS_WITH(eval(nn::PReLU(3)(x)), Contains("one for each element of axis 1") &&
                                               Contains("activation_modules_test.cpp"));
}

TEST_CASE("what belongs to a composition carries the user's line", "[nn]") {
  nn::Sequential net{nn::Linear(2, 1)};
  const Tensor x = ones({4, 2}), y = zeros({4, 1});
  Trainer trainer(
      net, [](Value p, Value t) { return huber_loss(mish(p), t, {.delta = 0.5}); }, optim::Adam{});
  trainer.record(x, y);
  CHECK_THAT(trainer.ir(), !Contains("activations.cpp") && !Contains("losses.cpp") &&
                               Contains("activation_modules_test.cpp"));
}

TEST_CASE("losses do not broadcast", "[nn]") {
  nn::Sequential net{nn::Linear(2, 1)};
  const Tensor x = ones({4, 2});
  const auto step = [&](const Objective& loss, const Tensor& y) {
    Trainer(net, loss, optim::SGD{}).step(x, y);
  };
  using Loss = Value (*)(const Operand&, const Operand&);
  for (Loss loss : {Loss(l1_loss), Loss(huber_loss), Loss(smooth_l1_loss), Loss(kl_div),
                    Loss(binary_cross_entropy), Loss(binary_cross_entropy_with_logits)}) {
    CHECK_THROWS_WITH(step(loss, ones({4})), Contains("f32[n, 1] and f32[n]") &&
                                                 Contains("unsqueeze(1)") &&
                                                 Contains("activation_modules_test.cpp"));
    CHECK_NOTHROW(step(loss, full({4, 1}, 0.5)));
  }
  CHECK_THROWS_WITH(step(nll_loss, Tensor::of<int64_t>({0, 0, 0, 1})),
                    Contains("label 1 in row 3 is not one of the 1 classes"));
  CHECK_THROWS_WITH(step(nll_loss, ones({4, 1})), Contains("integer labels [n]"));
  CHECK_THROWS_WITH(
      step([](Value p, Value t) { return cross_entropy(p, t, {.class_weights = ones({2})}); },
           zeros({4}, DType::i64)),
      Contains("class_weights f32[2] do not fit"));
}
