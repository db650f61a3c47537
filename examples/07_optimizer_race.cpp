// Which optimizer fits y = x^2 best? Four of them train the same net from the same weights, on the
// same mini-batches, in one compiled step.
#include <fmt/core.h>

#include <sinter/sinter.h>

namespace st = sinter;

constexpr double kRate = 0.01;
constexpr int kBatchSize = 32;
constexpr int kEpochs = 12;

struct Net : st::nn::Module {
  st::nn::Linear hidden{1, 20}, predict{20, 1};

  Net() {
    add("hidden", hidden);
    add("predict", predict);
  }

  st::Value forward(st::Value x) override { return predict(st::relu(hidden(x))); }
};

int main() {
  st::manual_seed(1);
  const st::Tensor x = st::linspace(-1, 1, 1000).unsqueeze(1);
  const st::Tensor y = st::eval(st::pow(x, 2) + 0.1f * st::normal(st::zeros({1000, 1}), 1));
  st::DataLoader loader(st::TensorDataset(x, y),
                        {.batch_size = kBatchSize, .shuffle = true, .num_workers = 2});

  Net net;
  st::Race race(net, st::mse_loss,
                {{"SGD", st::optim::SGD{.lr = kRate}},
                 {"Momentum", st::optim::SGD{.lr = kRate, .momentum = 0.8}},
                 {"RMSprop", st::optim::RMSprop{.lr = kRate, .alpha = 0.9}},
                 {"Adam", st::optim::Adam{.lr = kRate, .beta1 = 0.9, .beta2 = 0.99}}});

  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    // 31 mini-batches of 32 rows and a last one of 8.
    for (auto [step, batch_x, batch_y] : loader) race.step(batch_x, batch_y);
  }

  const int64_t per_epoch = loader.batches();
  fmt::print("mean loss over the last of {} epochs, {} compilation:\n", kEpochs,
             race.compile_count());
  for (const auto& [name, loss] : race.ranking(per_epoch))
    fmt::print("{:>10}  {:.5f}\n", name, loss);
  race.save_csv("losses.csv");
  fmt::print("losses.csv has the losses of all {} mini-batches\n", race.losses("SGD").size());
}
