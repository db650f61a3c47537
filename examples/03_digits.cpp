// Reads handwritten digits: 8,000 images to train on, 2,000 others to test, ten passes of Adam.
#include <cstdio>
#include <string>

#include <fmt/core.h>

#include <sinter/sinter.h>

namespace st = sinter;

int main(int argc, char** argv) try {
  const std::string folder = argc > 1 ? argv[1] : SINTER_EXAMPLE_DATA "/mnist";
  const st::Tensor images = st::load_idx(folder + "/t10k-images-idx3-ubyte.gz");
  const st::Tensor labels = st::load_idx(folder + "/t10k-labels-idx1-ubyte.gz", st::DType::i64);
  // Each image as one row of 784 pixels from 0 to 1.
  const st::Tensor pixels = st::eval(images.reshape({images.size(0), 784}) / 255);
  const st::TensorDataset train(pixels.rows(0, 8000), labels.rows(0, 8000));
  const st::Tensor test_x = pixels.rows(8000, 10000), test_y = labels.rows(8000, 10000);

  st::manual_seed(1);
  st::nn::Sequential net{st::nn::Linear(784, 512), st::nn::ReLU(), st::nn::Linear(512, 256),
                         st::nn::ReLU(), st::nn::Linear(256, 10)};
  fmt::print("{}\n", st::summary(net, {128, 784}));

  st::Trainer trainer(net, st::cross_entropy, st::optim::Adam{.lr = 1e-3},
                      {.metrics = {{"accuracy", st::accuracy}}});
  // Each epoch is 63 mini-batches in an order of its own: 62 of 128 rows and a last one of 64.
  st::DataLoader loader(train, {.batch_size = 128, .shuffle = true});
  st::fit(trainer, loader, {.epochs = 10});

  trainer.evaluate(test_x, test_y);
  fmt::print("test accuracy: {:.2f} %\n", 100 * trainer.metric("accuracy"));
} catch (const st::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
