// Tells two clouds of points apart: 100 points around (2, 2) and 100 around (-2, -2).
#include <fmt/core.h>

#include <sinter/sinter.h>

namespace st = sinter;

struct Net : st::nn::Module {
  st::nn::Linear hidden, out;

  Net(int in, int width, int classes) : hidden(in, width), out(width, classes) {
    add("hidden", hidden);
    add("out", out);
  }

  // One number for each class; cross_entropy turns them into probabilities itself.
  st::Value forward(st::Value x) override { return out(st::relu(hidden(x))); }
};

int main() {
  st::manual_seed(1);
  const st::Tensor x0 = st::normal(st::full({100, 2}, 2), 1);
  const st::Tensor x1 = st::normal(st::full({100, 2}, -2), 1);
  const st::Tensor x = st::cat({x0, x1});
  // Labels are class numbers, one for each row.
  const st::Tensor y = st::cat({st::zeros({100}, st::DType::i64), st::ones({100}, st::DType::i64)});

  Net net(2, 10, 2);
  fmt::print("{}\n", net);

  // The accuracy is one more result of the same compiled step.
  st::Trainer trainer(net, st::cross_entropy, st::optim::SGD{.lr = 0.02},
                      {.metrics = {{"accuracy", st::accuracy}}});
  for (int t = 1; t <= 100; ++t) {
    const float loss = trainer.step(x, y);
    if (t == 1 || t % 10 == 0) {
      fmt::print("step {:3}  loss {:.4f}  accuracy {:.2f}\n", t, loss, trainer.metric("accuracy"));
    }
  }

  const st::Tensor classes = st::eval(st::argmax(trainer.predict(st::Tensor{{2, 2}, {-2, -2}}), 1));
  fmt::print("(2, 2) is of class {}, (-2, -2) of class {}\n", classes.at({0}), classes.at({1}));
}
