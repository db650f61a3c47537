// Ten pairs in mini-batches: five and five, then eight and the two that are left.
#include <string>

#include <fmt/core.h>

#include <sinter/sinter.h>

namespace st = sinter;

// "[ 6.  7.  2.  3.  1.]": whole numbers side by side, all as wide as the widest.
std::string row(const st::Tensor& values) {
  size_t width = 0;
  for (float v : values.span<float>()) width = std::max(width, fmt::formatted_size("{:.0f}", v));
  std::string text;
  for (float v : values.span<float>()) text += fmt::format(" {:>{}.0f}. ", v, width);
  text.pop_back();
  return "[" + text + "]";
}

int main() {
  st::manual_seed(1);
  const st::Tensor x = st::linspace(1, 10, 10);
  const st::Tensor y = st::linspace(10, 1, 10);
  const st::TensorDataset dataset(x, y);

  for (int batch_size : {5, 8}) {
    // Two threads read ahead; the batches would be the same without them.
    st::DataLoader loader(dataset, {.batch_size = batch_size, .shuffle = true, .num_workers = 2});
    for (int epoch = 0; epoch < 3; ++epoch) {
      // Each loop is one epoch: all ten pairs, in an order of its own.
      for (auto [step, batch_x, batch_y] : loader) {
        // Here a net would train: trainer.step(batch_x, batch_y).
        fmt::print("Epoch:  {} | Step:  {} | batch x:  {} | batch y:  {}\n", epoch, step,
                   row(batch_x), row(batch_y));
      }
    }
  }
}
