// The trainer: what it records, when it compiles, and that training follows the fixtures.
#include <cmath>
#include <cstdlib>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using Catch::Contains;
using namespace sinter;

namespace {

struct Net : nn::Module {
  nn::Linear hidden, predict;
  Net(int64_t in, int64_t width, int64_t out) : hidden(in, width), predict(width, out) {
    add("hidden", hidden);
    add("predict", predict);
  }
  Value forward(Value x) override { return predict(relu(hidden(x))); }
};

// Compiled code, or the interpreter under SINTER_JIT=0.
const TrainerOptions defaults{};

struct Regression {
  Tensor x = linspace(-1, 1, 20).unsqueeze(1);
  Tensor y = eval(pow(x, 2));
};

size_t count(const std::string& text, const std::string& part) {
  size_t out = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++out;
  return out;
}

// A plain double-precision training of one weight: w <- rule(w, gradient of (w - 3)^2).
struct One : nn::Module {
  nn::Parameter w = add_parameter("w", Tensor{0.5});
  Value forward(Value x) override { return x * w; }
};
const Tensor one_x = Tensor{{1}};
const Tensor one_y = Tensor{{3}};

struct SignDescent {
  static constexpr std::string_view name = "sign";
  double lr = 0.5;
  void update(optim::Step& step) const {
    const Value rate = step.hyper("lr", lr);
    for (const optim::Trained& p : step.parameters()) {
      const Value sign = where(less(p.gradient, 0), -1, where(less(0, p.gradient), 1, 0));
      step.assign(p.value, p.value - rate * sign);
    }
  }
};

}  // namespace

TEST_CASE("the step is recorded as one function with readable names", "[frontend]") {
  Net net(1, 10, 1);
  Regression data;
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.2}, defaults);
  trainer.record(data.x, data.y);
  const std::string text = trainer.ir();
  CHECK_THAT(text, Contains("func @train_step(%x: f32[n, 1], %y: f32[n, 1], %lr: f32[])"));
  CHECK_THAT(text, Contains("func @predict(%x: f32[n, 1])"));
  CHECK_THAT(text, Contains("global @hidden.weight : f32[10, 1]"));
  CHECK_THAT(text, Contains("%hidden = linear %x, @hidden.weight, @hidden.bias : f32[n, 10]"));
  CHECK_THAT(text, Contains("%loss = mse_loss %predict, %y"));
  CHECK_THAT(text, Contains("%hidden.weight.grad = gradient %loss, @hidden.weight"));
  CHECK_THAT(text, Contains("assign @hidden.weight, %hidden.weight.next"));
  CHECK_THAT(text, Contains("return %loss"));
  CHECK(count(text, " assign ") == 4);
  // No line of the library shows.
  for (const char* file : {"optim.cpp", "layers.cpp", "trainer", "step_recorder.cpp"}) {
    CHECK_THAT(text, !Contains(fmt::format("loc(\"{}", file)));
  }
  CHECK(trainer.compile_count() == 0);
}

TEST_CASE("every stage of the compiler can be shown", "[frontend]") {
  Net net(1, 4, 1);
  Regression data;
  Trainer trainer(net, mse_loss, optim::SGD{}, defaults);
  CHECK_THROWS_WITH(trainer.ir(), Contains("not been recorded yet"));
  trainer.record(data.x, data.y);
  CHECK_THAT(trainer.dump("forward"), Contains("gradient"));
  CHECK_THAT(trainer.dump("differentiate"), !Contains("= gradient"));
  CHECK_THAT(trainer.dump("plan_memory"), Contains("arena"));
  CHECK_THROWS_WITH(trainer.dump("fusion"), Contains("the stages are forward, differentiate"));
}

TEST_CASE("training lowers the loss and updates the net in place", "[frontend]") {
  manual_seed(1);
  Net net(1, 10, 1);
  Regression data;
  const Tensor weight = net.hidden.weight.value();
  const Tensor before = weight.clone();
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.2}, defaults);
  const float first = trainer.step(data.x, data.y);
  float last = 0;
  for (int i = 0; i < 60; ++i) last = trainer.step(data.x, data.y);
  CHECK(last < 0.2f * first);
  CHECK_FALSE(equal(before, weight));
  CHECK(weight.raw() == net.hidden.weight.value().raw());
  CHECK(trainer.compile_count() == 1);
}

