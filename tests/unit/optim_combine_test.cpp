// Clipping, accumulation and groups beside the numbers of optim_fixtures_test: names, run-time
// values, and mistakes.
#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using Catch::Contains;
using namespace sinter;

namespace {

struct Net : nn::Module {
  nn::Linear hidden{3, 4}, out{4, 2};
  Net() {
    add("hidden", hidden);
    add("out", out);
  }
  Value forward(Value x) override { return out(tanh(hidden(x))); }
};

std::vector<float> weights(const nn::Module& net) {
  std::vector<float> all;
  for (const nn::Parameter& p : net.parameters()) {
    const auto values = p.value().span<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

struct Problem {
  Tensor x = randn({20, 3}), y = randn({20, 2});
};

std::vector<std::string> state_names(const Trainer& trainer) {
  std::vector<std::string> out;
  for (const auto& [name, tensor] : trainer.state()) out.push_back(name);
  return out;
}

bool has(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

}  // namespace

TEST_CASE("a limit that no gradient reaches changes no bit", "[optim]") {
  manual_seed(3);
  const Problem data;
  const auto train = [&](const optim::Optimizer& optimizer) {
    manual_seed(4);
    Net net;
    Trainer trainer(net, mse_loss, optimizer);
    for (int i = 0; i < 5; ++i) trainer.step(data.x, data.y);
    return weights(net);
  };
  const std::vector<float> plain = train(optim::Adam{});
  CHECK(train(optim::clip_norm(1e6, optim::Adam{})) == plain);
  CHECK(train(optim::clip_value(1e6, optim::Adam{})) == plain);
  CHECK(train(optim::accumulate(1, optim::Adam{}, optim::Accumulate::Loss::sum)) == plain);
  CHECK(train(optim::Groups{{"all", {"*"}, optim::Adam{}}}) == plain);
  CHECK(train(optim::clip_norm(1e-3, optim::Adam{.eps = 1e-2})) != train(optim::Adam{.eps = 1e-2}));
}

TEST_CASE("limits, counts and rates of groups change without a recompile", "[optim]") {
  manual_seed(3);
  const Problem data;
  Net net;
  Trainer trainer(
      net, mse_loss,
      optim::clip_norm(1.0,
                       optim::accumulate(2, optim::Groups{{"head", {"out"}, optim::SGD{.lr = 0.1}},
                                                          {"rest", {"*"}, optim::Adam{}}})));
  CHECK(trainer.get("max_norm") == 1);
  CHECK(trainer.get("head.lr") == 0.1);
  CHECK(trainer.lr() == 1);
  trainer.set("accumulate", 1);
  trainer.set("max_norm", 1e-6);
  trainer.set("rest.lr", 0);
  std::vector<float> before = weights(net);
  trainer.step(data.x, data.y);
  // The rest stands still, and the head moves by no more than the clipped norm times its rate.
  for (const auto& [name, tensor] : trainer.state()) {
    if (name == "accumulate.count") CHECK(tensor.item() == 0);
  }
  std::vector<float> after = weights(net);
  CHECK(std::equal(before.begin(), before.begin() + 16, after.begin()));
  CHECK(std::abs(after[20] - before[20]) <= 1.1e-7f);
  trainer.set("max_norm", 1e6);
  trainer.set_lr(0);
  trainer.step(data.x, data.y);
  CHECK(weights(net) == after);
  trainer.set_lr(1);
  trainer.step(data.x, data.y);
  CHECK(weights(net) != after);
  CHECK(trainer.compile_count() == 1);

  const std::vector<std::string> names = state_names(trainer);
  CHECK(has(names, "accumulate.rows"));
  CHECK(has(names, "accumulate.gradient.hidden.weight"));
  CHECK(has(names, "adam.m.hidden.weight"));
  CHECK(has(names, "rest.adam.beta1_power"));
  CHECK_FALSE(has(names, "adam.m.out.weight"));
}

TEST_CASE("mini-batches that add up to one batch make the same update", "[optim]") {
  manual_seed(5);
  const Problem data;
  // 8, 8 and 4 rows against all 20: equal up to the rounding of sums.
  const auto train = [&](bool whole, bool sums) {
    manual_seed(6);
    Net net;
    const auto loss = [=](Value p, Value y) {
      return mse_loss(p, y, {.reduction = sums ? Reduction::sum : Reduction::mean});
    };
    const auto kind = sums ? optim::Accumulate::Loss::sum : optim::Accumulate::Loss::mean;
    const optim::Optimizer adam = optim::Adam{.lr = 0.01};
    Trainer trainer(net, loss, whole ? adam : optim::Optimizer(optim::accumulate(3, adam, kind)));
    for (int epoch = 0; epoch < 10; ++epoch) {
      const std::vector<float> before = weights(net);
      for (int64_t at = 0; at < 20; at += whole ? 20 : 8) {
        if (!whole) CHECK(weights(net) == before);
        const int64_t end = whole ? 20 : std::min<int64_t>(at + 8, 20);
        trainer.step(data.x.rows(at, end), data.y.rows(at, end));
      }
    }
    CHECK(trainer.compile_count() == 1);
    return Tensor::from(weights(net));
  };
  for (bool sums : {false, true}) {
    CHECK(allclose(train(true, sums), train(false, sums), 1e-4, 1e-5));
  }
}

TEST_CASE("what has been gathered is used up on demand", "[optim]") {
  manual_seed(7);
  const Problem data;
  Net net;
  Trainer trainer(net, mse_loss, optim::accumulate(4, optim::SGD{.lr = 0.1}));
  const std::vector<float> before = weights(net);
  trainer.step(data.x, data.y);
  CHECK(weights(net) == before);
  trainer.set("accumulate", 1);
  trainer.step(data.x, data.y);
  CHECK(weights(net) != before);
}

TEST_CASE("groups that do not fit the net", "[optim]") {
  Net net;
  const auto make = [&](optim::Groups groups) { Trainer(net, mse_loss, std::move(groups)); };
  using optim::SGD;
  CHECK_THROWS_WITH(make({{"head", {"predict"}, SGD{}}, {"rest", {"*"}, SGD{}}}),
                    Contains("the group head names no parameter: predict") &&
                        Contains("optim_combine_test.cpp") &&
                        Contains("hidden.weight, hidden.bias, out.weight, out.bias"));
  CHECK_THROWS_WITH(make({{"head", {"out"}, SGD{}}}),
                    Contains("the parameter hidden.weight is in no group"));
  CHECK_THROWS_WITH(make({{"a", {"out"}, SGD{}}, {"a", {"*"}, SGD{}}}),
                    Contains("two groups of parameters are named a"));
  CHECK_THROWS_WITH(optim::accumulate(0, SGD{}), Contains("at least 1"));
  // A part of a name is no path.
  CHECK_THROWS_WITH(make({{"a", {"hid"}, SGD{}}, {"rest", {"*"}, SGD{}}}),
                    Contains("names no parameter"));
}

TEST_CASE("a group of frozen parameters is left out", "[optim]") {
  manual_seed(8);
  const Problem data;
  Net net;
  net.out.requires_grad(false);
  const Tensor before = net.out.weight.value().clone();
  Trainer trainer(net, mse_loss,
                  optim::Groups{{"head", {"out"}, optim::Adam{}}, {"rest", {"*"}, optim::SGD{}}});
  trainer.step(data.x, data.y);
  CHECK(equal(before, net.out.weight.value()));
  for (const std::string& name : state_names(trainer)) CHECK_THAT(name, !Contains("out"));
}

TEST_CASE("no product that an optimizer keeps becomes denormal", "[optim]") {
  manual_seed(9);
  const Problem data;
  const optim::Optimizer all[] = {
      optim::Adam{.beta1 = 0.01, .beta2 = 0.02},   optim::AdamW{.beta1 = 0.01, .beta2 = 0.02},
      optim::Adamax{.beta1 = 0.01, .beta2 = 0.02}, optim::NAdam{.beta1 = 0.01, .beta2 = 0.02},
      optim::RAdam{.beta1 = 0.01, .beta2 = 0.02},  optim::LAMB{.beta1 = 0.01, .beta2 = 0.02}};
  for (const optim::Optimizer& optimizer : all) {
    INFO(optimizer.name());
    Net net;
    Trainer trainer(net, mse_loss, optimizer);
    for (int i = 0; i < 60; ++i) trainer.step(data.x, data.y);
    int seen = 0;
    for (const auto& [name, tensor] : trainer.state()) {
      if (!tensor.shape().empty() || name.find("step") != std::string::npos) continue;
      CHECK(tensor.item() == Approx(1e-30));
      ++seen;
    }
    CHECK(seen >= 1);
    for (float w : weights(net)) CHECK(std::isfinite(w));
  }
}
