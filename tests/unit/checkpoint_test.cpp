// A run that is interrupted and resumed has the bits of one that is not.
#include <cstdlib>
#include <random>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

#include "tests/files/folder.h"

using Catch::Contains;
using namespace sinter;
using files::error_of;
using files::Folder;

namespace {

struct Named {
  const char* name;
  optim::Optimizer optimizer;
};

std::vector<Named> optimizers() {
  using namespace optim;
  return {
      {"sgd", SGD{.lr = 0.05}},
      {"sgd with momentum", SGD{.lr = 0.05, .momentum = 0.9, .dampening = 0.1}},
      {"nesterov", SGD{.lr = 0.05, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true}},
      {"momentum", Momentum{}},
      {"adagrad", AdaGrad{}},
      {"rmsprop", RMSprop{}},
      {"rmsprop, centered, with momentum", RMSprop{.momentum = 0.9, .centered = true}},
      {"adadelta", Adadelta{}},
      {"adam", Adam{}},
      {"adam without bias correction", Adam{.bias_correction = false}},
      {"adamw", AdamW{}},
      {"adamax", Adamax{}},
      {"nadam", NAdam{}},
      {"radam", RAdam{}},
      {"lion", Lion{}},
      {"lamb", LAMB{}},
      {"clip and accumulate", accumulate(3, clip_norm(0.5, Adam{}))},
      {"groups", Groups({{"head", {"predict"}, SGD{.lr = 0.1, .momentum = 0.9}},
                         {"rest", {"*"}, Adam{}}})},
  };
}

struct Net : nn::Module {
  nn::Linear hidden{4, 6}, predict{6, 3};
  Net() {
    add("hidden", hidden);
    add("predict", predict);
  }
  Value forward(Value x) override { return predict(tanh(hidden(x))); }
};

// 23 rows in batches of 5: five in an epoch, the last one of 3.
TensorDataset samples() {
  Generator generator(3);
  const Tensor x = randn({23, 4}, generator);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 23; ++i) labels.push_back(i * 7 % 3);
  return {x, Tensor::from(labels)};
}

// Everything that a run may differ in, and how far it has come.
struct Run {
  Net net;
  Trainer trainer;
  DataLoader loader;
  std::vector<float> losses;

  Run(uint64_t seed, const optim::Optimizer& optimizer, int64_t workers)
      : net((manual_seed(seed), Net())),
        trainer(net, cross_entropy, optimizer, {.threads = 1}),
        loader(samples(), {.batch_size = 5, .shuffle = true, .num_workers = workers, .seed = 11}) {}

  // Up to step number `end`; a checkpoint goes to `path` at step `save_at`, inside the loop.
  void train(int64_t end, int64_t save_at = -1, const std::string& path = {}) {
    while (trainer.step_count() < end) {
      for (auto [step, x, y] : loader) {
        trainer.set_lr(0.01 / static_cast<double>(1 + trainer.step_count() / 4));
        losses.push_back(trainer.step(x, y));
        // A use of the default generator beside the net's.
        losses.push_back(static_cast<float>(rand({1}).item()));
        if (trainer.step_count() == save_at) trainer.save_checkpoint(path, loader.position());
        if (trainer.step_count() >= end) break;
      }
    }
  }

  uint64_t hash() const {
    uint64_t out = fnv64_basis;
    for (const nn::Parameter& p : net.parameters()) out = hash_tensor(p.value(), out);
    for (const auto& [name, tensor] : trainer.state()) out = hash_tensor(tensor, out);
    return out;
  }
};

constexpr int64_t steps = 18;

void resumes_bit_for_bit(const Named& named, int64_t workers, int points, uint32_t seed) {
  INFO(named.name << ", " << workers << " workers");
  const Folder folder;
  const std::string path = folder / "run.ckpt";
  Run whole(1, named.optimizer, 0);
  whole.train(steps);
  std::mt19937 random(seed);
  for (int i = 0; i < points; ++i) {
    const auto at = static_cast<int64_t>(1 + random() % (steps - 1));
    INFO("interrupted after step " << at);
    {
      // It goes on past its last checkpoint, as a run does that dies.
      Run killed(1, named.optimizer, workers);
      killed.train(at + 1, at, path);
    }
    Run resumed(99, named.optimizer, workers);
    resumed.loader.seek(resumed.trainer.load_checkpoint(path));
    CHECK(resumed.trainer.step_count() == at);
    resumed.train(steps);
    CHECK(resumed.hash() == whole.hash());
    CHECK(resumed.trainer.compile_count() == 1);
    CHECK(std::equal(resumed.losses.begin(), resumed.losses.end(),
                     whole.losses.end() - static_cast<int64_t>(resumed.losses.size()),
                     whole.losses.end()));
  }
}

}  // namespace

