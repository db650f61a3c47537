// An epoch of a loader in few calls: the same training as a loop over step().
#include <stdexcept>
#include <vector>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using namespace sinter;

namespace {

struct Net : nn::Module {
  nn::Linear hidden{3, 8}, predict{8, 1};
  Net() {
    add("hidden", hidden);
    add("predict", predict);
  }
  Value forward(Value x) override { return predict(relu(hidden(x))); }
};

struct Trained {
  std::vector<float> losses;
  std::vector<Tensor> parameters;
};

// Two epochs, each run by `train_epoch`.
template <class TrainEpoch>
Trained train(const TensorDataset& data, DataLoaderOptions options, TrainEpoch&& train_epoch) {
  manual_seed(3);
  Net net;
  Trainer trainer(net, mse_loss, optim::Adam{.lr = 0.01});
  DataLoader loader(data, options);
  Trained out;
  for (int epoch = 0; epoch < 2; ++epoch) train_epoch(trainer, loader, out.losses);
  out.parameters = {net.hidden.weight.value().clone(), net.hidden.bias.value().clone(),
                    net.predict.weight.value().clone()};
  return out;
}

void by_step(Trainer& trainer, DataLoader& loader, std::vector<float>& losses) {
  for (auto [step, x, y] : loader) losses.push_back(trainer.step(x, y));
}

void by_steps(Trainer& trainer, DataLoader& loader, std::vector<float>& losses) {
  trainer.steps(loader);
  losses.insert(losses.end(), trainer.losses().begin(), trainer.losses().end());
}

void check_equal(const Trained& a, const Trained& b) {
  CHECK(a.losses == b.losses);
  REQUIRE(a.parameters.size() == b.parameters.size());
  for (size_t i = 0; i < a.parameters.size(); ++i) {
    CHECK(equal(a.parameters[i], b.parameters[i]));
  }
}

// A data set that fails at one sample.
class Broken final : public Dataset {
 public:
  explicit Broken(int64_t bad) : bad_(bad) {}
  int64_t size() const override { return 20; }
  Sample get(int64_t i) const override {
    if (i == bad_) throw std::runtime_error("the disk is gone");
    return {full({3}, double(i)), zeros({1})};
  }

 private:
  int64_t bad_;
};

}  // namespace

TEST_CASE("an epoch in few calls equals a loop over its batches, bit for bit", "[frontend]") {
  manual_seed(9);
  const TensorDataset small(randn({100, 3}), randn({100, 1}));
  for (int workers : {0, 2}) {
    for (bool drop_last : {false, true}) {
      const DataLoaderOptions options{.batch_size = 8,
                                      .shuffle = true,
                                      .num_workers = workers,
                                      .drop_last = drop_last,
                                      .seed = 4};
      check_equal(train(small, options, by_step), train(small, options, by_steps));
    }
  }
  // More rows than one block holds.
  const TensorDataset large(randn({40000, 3}), randn({40000, 1}));
  const DataLoaderOptions options{.batch_size = 512, .shuffle = true, .seed = 4};
  check_equal(train(large, options, by_step), train(large, options, by_steps));
}

TEST_CASE("an epoch goes on where the loader stands", "[frontend]") {
  manual_seed(9);
  const TensorDataset data(randn({20, 3}), randn({20, 1}));
  Net net;
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.1});
  DataLoader loader(data, {.batch_size = 8, .seed = 4});
  loader.seek({4, 0, 2});
  trainer.steps(loader);
  CHECK(trainer.losses().size() == 1);
  CHECK(trainer.step_count() == 1);
  trainer.steps(loader);
  CHECK(trainer.losses().size() == 3);
  CHECK(trainer.step_count() == 4);
}

TEST_CASE("what comes before a batch that cannot be read has been trained with", "[frontend]") {
  Net net;
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 1e-4});
  DataLoader loader(Broken(13), {.batch_size = 4});
  CHECK_THROWS_AS(trainer.steps(loader), Error);
  CHECK(trainer.step_count() == 3);
  CHECK(trainer.losses().size() == 3);
  DataLoader first(Broken(1), {.batch_size = 4});
  CHECK_THROWS_AS(trainer.steps(first), Error);
  CHECK(trainer.step_count() == 3);
}