TEST_CASE("any batch up to B runs without a recompile, a larger one recompiles once",
          "[frontend]") {
  Net net(1, 4, 1);
  Regression data;
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0}, defaults);
  const float all = trainer.step(data.x.rows(0, 8), data.y.rows(0, 8));
  CHECK(trainer.max_batch() == 8);
  for (int64_t n = 1; n < 8; ++n) trainer.step(data.x.rows(0, n), data.y.rows(0, n));
  CHECK(trainer.compile_count() == 1);
  trainer.step(data.x, data.y);
  CHECK(trainer.compile_count() == 2);
  CHECK(trainer.max_batch() == 20);
  CHECK(trainer.step(data.x.rows(0, 8), data.y.rows(0, 8)) == all);
  CHECK(trainer.compile_count() == 2);
}

TEST_CASE("a fixed batch refuses larger ones", "[frontend]") {
  Net net(1, 4, 1);
  Regression data;
  Trainer trainer(net, mse_loss, optim::SGD{}, {.max_batch = 8, .fixed_batch = true});
  CHECK_THROWS_WITH(trainer.step(data.x, data.y),
                    Contains("a batch of 20 rows is larger than max_batch = 8"));
  CHECK_NOTHROW(trainer.step(data.x.rows(0, 5), data.y.rows(0, 5)));
  CHECK(trainer.max_batch() == 8);
}

TEST_CASE("hyper-parameters change without a recompile", "[frontend]") {
  One net;
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.25, .momentum = 0.5}, defaults);
  CHECK(trainer.lr() == 0.25);
  trainer.set("momentum", 0);
  // d/dw (w - 3)^2 = 2 (w - 3).
  trainer.step(one_x, one_y);
  CHECK(net.w.value().item() == Approx(0.5 - 0.25 * 2 * (0.5 - 3)));
  const double w = net.w.value().item();
  trainer.set_lr(0.1);
  trainer.step(one_x, one_y);
  CHECK(net.w.value().item() == Approx(w - 0.1 * 2 * (w - 3)));
  CHECK(trainer.compile_count() == 1);
  CHECK_THROWS_WITH(trainer.set("beta1", 1), Contains("it has lr, momentum"));
}

TEST_CASE("optimizers follow PyTorch's formulas", "[frontend]") {
  const auto gradient = [](double w) { return 2 * (w - 3); };
  const auto train = [&](const optim::Optimizer& optimizer, int steps) {
    One net;
    Trainer trainer(net, mse_loss, optimizer, defaults);
    for (int i = 0; i < steps; ++i) trainer.step(one_x, one_y);
    return net.w.value().item();
  };
  SECTION("momentum, dampening, weight decay, nesterov") {
    const auto expected = [&](double lr, double mu, double tau, double decay, bool nesterov) {
      double w = 0.5, b = 0;
      for (int t = 0; t < 5; ++t) {
        double g = gradient(w) + decay * w;
        if (mu != 0) {
          b = t == 0 ? g : mu * b + (1 - tau) * g;
          g = nesterov ? g + mu * b : b;
        }
        w -= lr * g;
      }
      return w;
    };
    using optim::SGD;
    CHECK(train(SGD{.lr = 0.1}, 5) == Approx(expected(0.1, 0, 0, 0, false)));
    CHECK(train(SGD{.lr = 0.1, .momentum = 0.9}, 5) == Approx(expected(0.1, 0.9, 0, 0, false)));
    CHECK(train(SGD{.lr = 0.1, .momentum = 0.9, .dampening = 0.3}, 5) ==
          Approx(expected(0.1, 0.9, 0.3, 0, false)));
    CHECK(train(SGD{.lr = 0.1, .momentum = 0.5, .weight_decay = 0.01, .nesterov = true}, 5) ==
          Approx(expected(0.1, 0.5, 0, 0.01, true)));
  }
  SECTION("Adam") {
    const auto expected = [&](double lr, double decay) {
      double w = 0.5, m = 0, v = 0;
      for (int t = 1; t <= 20; ++t) {
        const double g = gradient(w) + decay * w;
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        w -= lr / (1 - std::pow(0.9, t)) * m /
             (std::sqrt(v) / std::sqrt(1 - std::pow(0.999, t)) + 1e-8);
      }
      return w;
    };
    CHECK(train(optim::Adam{.lr = 0.05}, 20) == Approx(expected(0.05, 0)).epsilon(1e-5));
    CHECK(train(optim::Adam{.lr = 0.05, .weight_decay = 0.1}, 20) ==
          Approx(expected(0.05, 0.1)).epsilon(1e-5));
  }
}