TEST_CASE("a resumed run has the bits of the uninterrupted one, for every optimizer", "[files]") {
  uint32_t seed = 0;
  for (const Named& named : optimizers()) {
    for (int64_t workers : {0, 1, 2, 4}) resumes_bit_for_bit(named, workers, 1, ++seed);
  }
}

// sinter_tests "[resume_all]": 25 points for each optimizer and number of workers.
TEST_CASE("a resumed run has the bits of the uninterrupted one, at length", "[.][resume_all]") {
  uint32_t seed = 1000;
  for (const Named& named : optimizers()) {
    for (int64_t workers : {0, 1, 2, 4}) resumes_bit_for_bit(named, workers, 25, ++seed);
  }
}

TEST_CASE("a checkpoint can be loaded before and after the first step", "[files]") {
  const Folder folder;
  const optim::Adam adam{.lr = 0.01};
  Run first(1, adam, 0);
  CHECK_THAT(error_of([&] { first.trainer.save_checkpoint(folder / "a"); }),
             Contains("call record(x, y) or step(x, y) first"));
  first.train(7, 7, folder / "a");
  Run fresh(2, adam, 0), used(3, adam, 0);
  used.train(3);
  const LoaderPosition a = fresh.trainer.load_checkpoint(folder / "a");
  CHECK(used.trainer.load_checkpoint(folder / "a") == a);
  CHECK(a == LoaderPosition{11, 1, 2});
  CHECK(fresh.trainer.lr() == first.trainer.lr());
  CHECK(fresh.hash() == first.hash());
  CHECK(used.hash() == first.hash());
  CHECK(used.trainer.step_count() == 7);
}

TEST_CASE("a checkpoint that does not fit changes nothing and says all of why", "[files]") {
  const Folder folder;
  const std::string path = folder / "a.ckpt";
  Run first(1, optim::Adam{}, 0);
  first.train(2, 2, path);

  Run other(2, optim::SGD{.lr = 0.1, .momentum = 0.9}, 0);
  other.train(1);
  const uint64_t before = other.hash();
  const std::string text = error_of([&] { other.trainer.load_checkpoint(path); });
  CHECK_THAT(text, Contains("does not fit this net and optimizer\n  --> checkpoint_test.cpp:"));
  CHECK_THAT(text, Contains("missing sgd.") && Contains("extra adam.") && Contains("help: make"));
  CHECK(other.hash() == before);

  nn::Linear narrow(4, 3);
  Trainer trainer(narrow, cross_entropy, optim::Adam{});
  CHECK_THAT(error_of([&] { trainer.load_checkpoint(path); }),
             Contains("does not fit this net") && Contains("missing weight : f32[3, 4]") &&
                 Contains("extra hidden.weight : f32[6, 4]"));

  save_net(first.net, zeros({1, 4}), folder / "net.sinter");
  CHECK_THAT(error_of([&] { other.trainer.load_checkpoint(folder / "net.sinter"); }),
             Contains("holds a net but no checkpoint"));
  save(first.net.state_dict(), folder / "weights.safetensors");
  CHECK_THAT(error_of([&] { other.trainer.load_checkpoint(folder / "weights.safetensors"); }),
             Contains("holds tensors but no net"));
  CHECK(other.hash() == before);
}

TEST_CASE("a batch smaller than those before the checkpoint compiles nothing twice", "[files]") {
  const Folder folder;
  Run first(1, optim::Adam{}, 0);
  // The next batch is the last and smallest one of its epoch.
  first.train(4, 4, folder / "a");
  Run resumed(1, optim::Adam{}, 0);
  resumed.loader.seek(resumed.trainer.load_checkpoint(folder / "a"));
  resumed.train(10);
  CHECK(resumed.trainer.compile_count() == 1);
  CHECK(resumed.trainer.max_batch() == 5);
}
