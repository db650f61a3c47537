// Dropout: what a step drops is a function of seed, module path, step and place, and nothing else.
#include <cmath>
#include <set>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using namespace sinter;

namespace {

// prediction = dropout(x * w) with w = 1, so that the loss and the gradient show the mask.
struct Masked : nn::Module {
  nn::Parameter w;
  nn::Dropout drop;
  explicit Masked(int64_t width, nn::Dropout d = nn::Dropout(0.25)) : drop(std::move(d)) {
    w = add_parameter("w", ones({width}));
    add("drop", drop);
  }
  Value forward(Value x) override { return drop(x * w); }
};

struct TwoCalls : nn::Module {
  nn::Parameter w;
  nn::Dropout drop{0.5};
  TwoCalls() {
    w = add_parameter("w", ones({1}));
    add("drop", drop);
  }
  Value forward(Value x) override { return abs(drop(x * w) - drop(x * w)); }
};

Value total(Value p, Value) { return sum(p); }

// The weights after one step at rate 1: 1 minus how often each column was kept, times 4/3.
Tensor weights_after(int64_t rows, int64_t width, TrainerOptions options = {}, int steps = 1) {
  Masked net(width);
  Trainer trainer(net, total, optim::SGD{.lr = 1}, std::move(options));
  for (int i = 0; i < steps; ++i) trainer.step(ones({rows, width}), ones({rows, 1}));
  return net.w.value().clone();
}

}  // namespace

TEST_CASE("dropout keeps the share 1 - p and scales by 1 / (1 - p)") {
  manual_seed(3);
  const int64_t rows = 64, width = 400;
  const Tensor w = weights_after(rows, width);
  double kept = 0;
  for (const float v : w.span<float>()) {
    // Each row that keeps the column adds 4/3 to its gradient.
    const double rows_kept = (1 - static_cast<double>(v)) * 0.75;
    CHECK(rows_kept == Approx(std::round(rows_kept)).margin(1e-3));
    kept += rows_kept;
  }
  // Six standard deviations of 25600 draws.
  CHECK(kept / static_cast<double>(rows * width) == Approx(0.75).margin(6 * 0.0027));
}

TEST_CASE("the mask of the loss is the mask of the gradient") {
  manual_seed(3);
  Masked net(33);
  Trainer trainer(net, total, optim::SGD{.lr = 1});
  const double loss = trainer.step(ones({7, 33}), ones({7, 1}));
  double gradient = 0;
  for (const float v : net.w.value().span<float>()) gradient += 1 - static_cast<double>(v);
  CHECK(loss == Approx(gradient).epsilon(1e-5));
}

TEST_CASE("every step drops others, and the same seed the same ones again") {
  std::set<float> losses;
  std::vector<std::vector<float>> runs;
  for (const uint64_t seed : {3, 3, 4}) {
    manual_seed(seed);
    Masked net(50);
    Trainer trainer(net, total, optim::SGD{.lr = 0});
    runs.emplace_back();
    for (int i = 0; i < 20; ++i) runs.back().push_back(trainer.step(ones({40, 50}), ones({40, 1})));
  }
  losses.insert(runs[0].begin(), runs[0].end());
  CHECK(losses.size() > 12);
  CHECK(runs[0] == runs[1]);
  CHECK(runs[0] != runs[2]);
}

TEST_CASE("steps in one call advance the step as calls do") {
  const auto run = [](bool in_one_call) {
    manual_seed(3);
    Masked net(20);
    Trainer trainer(net, total, optim::SGD{.lr = 0.01}, {.max_batch = 8});
    const Tensor x = ones({24, 20}), y = ones({24, 1});
    if (in_one_call) {
      trainer.steps(x, y, {.batch_size = 8});
    } else {
      for (int64_t at = 0; at < 24; at += 8) trainer.step(x.rows(at, at + 8), y.rows(at, at + 8));
    }
    for (const auto& [name, state] : trainer.state()) {
      if (name == "random.step") CHECK(state.item<int64_t>() == 3);
    }
    return hash_tensor(net.w.value(), fnv64_basis);
  };
  CHECK(run(true) == run(false));
}

TEST_CASE("what is dropped does not depend on threads or on the interpreter") {
  manual_seed(5);
  const Tensor alone = weights_after(256, 300, {.threads = 1}, 3);
  for (int threads : {2, 3, 5}) {
    INFO(threads << " threads");
    CHECK(equal(weights_after(256, 300, {.threads = threads, .oversubscribe = true}, 3), alone));
  }
  const Tensor walked = weights_after(256, 300, {.interpret = true}, 3);
  for (int64_t i = 0; i < 300; ++i) {
    CHECK(walked.span<float>()[static_cast<size_t>(i)] ==
          Approx(alone.span<float>()[static_cast<size_t>(i)]).epsilon(1e-4));
  }
}

TEST_CASE("predict, evaluate and eval drop nothing") {
  manual_seed(3);
  Masked net(10);
  Trainer trainer(net, total, optim::SGD{.lr = 0});
  const Tensor x = rand({6, 10});
  trainer.step(x, ones({6, 1}));
  CHECK(equal(trainer.predict(x), x));
  CHECK(trainer.evaluate(x, ones({6, 1})) == Approx(eval(sum(x)).item<float>()));
  CHECK(equal(eval(dropout(x, 0.5)), x));
}

TEST_CASE("a module that is called twice draws twice") {
  manual_seed(3);
  TwoCalls net;
  Trainer trainer(net, total, optim::SGD{.lr = 0});
  CHECK(trainer.step(ones({100, 1}), ones({100, 1})) > 10);
}

TEST_CASE("a generator of its own gives dropout a seed of its own") {
  const auto loss = [](uint64_t process_seed, uint64_t own_seed) {
    manual_seed(process_seed);
    Masked net(50, nn::Dropout(0.25, Generator(own_seed)));
    Trainer trainer(net, total, optim::SGD{.lr = 0});
    return trainer.step(ones({40, 50}), ones({40, 1}));
  };
  CHECK(loss(1, 7) == loss(2, 7));
  CHECK(loss(1, 7) != loss(1, 8));
}
