// Reads handwritten digits: 8,000 images to train on, 2,000 others to test, ten passes of Adam.
#include <chrono>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/core.h>

#include <sinter/sinter.h>

namespace st = sinter;
using Clock = std::chrono::steady_clock;

// The numbers 0 to count - 1 in an order that depends on the generator alone (Fisher and Yates).
std::vector<int64_t> shuffled(int64_t count, st::Generator& generator) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  const st::Tensor draws = st::rand({count}, generator);
  for (int64_t i = count - 1; i > 0; --i) {
    const double u = draws.at({i});
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(u * double(i + 1))]);
  }
  return order;
}

int main(int argc, char** argv) try {
  const std::string folder = argc > 1 ? argv[1] : SINTER_EXAMPLE_DATA "/mnist";
  const st::Tensor images = st::load_idx(folder + "/t10k-images-idx3-ubyte.gz");
  const st::Tensor labels = st::load_idx(folder + "/t10k-labels-idx1-ubyte.gz", st::DType::i64);
  // Each image as one row of 784 pixels from 0 to 1.
  const st::Tensor pixels = st::eval(images.reshape({images.size(0), 784}) / 255);
  const st::Tensor x = pixels.rows(0, 8000), y = labels.rows(0, 8000);
  const st::Tensor test_x = pixels.rows(8000, 10000), test_y = labels.rows(8000, 10000);

  st::manual_seed(1);
  st::nn::Sequential net{st::nn::Linear(784, 512), st::nn::ReLU(), st::nn::Linear(512, 256),
                         st::nn::ReLU(), st::nn::Linear(256, 10)};
  fmt::print("{}\n", st::summary(net, {128, 784}));

  st::Trainer trainer(net, st::cross_entropy, st::optim::Adam{.lr = 1e-3},
                      {.metrics = {{"accuracy", st::accuracy}}});
  st::Generator generator(1);
  for (int epoch = 1; epoch <= 10; ++epoch) {
    const Clock::time_point start = Clock::now();
    const std::vector<int64_t> order = shuffled(x.size(0), generator);
    // 63 mini-batches in one call: 62 of 128 rows and a last one of 64.
    const float loss = trainer.steps(x.take_rows(order), y.take_rows(order), {.batch_size = 128});
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const size_t steps = trainer.losses().size();
    fmt::print("Epoch {:2}/10 {}/{} ━━━━━━━━━━ {:.1f}s {:.1f}ms/step - ", epoch, steps, steps,
               seconds, 1e3 * seconds / double(steps));
    fmt::print("loss: {:.4f} - accuracy: {:.4f}\n", loss, trainer.metric("accuracy"));
    std::fflush(stdout);
  }
  trainer.evaluate(test_x, test_y);
  fmt::print("test accuracy: {:.2f} %\n", 100 * trainer.metric("accuracy"));
} catch (const st::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
