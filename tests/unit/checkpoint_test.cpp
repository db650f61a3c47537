// A run that is interrupted and resumed has the bits of one that is not.
#include <algorithm>
#include <numeric>
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
      {"momentum, nesterov", Momentum{.nesterov = true}},
      {"adagrad", AdaGrad{}},
      {"adagrad with decay", AdaGrad{.lr_decay = 0.01, .initial_accumulator = 0.1}},
      {"rmsprop", RMSprop{}},
      {"rmsprop, centered, with momentum", RMSprop{.momentum = 0.9, .centered = true}},
      {"adadelta", Adadelta{}},
      {"adam", Adam{}},
      {"adam without bias correction", Adam{.bias_correction = false}},
      {"amsgrad", Adam{.weight_decay = 0.01, .amsgrad = true}},
      {"adamw", AdamW{}},
      {"adamw, amsgrad", AdamW{.amsgrad = true}},
      {"adamax", Adamax{}},
      {"nadam", NAdam{}},
      {"radam", RAdam{}},
      {"lion", Lion{}},
      {"lamb", LAMB{}},
      {"clip and accumulate", accumulate(3, clip_norm(0.5, Adam{}))},
      {"clip value", clip_value(0.01, RMSprop{.weight_decay = 0.01})},
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

// 23 rows in batches of 3: eight in an epoch, the last one of 2.
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
        loader(samples(), {.batch_size = 3, .shuffle = true, .num_workers = workers, .seed = 11}) {}

  // Up to step number `end`; a checkpoint of each step in `points` goes into `folder`, from inside
  // the loop.
  void train(int64_t end, const std::string& folder = {}, const std::vector<int64_t>& points = {}) {
    while (trainer.step_count() < end) {
      for (auto [step, x, y] : loader) {
        trainer.set_lr(0.01 / static_cast<double>(1 + trainer.step_count() / 4));
        losses.push_back(trainer.step(x, y));
        // A use of the default generator beside the net's.
        losses.push_back(static_cast<float>(rand({1}).item()));
        if (std::ranges::count(points, trainer.step_count()) > 0) save(folder);
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

// A little more than four epochs.
constexpr int64_t steps = 34;

// `count` steps of the run, all different.
std::vector<int64_t> draw_points(int count, uint32_t seed) {
  std::vector<int64_t> all(steps - 1), out;
  std::iota(all.begin(), all.end(), 1);
  std::ranges::sample(all, std::back_inserter(out), count, std::mt19937(seed));
  REQUIRE(static_cast<int>(out.size()) == count);
  return out;
}

void resumes_bit_for_bit(const Named& named, int workers, const std::vector<int64_t>& points) {
  INFO(named.name << ", " << workers << " workers");
  const Folder folder;
  Run whole(1, named.optimizer, 0);
  whole.train(steps);
  Run saving(1, named.optimizer, workers);
  saving.train(steps, folder / "", points);
  CHECK(saving.hash() == whole.hash());
  for (const int64_t at : points) {
    INFO("interrupted after step " << at);
    Run resumed(99, named.optimizer, workers);
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

constexpr int worker_counts[] = {0, 1, 2, 4};

}  // namespace

// Each optimizer with one number of workers and one point: what takes time is to compile each run.
TEST_CASE("a resumed run has the bits of the uninterrupted one, for every optimizer", "[files]") {
  uint32_t i = 0;
  for (const Named& named : optimizers()) {
    resumes_bit_for_bit(named, worker_counts[i % 4], draw_points(1, i));
    ++i;
  }
}

// sinter_tests "[resume_all]": 25 points for each optimizer and number of workers.
TEST_CASE("a resumed run has the bits of the uninterrupted one, at length", "[.][resume_all]") {
  uint32_t seed = 1000, runs = 0;
  for (const Named& named : optimizers()) {
    for (const int workers : worker_counts) {
      const std::vector<int64_t> points = draw_points(25, seed++);
      resumes_bit_for_bit(named, workers, points);
      runs += static_cast<uint32_t>(points.size());
    }
  }
  WARN(runs << " resumed runs of " << optimizers().size() << " optimizers");
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
  first.train(7, folder / "", {7});
  Run resumed(1, optim::Adam{}, 0);
  resumed.loader.seek(resumed.trainer.load_checkpoint(folder / "7"));
  resumed.train(16);
  CHECK(resumed.trainer.compile_count() == 1);
  CHECK(resumed.trainer.max_batch() == 3);
}
