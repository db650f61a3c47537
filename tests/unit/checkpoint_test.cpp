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
      {"groups",
       Groups({{"head", {"predict"}, SGD{.lr = 0.1, .momentum = 0.9}}, {"rest", {"*"}, Adam{}}})},
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

  Run(uint64_t seed, const optim::Optimizer& optimizer, int workers)
      : net((manual_seed(seed), Net())),
        trainer(net, cross_entropy, optimizer, {.threads = 1}),
        loader(samples(), {.batch_size = 5, .shuffle = true, .num_workers = workers, .seed = 11}) {}

  // Up to step number `end`; a checkpoint of each step goes into `folder`, from inside the loop.
  void train(int64_t end, const std::string& folder = {}) {
    while (trainer.step_count() < end) {
      for (auto [step, x, y] : loader) {
        trainer.set_lr(0.01 / static_cast<double>(1 + trainer.step_count() / 4));
        losses.push_back(trainer.step(x, y));
        // A use of the default generator beside the net's.
        losses.push_back(static_cast<float>(rand({1}).item()));
        if (!folder.empty()) save(folder);
        if (trainer.step_count() >= end) break;
      }
    }
  }

  void save(const std::string& folder) const {
    trainer.save_checkpoint(folder + "/" + std::to_string(trainer.step_count()), loader.position());
  }

  uint64_t hash() const {
    uint64_t out = fnv64_basis;
    for (const nn::Parameter& p : net.parameters()) out = hash_tensor(p.value(), out);
    for (const auto& [name, tensor] : trainer.state()) out = hash_tensor(tensor, out);
    return out;
  }
};

constexpr int64_t steps = 18;

void resumes_bit_for_bit(const Named& named, std::vector<int> workers, int points, uint32_t seed) {
  Run whole(1, named.optimizer, 0);
  whole.train(steps);
  std::mt19937 random(seed);
  for (int w : workers) {
    INFO(named.name << ", " << w << " workers");
    const Folder folder;
    {
      Run saving(1, named.optimizer, w);
      saving.train(steps, folder / "");
      CHECK(saving.hash() == whole.hash());
    }
    for (int i = 0; i < points; ++i) {
      const auto at = static_cast<int64_t>(1 + random() % (steps - 1));
      INFO("interrupted after step " << at);
      Run resumed(99, named.optimizer, w);
      resumed.loader.seek(resumed.trainer.load_checkpoint(folder / std::to_string(at)));
      CHECK(resumed.trainer.step_count() == at);
      resumed.train(steps);
      CHECK(resumed.hash() == whole.hash());
      CHECK(resumed.trainer.compile_count() == 1);
      CHECK(std::equal(resumed.losses.begin(), resumed.losses.end(),
                       whole.losses.end() - static_cast<int64_t>(resumed.losses.size()),
                       whole.losses.end()));
    }
  }
}

}  // namespace

// Each optimizer with one number of workers and one point: what takes time is to compile each run.
TEST_CASE("a resumed run has the bits of the uninterrupted one, for every optimizer", "[files]") {
  const int workers[] = {0, 1, 2, 4};
  uint32_t i = 0;
  for (const Named& named : optimizers()) {
    resumes_bit_for_bit(named, {workers[i % 4]}, 1, i);
    ++i;
  }
}

// sinter_tests "[resume_all]": 25 points for each optimizer and number of workers.
TEST_CASE("a resumed run has the bits of the uninterrupted one, at length", "[.][resume_all]") {
  for (const Named& named : optimizers()) resumes_bit_for_bit(named, {0, 1, 2, 4}, 25, 1000);
}

TEST_CASE("a checkpoint can be loaded before and after the first step", "[files]") {
  const Folder folder;
  const optim::Adam adam{.lr = 0.01};
  Run first(1, adam, 0);
  CHECK_THAT(error_of([&] { first.trainer.save_checkpoint(folder / "a"); }),
             Contains("call record(x, y) or step(x, y) first"));
  first.train(7);
  first.trainer.save_checkpoint(folder / "a", first.loader.position());
  Run fresh(2, adam, 0), used(3, adam, 0);
  used.train(3);
  const LoaderPosition a = fresh.trainer.load_checkpoint(folder / "a");
  CHECK(used.trainer.load_checkpoint(folder / "a") == a);
  CHECK(a == first.loader.position());
  CHECK(fresh.trainer.lr() == first.trainer.lr());
  CHECK(fresh.hash() == first.hash());
  CHECK(used.hash() == first.hash());
  CHECK(used.trainer.step_count() == 7);
}

TEST_CASE("a checkpoint that does not fit changes nothing and says all of why", "[files]") {
  const Folder folder;
  const std::string path = folder / "a.ckpt";
  Run first(1, optim::Adam{}, 0);
  first.train(2);
  first.trainer.save_checkpoint(path);

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
  first.train(4, folder / "");
  Run resumed(1, optim::Adam{}, 0);
  resumed.loader.seek(resumed.trainer.load_checkpoint(folder / "4"));
  resumed.train(10);
  CHECK(resumed.trainer.compile_count() == 1);
  CHECK(resumed.trainer.max_batch() == 5);
}