TEST_CASE("Adam's bias corrections never become denormal", "[frontend]") {
  One net;
  Trainer trainer(net, mse_loss, optim::Adam{.beta1 = 0.01, .beta2 = 0.02}, defaults);
  for (int i = 0; i < 60; ++i) trainer.step(one_x, one_y);
  for (const auto& [name, tensor] : trainer.state()) {
    if (name == "adam.beta1_power" || name == "adam.beta2_power") {
      CHECK(tensor.item() == Approx(1e-30));
    }
  }
}

TEST_CASE("a user's optimizer is a few lines", "[frontend]") {
  One net;
  Trainer trainer(net, mse_loss, SignDescent{}, defaults);
  for (int i = 0; i < 3; ++i) trainer.step(one_x, one_y);
  CHECK(net.w.value().item() == 2);
}

TEST_CASE("state is named after optimizer and parameter", "[frontend]") {
  Net net(1, 2, 1);
  Regression data;
  Trainer trainer(net, mse_loss, optim::Adam{}, defaults);
  trainer.record(data.x, data.y);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : trainer.state()) names.push_back(name);
  CHECK(names.size() == 10);
  CHECK(std::count(names.begin(), names.end(), "adam.m.hidden.weight") == 1);
  CHECK(std::count(names.begin(), names.end(), "adam.beta2_power") == 1);
}

TEST_CASE("a frozen parameter gets neither gradient nor state nor update", "[frontend]") {
  Net net(1, 4, 1);
  Regression data;
  net.hidden.weight.set_requires_grad(false);
  const Tensor before = net.hidden.weight.value().clone();
  Trainer trainer(net, mse_loss, optim::Adam{}, defaults);
  trainer.step(data.x, data.y);
  CHECK(equal(before, net.hidden.weight.value()));
  CHECK_THAT(trainer.ir(), !Contains("hidden.weight.grad"));
  for (const auto& [name, tensor] : trainer.state()) CHECK(name != "adam.m.hidden.weight");
}

TEST_CASE("several mini-batches in one call equal the same single steps", "[frontend]") {
  Regression data;
  std::vector<float> single;
  Tensor weight;
  {
    manual_seed(5);
    Net net(1, 6, 1);
    Trainer trainer(net, mse_loss, optim::Adam{.lr = 0.01}, defaults);
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t row = 0; row < 20; row += 8) {
        const int64_t end = std::min<int64_t>(row + 8, 20);
        single.push_back(trainer.step(data.x.rows(row, end), data.y.rows(row, end)));
      }
    }
    weight = net.hidden.weight.value().clone();
  }
  manual_seed(5);
  Net net(1, 6, 1);
  Trainer trainer(net, mse_loss, optim::Adam{.lr = 0.01}, defaults);
  const float mean_loss = trainer.steps(data.x, data.y, {.batch_size = 8, .count = 6});
  CHECK(std::vector<float>(trainer.losses().begin(), trainer.losses().end()) == single);
  CHECK(equal(weight, net.hidden.weight.value()));
  CHECK(trainer.compile_count() == 1);
  const double expected =
      (8.0 * (single[0] + single[1] + single[3] + single[4]) + 4.0 * (single[2] + single[5])) / 40;
  CHECK(mean_loss == Approx(expected));
}

TEST_CASE("one pass takes each row once, the full batch repeats", "[frontend]") {
  Net net(1, 4, 1);
  Regression data;
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.1}, defaults);
  trainer.steps(data.x, data.y, {.batch_size = 7});
  CHECK(trainer.losses().size() == 3);
  trainer.steps(data.x, data.y, {.batch_size = 20, .count = 5});
  CHECK(trainer.losses().size() == 5);
  CHECK(trainer.losses()[4] < trainer.losses()[0]);
  trainer.steps(data.x, data.y, {.batch_size = 7, .count = 4});
  CHECK(trainer.losses().size() == 4);
  CHECK(trainer.step(data.x, data.y) == trainer.losses()[0]);
}

