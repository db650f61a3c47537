// Two ways to write the same net: a class with a forward() of its own, and a list of layers.
#include <fmt/core.h>

#include <sinter/sinter.h>

namespace st = sinter;

// A class may wire its layers as it likes: skip some, use one twice, branch.
struct Net : st::nn::Module {
  st::nn::Linear hidden, predict;

  Net(int in, int width, int out) : hidden(in, width), predict(width, out) {
    add("hidden", hidden);
    add("predict", predict);
  }

  st::Value forward(st::Value x) override { return predict(st::relu(hidden(x))); }
};

int main() {
  st::manual_seed(1);
  Net net1(1, 10, 1);
  st::nn::Sequential net2{st::nn::Linear(1, 10), st::nn::ReLU(), st::nn::Linear(10, 1)};

  // The list shows its activation, which is a layer there; in the class it is a function, and a
  // function has no weights to list.
  fmt::print("{}\n{}\n", net1, net2);

  // Same weights, same steps: both are one function to the compiler, so they stay equal to the bit.
  std::vector<st::nn::Parameter> to = net2.parameters();
  for (size_t i = 0; i < to.size(); ++i) to[i].set_value(net1.parameters()[i].value());

  const st::Tensor x = st::linspace(-1, 1, 100).unsqueeze(1);
  const st::Tensor y = st::eval(st::pow(x, 2) + 0.2f * st::rand({100, 1}));
  st::Trainer trainer1(net1, st::mse_loss, st::optim::SGD{.lr = 0.2});
  st::Trainer trainer2(net2, st::mse_loss, st::optim::SGD{.lr = 0.2});
  bool same = true;
  for (int t = 0; t < 100; ++t) same = same && trainer1.step(x, y) == trainer2.step(x, y);
  same = same && st::equal(trainer1.predict(x), trainer2.predict(x));
  fmt::print("after 100 steps their losses and predictions are {}\n", same ? "equal" : "different");
}
