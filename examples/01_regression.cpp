// Fits y = x^2 with a net of one hidden layer: 100 noisy points, 100 steps of gradient descent.
#include <fmt/core.h>

#include <sinter/sinter.h>

namespace st = sinter;

struct Net : st::nn::Module {
  st::nn::Linear hidden, predict;

  Net(int in, int width, int out) : hidden(in, width), predict(width, out) {
    add("hidden", hidden);
    add("predict", predict);
  }

  st::Value forward(st::Value x) override {
    const st::Value h = st::relu(hidden(x));
    return predict(h);
  }
};

int main() {
  st::manual_seed(1);
  const st::Tensor x = st::linspace(-1, 1, 100).unsqueeze(1);
  const st::Tensor y = st::eval(st::pow(x, 2) + 0.2f * st::rand({100, 1}));

  Net net(1, 10, 1);
  fmt::print("{}\n", net);

  // The first step records forward pass, loss, gradients and update, and compiles them into one
  // function; every step calls it.
  st::Trainer trainer(net, st::mse_loss, st::optim::SGD{.lr = 0.2});
  for (int t = 1; t <= 100; ++t) {
    const float loss = trainer.step(x, y);
    if (t == 1 || t % 10 == 0) fmt::print("step {:3}  loss {:.5f}\n", t, loss);
  }

  const st::Tensor curve = trainer.predict(st::Tensor{{-1}, {-0.5}, {0}, {0.5}, {1}});
  fmt::print("the curve at -1, -0.5, 0, 0.5 and 1:\n{}\n", curve);
}
