// P2: one compiled step takes every batch size up to B, and does for each what the interpreter
// does.
#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using namespace sinter;

namespace {

constexpr int64_t kMaxBatch = 33;

struct Net : nn::Module {
  nn::Linear first, second;
  Net(int64_t in, int64_t width, int64_t out) : first(in, width), second(width, out) {
    add("first", first);
    add("second", second);
  }
  Value forward(Value x) override { return second(tanh(first(x))); }
};

struct Setup {
  int64_t in, width, out;
  Objective loss;
  optim::Optimizer optimizer;
  bool labels;
};

// A net with its trainer, set back to the same start before each step.
class Stepper {
 public:
  Stepper(const Setup& s, bool interpret)
      : net_(s.in, s.width, s.out),
        trainer_(net_, s.loss, s.optimizer, {.max_batch = kMaxBatch, .interpret = interpret}) {}

  void start_from(const Net& start, const Tensor& x, const Tensor& y) {
    net_.copy_parameters(start);
    trainer_.record(x, y);
    if (initial_.empty()) {
      for (const auto& [name, tensor] : trainer_.state()) initial_.push_back(tensor.clone());
    }
    for (size_t i = 0; i < initial_.size(); ++i) {
      Tensor state = trainer_.state()[i].second;
      state.copy_from(initial_[i]);
    }
  }

  // Everything that the step writes: loss, parameters, state.
  std::vector<Tensor> step(const Tensor& x, const Tensor& y) {
    std::vector<Tensor> out{Tensor::scalar(trainer_.step(x, y))};
    for (const nn::Parameter& p : net_.parameters()) out.push_back(p.value().clone());
    for (const auto& [name, tensor] : trainer_.state()) out.push_back(tensor.clone());
    return out;
  }
  int compile_count() const { return trainer_.compile_count(); }

 private:
  Net net_;
  Trainer trainer_;
  std::vector<Tensor> initial_;
};

double scale_of(const Tensor& t) {
  double out = 0;
  for (float v : t.span<float>()) out = std::max(out, std::abs(double{v}));
  return out;
}

void check_every_batch(const Setup& setup) {
  manual_seed(11);
  const Net start(setup.in, setup.width, setup.out);
  Stepper compiled(setup, false), interpreted(setup, true);
  Generator generator(5);
  const Tensor x = randn({kMaxBatch, setup.in}, generator);
  Tensor y = randn({kMaxBatch, setup.out}, generator);
  if (setup.labels) {
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < kMaxBatch; ++i) labels.push_back(i * 7 % setup.out);
    y = Tensor::from(labels);
  }
  // From small to large and back, so that nothing is left behind by a larger batch.
  for (int64_t k = 1; k < 2 * kMaxBatch; ++k) {
    const int64_t n = k <= kMaxBatch ? k : 2 * kMaxBatch - k;
    const Tensor xn = x.rows(0, n), yn = y.rows(0, n);
    compiled.start_from(start, xn, yn);
    interpreted.start_from(start, xn, yn);
    const std::vector<Tensor> got = compiled.step(xn, yn), want = interpreted.step(xn, yn);
    INFO("n = " << n);
    REQUIRE(got.size() == want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      INFO("value " << i);
      // Both round each of n terms once or twice, in different orders.
      CHECK(allclose(got[i], want[i], 0, 4 * 33 * 0x1p-24 * scale_of(want[i])));
    }
  }
  CHECK(compiled.compile_count() == 1);
}

}  // namespace

TEST_CASE("every batch size trains as interpreted: regression with SGD") {
  check_every_batch({1, 10, 1, mse_loss, optim::SGD{.lr = 0.1}, false});
}
TEST_CASE("every batch size trains as interpreted: regression with momentum") {
  check_every_batch({3, 17, 2, mse_loss, optim::SGD{.lr = 0.1, .momentum = 0.9}, false});
}
TEST_CASE("every batch size trains as interpreted: classes with SGD") {
  check_every_batch({5, 9, 3, cross_entropy, optim::SGD{.lr = 0.1}, true});
}
TEST_CASE("every batch size trains as interpreted: classes with Adam") {
  check_every_batch({8, 16, 10, cross_entropy, optim::Adam{.lr = 0.01}, true});
}

TEST_CASE("the prediction of a row does not depend on the batch it travels in") {
  manual_seed(3);
  Net net(7, 33, 5);
  Generator generator(1);
  const Tensor x = randn({kMaxBatch, 7}, generator), y = randn({kMaxBatch, 5}, generator);
  Trainer trainer(net, mse_loss, optim::SGD{}, {.max_batch = kMaxBatch});
  trainer.record(x, y);
  const Tensor all = trainer.predict(x);
  for (int64_t n = 1; n <= kMaxBatch; ++n) {
    INFO("n = " << n);
    CHECK(equal(trainer.predict(x.rows(0, n)), all.rows(0, n).contiguous()));
    CHECK(equal(trainer.predict(x.rows(n - 1, n)), all.rows(n - 1, n).contiguous()));
  }
}
