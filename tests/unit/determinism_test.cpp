// P5: the bits of the parameters depend on the seed alone, not on the number of threads.
#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using namespace sinter;

namespace {

struct Net : nn::Module {
  nn::Linear first{128, 96}, second{96, 64}, third{64, 10};
  Net() {
    add("first", first);
    add("second", second);
    add("third", third);
  }
  Value forward(Value x) override { return third(relu(second(relu(first(x))))); }
};

struct Data {
  Tensor x, y;
  Data() {
    Generator generator(21);
    x = randn({64, 128}, generator);
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < 64; ++i) labels.push_back(i * 3 % 10);
    y = Tensor::from(labels);
  }
};

uint64_t hash_of(const Net& net, const Trainer& trainer) {
  uint64_t hash = fnv64_basis;
  for (const nn::Parameter& p : net.parameters()) hash = hash_tensor(p.value(), hash);
  for (const auto& [name, tensor] : trainer.state()) hash = hash_tensor(tensor, hash);
  return hash;
}

// Ten steps, with a smaller batch in between.
uint64_t train(const optim::Optimizer& optimizer, int threads, bool in_one_call = false) {
  static const Data data;
  manual_seed(4);
  Net net;
  Trainer trainer(net, cross_entropy, optimizer,
                  {.max_batch = 64, .threads = threads, .oversubscribe = true});
  if (in_one_call) {
    trainer.steps(data.x, data.y, {.batch_size = 24, .count = 6});
    return hash_of(net, trainer);
  }
  for (int step = 0; step < 10; ++step) {
    const int64_t rows = step % 3 == 1 ? 37 : 64;
    trainer.step(data.x.rows(0, rows), data.y.rows(0, rows));
  }
  // Else one thread does everything and there is nothing to compare.
  CHECK(trainer.dump("plan_memory").find("parallel") != std::string::npos);
  return hash_of(net, trainer);
}

}  // namespace

TEST_CASE("parameters have the same bits for any number of threads") {
  const std::vector<optim::Optimizer> optimizers{optim::SGD{.lr = 0.1, .momentum = 0.9},
                                                 optim::Adam{}};
  for (const optim::Optimizer& optimizer : optimizers) {
    INFO(std::string(optimizer.name()));
    const uint64_t alone = train(optimizer, 1);
    for (int threads : {2, 3, 4, 7}) {
      INFO(threads << " threads");
      CHECK(train(optimizer, threads) == alone);
    }
  }
}

TEST_CASE("several steps in one call have the same bits for any number of threads") {
  const uint64_t alone = train(optim::Adam{}, 1, true);
  for (int threads : {2, 3, 4}) {
    INFO(threads << " threads");
    CHECK(train(optim::Adam{}, threads, true) == alone);
  }
}

TEST_CASE("twenty repeats give the same bits") {
  const uint64_t once = train(optim::SGD{.lr = 0.1}, 2);
  for (int repeat = 0; repeat < 20; ++repeat) {
    INFO("repeat " << repeat);
    CHECK(train(optim::SGD{.lr = 0.1}, 2) == once);
  }
}

TEST_CASE("another seed gives other bits") {
  manual_seed(4);
  const Net a;
  manual_seed(5);
  const Net b;
  CHECK_FALSE(equal(a.first.weight.value(), b.first.weight.value()));
}