TEST_CASE("metrics are results of the step", "[frontend]") {
  manual_seed(2);
  Net net(2, 8, 2);
  const Tensor x = cat({normal(full({20, 2}, 2), 1), normal(full({20, 2}, -2), 1)});
  const Tensor y = cat({zeros({20}, DType::i64), ones({20}, DType::i64)});
  Trainer trainer(
      net, cross_entropy, optim::SGD{.lr = 0.1},
      {.metrics = {{"accuracy", accuracy}, {"largest", [](Value p, Value) { return max(p); }}}});
  for (int i = 0; i < 30; ++i) trainer.step(x, y);
  CHECK(trainer.metric("accuracy") > 0.9);
  CHECK(trainer.metric("largest") > 0);
  CHECK_THROWS_WITH(trainer.metric("loss"), Contains("it has accuracy, largest"));

  const Tensor classes = eval(argmax(trainer.predict(x), 1));
  double right = 0;
  for (int64_t i = 0; i < 40; ++i) right += classes.at({i}) == y.at({i}) ? 1 : 0;
  const float loss = trainer.evaluate(x, y);
  CHECK(trainer.metric("accuracy") == Approx(right / 40));
  CHECK(trainer.step(x, y) == loss);
}

TEST_CASE("predict takes any number of rows in pieces and changes nothing", "[frontend]") {
  Net net(1, 5, 1);
  Regression data;
  Trainer trainer(net, mse_loss, optim::SGD{}, {.max_batch = 6});
  const Tensor direct = eval(net(data.x));
  CHECK(equal(trainer.predict(data.x), direct));
  CHECK(equal(trainer.predict(data.x.rows(3, 5)), direct.rows(3, 5)));
  CHECK(equal(eval(net(data.x)), direct));
  CHECK(trainer.compile_count() == 0);
}

TEST_CASE("a net may move between making the trainer and training", "[frontend]") {
  Regression data;
  auto net = std::make_unique<Net>(1, 4, 1);
  Trainer trainer(*net, mse_loss, optim::SGD{.lr = 0.1}, defaults);
  const Net moved = std::move(*net);
  net.reset();
  const Tensor before = moved.hidden.weight.value().clone();
  trainer.step(data.x, data.y);
  CHECK_FALSE(equal(before, moved.hidden.weight.value()));
}

TEST_CASE("tensors that forward captures become arguments of the step", "[frontend]") {
  struct Scaled : nn::Module {
    nn::Linear layer{2, 1};
    Tensor scale{10, 100};
    Scaled() { add("layer", layer); }
    Value forward(Value x) override { return layer(x * scale); }
  } net;
  const Tensor x = ones({3, 2}), y = zeros({3, 1});
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 1e-5}, defaults);
  trainer.step(x, y);
  CHECK_THAT(trainer.ir(), Contains("(%x: f32[n, 2], %y: f32[n, 1], %lr: f32[], %tensor: f32[2])"));
  CHECK(allclose(trainer.predict(x), eval(net(x)), 1e-6));
}

TEST_CASE("rows with the label to ignore do not count", "[frontend]") {
  Net a(2, 3, 2);
  const Tensor x = randn({4, 2});
  Trainer trainer(a, cross_entropy, optim::SGD{.lr = 0}, defaults);
  const float kept = trainer.step(x.rows(0, 3), Tensor::of<int64_t>({0, 1, 1}));
  CHECK(trainer.step(x, Tensor::of<int64_t>({0, 1, 1, -100})) == Approx(kept));
}

TEST_CASE("double precision trains in double precision", "[frontend]") {
  struct Wide : nn::Module {
    nn::Parameter w = add_parameter("w", full({1}, 0.5, DType::f64));
    Value forward(Value x) override { return x * w; }
  } net;
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.1}, defaults);
  trainer.step(one_x.to(DType::f64), one_y.to(DType::f64));
  CHECK(net.w.value().item() == Approx(0.5 + 0.1 * 5).epsilon(1e-15));
}
