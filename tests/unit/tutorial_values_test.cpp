// The tutorial's tensors and variables: what they print, mean(x * x), and its gradients.
#include <sstream>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using namespace sinter;

TEST_CASE("parameters and values print what they are", "[frontend]") {
  nn::Parameter x("x", Tensor{{1, 2}, {3, 4}});
  const std::string text = "parameter x : f32[2, 2]\n" + x.value().to_string();
  CHECK(fmt::format("{}", x) == text);
  std::ostringstream out;
  out << x;
  CHECK(out.str() == text);
  CHECK(x.value().to_string() == fmt::format("{}", Tensor{{1, 2}, {3, 4}}));
  x.set_requires_grad(false);
  CHECK(x.to_string().starts_with("parameter x : f32[2, 2], frozen\n"));
  CHECK(nn::Parameter().to_string() == "empty parameter");

  nn::Linear layer(2, 3);
  CHECK(layer.parameters()[1].to_string().starts_with("parameter bias : f32[3]\n"));
  const Value hidden = layer(Tensor{{1, 2}});
  CHECK(fmt::format("{}", hidden) == "value : f32[1, 3]");
  out.str("");
  out << Value(Tensor{{1, 2}});
  CHECK(out.str() == "value tensor : f32[1, 2]");
  CHECK(Value().to_string() == "empty value");
  // A value of a training step has the batch in its type.
  std::string in_step;
  struct Net : nn::Module {
    nn::Linear layer{2, 1};
    std::string& text;
    explicit Net(std::string& t) : text(t) { add("layer", layer); }
    Value forward(Value v) override {
      const Value y = layer(v);
      text = y.to_string();
      return y;
    }
  } net(in_step);
  Trainer(net, mse_loss, optim::SGD{}).record(zeros({4, 2}), zeros({4, 1}));
  CHECK(in_step == "value layer : f32[n, 1]");
}

TEST_CASE("mean(x * x) of a tensor and of a parameter is 7.5, bit for bit", "[frontend]") {
  const Tensor tensor{{1, 2}, {3, 4}};
  const nn::Parameter parameter("x", tensor);
  const Tensor of_tensor = eval(mean(tensor * tensor));
  const Tensor of_parameter = eval(mean(parameter * parameter));
  CHECK(of_tensor.item() == 7.5);
  CHECK(hash_tensor(of_tensor) == hash_tensor(of_parameter));
  // Where the order of the sum shows.
  manual_seed(1);
  const Tensor many = randn({37, 91});
  const nn::Parameter same("x", many);
  CHECK(hash_tensor(eval(mean(many * many))) == hash_tensor(eval(mean(same * same))));
}

TEST_CASE("the gradient of mean(x * x) is x / 2, and that of the gradient half the identity",
          "[frontend]") {
  const nn::Parameter x("x", Tensor{{1, 2}, {3, 4}});
  const Value gradient = grad(mean(x * x), x);
  CHECK(equal(eval(gradient), Tensor{{0.5, 1}, {1.5, 2}}));
  for (int64_t i = 0; i < 4; ++i) {
    Tensor unit = zeros({2, 2});
    unit.span<float>()[static_cast<size_t>(i)] = 1;
    CHECK(equal(eval(grad(sum(gradient * unit), x)), eval(0.5f * Value(unit))));
  }
}

namespace {

// A recurrent net over a sequence [n, steps], written out; `shared` uses one cell for all steps.
struct Recurrent : nn::Module {
  nn::Sequential inputs, states;
  nn::Linear out;
  int64_t steps;
  bool shared;

  Recurrent(int64_t hidden, int64_t steps_, bool shared_)
      : out(hidden, 1), steps(steps_), shared(shared_) {
    for (int64_t t = 0; t < (shared ? 1 : steps); ++t) {
      inputs.append(std::make_unique<nn::Linear>(1, hidden));
      states.append(std::make_unique<nn::Linear>(hidden, hidden, nn::LinearOptions{.bias = false}));
    }
    add("input", inputs);
    add("state", states);
    add("out", out);
  }

  Value forward(Value x) override {
    const std::vector<Value> at = split(x, 1, 1);
    Value h = tanh(inputs[0](at[0]));
    for (size_t t = 1; t < at.size(); ++t) {
      const size_t cell = shared ? 0 : t;
      h = tanh(inputs[cell](at[t]) + states[cell](h));
    }
    return out(h);
  }
};

}  // namespace

TEST_CASE("a cell that is used at every step gets the sum of the gradients", "[frontend]") {
  manual_seed(3);
  Recurrent shared(4, 5, true), apart(4, 5, false);
  shared.to(DType::f64);
  apart.to(DType::f64);
  for (const nn::Parameter& p : apart.parameters()) {
    std::string path = p.name();
    const size_t number = path.find_first_of("01234");
    if (number != std::string::npos) path[number] = '0';
    apart.parameter(p.name()).set_value(shared.parameter(path).value());
  }
  const Tensor x = randn({7, 5}).to(DType::f64), y = randn({7, 1}).to(DType::f64);
  const Value loss = mse_loss(shared(x), y), other = mse_loss(apart(x), y);
  CHECK(equal(eval(loss), eval(other)));
  for (const char* name : {"input.0.weight", "input.0.bias", "state.0.weight"}) {
    INFO(name);
    const Tensor got = eval(grad(loss, shared.parameter(name)));
    Tensor total = zeros(got.shape(), DType::f64);
    for (char t = std::string(name).starts_with("state") ? '1' : '0'; t < '5'; ++t) {
      std::string path = name;
      path[6] = t;
      const Tensor part = eval(grad(other, apart.parameter(path)));
      for (int64_t i = 0; i < part.numel(); ++i) total.data<double>()[i] += part.data<double>()[i];
    }
    CHECK(allclose(got, total, 1e-12, 1e-14));
  }
}

TEST_CASE("a recurrent net remembers the first element of a sequence", "[frontend]") {
  manual_seed(4);
  const Tensor x = eval(2 * rand({4096, 6}) - 1), first = eval(slice(x, 1, 0, 1));
  Recurrent net(12, 6, true);
  Trainer trainer(net, mse_loss, optim::Adam{.lr = 0.01});
  trainer.steps(x, first, {.batch_size = 64, .count = 1500});
  const Tensor other = eval(2 * rand({500, 6}) - 1);
  // The variance of what is asked for is 1/3.
  CHECK(trainer.evaluate(other, eval(slice(other, 1, 0, 1))) < 0.03);
  CHECK(trainer.compile_count() == 1);
}
