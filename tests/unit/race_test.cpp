// A race: every lane as if it trained alone.
#include <algorithm>
#include <fstream>
#include <sstream>
#include <tuple>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using Catch::Contains;
using namespace sinter;

namespace {

struct Net : nn::Module {
  nn::Linear hidden{1, 20}, predict{20, 1};
  Net() {
    add("hidden", hidden);
    add("predict", predict);
  }
  Value forward(Value x) override { return predict(relu(hidden(x))); }
};

std::vector<Lane> optimizers() {
  return {{"SGD", optim::SGD{.lr = 0.01}},
          {"Momentum", optim::SGD{.lr = 0.01, .momentum = 0.8}},
          {"RMSprop", optim::RMSprop{.lr = 0.01, .alpha = 0.9}},
          {"Adam", optim::Adam{.lr = 0.01, .beta1 = 0.9, .beta2 = 0.99}}};
}

// The tutorial's: 1000 rows make 31 mini-batches of 32 and one of 8.
struct Data {
  Tensor x = linspace(-1, 1, 1000).unsqueeze(1);
  Tensor y = eval(pow(x, 2) + 0.1f * normal(zeros({1000, 1}), 1));
  DataLoader loader() const {
    return DataLoader(TensorDataset(x, y), {.batch_size = 32, .shuffle = true});
  }
};

Net net_of_seed(uint64_t seed) {
  manual_seed(seed);
  return {};
}

double relative_difference(const nn::Module& a, const nn::Module& b) {
  double out = 0;
  const auto p = a.parameters(), q = b.parameters();
  REQUIRE(p.size() == q.size());
  for (size_t i = 0; i < p.size(); ++i) {
    CHECK(p[i].name() == q[i].name());
    const auto u = p[i].value().span<float>(), v = q[i].value().span<float>();
    double difference = 0, size = 0;
    for (size_t k = 0; k < u.size(); ++k) {
      difference = std::max<double>(difference, std::abs(u[k] - v[k]));
      size = std::max<double>(size, std::abs(v[k]));
    }
    out = std::max(out, difference / size);
  }
  return out;
}

}  // namespace

TEST_CASE("every lane of a race goes as if it trained alone", "[race]") {
  manual_seed(1);
  const Data data;
  Net net = net_of_seed(2);
  Race race(net, mse_loss, optimizers());
  DataLoader loader = data.loader();
  for (int epoch = 0; epoch < 12; ++epoch) {
    for (auto [step, x, y] : loader) {
      const std::span<const float> losses = race.step(x, y);
      REQUIRE(losses.size() == 4);
      CHECK(losses[3] == race.losses("Adam").back());
    }
  }
  CHECK(race.compile_count() == 1);
  for (const Lane& lane : optimizers()) {
    INFO(lane.name);
    Net alone = net_of_seed(2);
    Trainer trainer(alone, mse_loss, lane.optimizer);
    const std::vector<float>& in_race = race.losses(lane.name);
    REQUIRE(in_race.size() == 384);
    size_t k = 0;
    DataLoader again = data.loader();
    for (int epoch = 0; epoch < 12; ++epoch) {
      for (auto [step, x, y] : again) {
        CHECK(in_race[k] == Approx(trainer.step(x, y)).epsilon(1e-5));
        ++k;
      }
    }
    CHECK(relative_difference(race.net(lane.name), alone) < 1e-5);
    CHECK(allclose(race.predict(lane.name, data.x), trainer.predict(data.x), 1e-5, 1e-6));
  }
  // Where it started.
  CHECK(relative_difference(net, net_of_seed(2)) == 0);
}

TEST_CASE("a lane whose kernels are those of training alone has the same bits", "[race]") {
  struct Wide : nn::Module {
    nn::Linear hidden, predict;
    explicit Wide(int64_t width) : hidden(16, width), predict(width, 8) {
      add("hidden", hidden);
      add("predict", predict);
    }
    Value forward(Value x) override { return predict(relu(hidden(x))); }
  };
  const std::vector<Lane> lanes = {{"SGD", optim::SGD{.lr = 0.05}},
                                   {"momentum", optim::SGD{.lr = 0.05, .momentum = 0.9}},
                                   {"Adam", optim::Adam{.lr = 0.01}}};
  manual_seed(7);
  const Tensor x = randn({40, 16}), y = randn({40, 8});
  const auto differences = [&](int64_t width, const std::vector<std::string>& off) {
    Wide net(width);
    Race race(net, mse_loss, lanes, {.off = off});
    race.steps(x, y, {.batch_size = 16, .count = 30});
    int different = 0, one_pass = 0;
    const auto is_one_pass = [](const Trainer& t) {
      return t.dump("fuse_batch").find("lanes = \"batch\"") != std::string::npos;
    };
    for (const Lane& lane : lanes) {
      INFO(width << " wide, " << lane.name);
      Wide alone(width);
      alone.copy_parameters(net);
      Trainer trainer(alone, mse_loss, lane.optimizer, {.off = off});
      trainer.steps(x, y, {.batch_size = 16, .count = 30});
      const double difference = relative_difference(race.net(lane.name), alone);
      CHECK(difference < 1e-5);
      different += difference > 0 || !std::ranges::equal(trainer.losses(), race.losses(lane.name));
      one_pass += is_one_pass(trainer);
    }
    return std::tuple(one_pass, is_one_pass(race.trainer()), different);
  };
  // All nets with the batch in lanes, none, and none because the pass is left out.
  CHECK(differences(16, {}) == std::tuple(3, true, 0));
  CHECK(differences(200, {}) == std::tuple(0, false, 0));
  CHECK(differences(64, {"fuse_batch"}) == std::tuple(0, false, 0));
  // Narrow enough for it alone, too wide together.
  CHECK(differences(64, {}) == std::tuple(3, false, 3));
}

TEST_CASE("a lane knows the parameters by the names of the net", "[race]") {
  manual_seed(8);
  const Data data;
  const optim::Groups groups{{"head", {"predict"}, optim::SGD{.lr = 0.1, .momentum = 0.9}},
                             {"rest", {"*.weight", "hidden.bias"}, optim::Adam{.lr = 0.01}}};
  Net net, alone;
  alone.copy_parameters(net);
  Race race(net, mse_loss, {{"one", optim::Adam{.lr = 0.01}}, {"two", groups}});
  Trainer trainer(alone, mse_loss, groups);
  for (int i = 0; i < 20; ++i) {
    if (i == 10) {
      race.trainer().set("two.head.lr", 0.01);
      trainer.set("head.lr", 0.01);
    }
    const Tensor x = data.x.rows(i, i + 32), y = data.y.rows(i, i + 32);
    CHECK(race.step(x, y)[1] == Approx(trainer.step(x, y)).epsilon(1e-5));
  }
  CHECK(relative_difference(race.net("two"), alone) < 1e-5);
  CHECK(race.compile_count() == 1);
  CHECK(race.trainer().get("two.rest.lr") == 0.01);
  CHECK_THAT(race.trainer().ir(), Contains("global @sgd.momentum_buffer.two.predict.weight") &&
                                      Contains("global @two.rest.adam.beta1_power") &&
                                      Contains("global @adam.m.one.predict.bias"));

  const optim::Groups wrong{{"head", {"two.predict"}, optim::SGD{}}, {"rest", {"*"}, optim::SGD{}}};
  CHECK_THROWS_WITH(Race(net, mse_loss, {{"two", wrong}}),
                    Contains("the group head names no parameter: two.predict") &&
                        Contains("hidden.weight, hidden.bias, predict.weight"));
}

TEST_CASE("a race over many mini-batches in one call is the same race", "[race]") {
  manual_seed(3);
  const Data data;
  Net net = net_of_seed(4);
  Race one(net, mse_loss, optimizers()), many(net, mse_loss, optimizers());
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (int64_t at = 0; at < 1000; at += 32) {
      const int64_t end = std::min<int64_t>(at + 32, 1000);
      one.step(data.x.rows(at, end), data.y.rows(at, end));
    }
  }
  many.steps(data.x, data.y, {.batch_size = 32, .count = 64});
  CHECK(many.compile_count() == 1);
  for (const std::string& lane : one.names()) {
    CHECK(one.losses(lane) == many.losses(lane));
    CHECK(relative_difference(one.net(lane), many.net(lane)) == 0);
  }
}

TEST_CASE("fit trains a race, and the race knows every batch", "[race]") {
  manual_seed(3);
  const Data data;
  Net net = net_of_seed(4);
  Race by_hand(net, mse_loss, optimizers()), fitted(net, mse_loss, optimizers());
  DataLoader loader = data.loader(), again = data.loader();
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (auto [step, x, y] : loader) by_hand.step(x, y);
  }
  const History history = fit(fitted, again, {.epochs = 2, .progress = Progress::silent});
  CHECK(fitted.compile_count() == 1);
  CHECK(history["Adam.loss"].size() == 2);
  for (const std::string& lane : fitted.names()) {
    CHECK(fitted.losses(lane) == by_hand.losses(lane));
    CHECK(relative_difference(fitted.net(lane), by_hand.net(lane)) == 0);
  }
}

TEST_CASE("learning rates race, and change on the way", "[race]") {
  manual_seed(5);
  const Data data;
  Net net;
  Race race(net, mse_loss,
            {{"slow", optim::SGD{.lr = 1e-4}},
             {"fast", optim::SGD{.lr = 0.1}},
             {"off", optim::SGD{.lr = 1e30}}},
            {.metrics = {{"largest", [](Value p, Value) { return max(p); }}}});
  race.steps(data.x, data.y, {.batch_size = 100});
  const std::vector<Race::Place> places = race.ranking(3);
  CHECK(places[0].name == "fast");
  CHECK(places[1].name == "slow");
  // NaN is last.
  CHECK(places[2].name == "off");
  CHECK(race.trainer().metric("fast.largest") > 0);
  CHECK(race.trainer().get("slow.lr") == 1e-4);
  const float before = race.losses("slow").back();
  race.trainer().set("slow.lr", 0.1);
  race.steps(data.x, data.y, {.batch_size = 100, .count = 40});
  CHECK(race.losses("slow").back() < 0.5f * before);
  CHECK(race.compile_count() == 1);
  net.copy_parameters(race.net("slow"));
  CHECK(equal(race.predict("slow", data.x), eval(net(data.x))));
}

TEST_CASE("the lanes of a race are named in the IR and print as the net", "[race]") {
  Net net;
  Race race(net, mse_loss, optimizers());
  race.trainer().record(zeros({4, 1}), zeros({4, 1}));
  const std::string text = race.trainer().ir();
  CHECK_THAT(text, Contains("global @Adam.hidden.weight : f32[20, 1]"));
  CHECK_THAT(text, Contains("%Adam.hidden = linear %x, @Adam.hidden.weight"));
  CHECK_THAT(text, Contains("global @rmsprop.square_avg.RMSprop.hidden.bias"));
  CHECK_THAT(text, Contains("%Adam.loss = mse_loss %Adam, %y"));
  CHECK_THAT(text, !Contains("race.cpp"));
  CHECK(race.net("Adam").to_string() == net.to_string());
}

TEST_CASE("shared, frozen and early parameters race like others", "[race]") {
  // A weight used twice, one that stands still, and one that meets the input last.
  struct Odd : nn::Module {
    nn::Linear layer{2, 2};
    nn::Parameter scale = add_parameter("scale", full({2}, 0.5));
    Odd() {
      add("layer", layer);
      layer.bias.set_requires_grad(false);
    }
    Value forward(Value x) override {
      const Value s = scale * 2;
      return layer(tanh(layer(x)) + s);
    }
  };
  manual_seed(6);
  const Tensor x = randn({16, 2}), y = randn({16, 2});
  Odd net, alone;
  alone.copy_parameters(net);
  Race race(net, mse_loss, {{"a", optim::Adam{.lr = 0.01}}, {"b", optim::SGD{.lr = 0.5}}});
  Trainer trainer(alone, mse_loss, optim::SGD{.lr = 0.5});
  for (int i = 0; i < 20; ++i) {
    CHECK(race.step(x, y)[1] == Approx(trainer.step(x, y)).epsilon(1e-5));
  }
  CHECK(relative_difference(race.net("b"), alone) < 1e-5);
  CHECK(equal(race.net("b").parameter("layer.bias").value(), net.layer.bias.value()));
  CHECK_FALSE(equal(race.net("a").parameter("scale").value(), net.scale.value()));
}

TEST_CASE("losses of a race as CSV", "[race]") {
  Net net;
  Race race(net, mse_loss, optimizers());
  race.steps(linspace(-1, 1, 10).unsqueeze(1), zeros({10, 1}), {.batch_size = 4});
  race.save_csv("race_test.csv");
  std::ifstream file("race_test.csv");
  std::stringstream text;
  text << file.rdbuf();
  const std::string table = text.str();
  CHECK_THAT(table, Contains("step,SGD,Momentum,RMSprop,Adam\n0,"));
  CHECK(std::count(table.begin(), table.end(), '\n') == 4);
  CHECK_THROWS_WITH(race.save_csv("no/such/folder.csv"), Contains("cannot write"));
  std::remove("race_test.csv");
}

TEST_CASE("mistakes in a race", "[race]") {
  Net net;
  const auto make = [&](std::vector<Lane> lanes) { Race(net, mse_loss, std::move(lanes)); };
  using optim::SGD;
  CHECK_THROWS_WITH(make({}), Contains("a race without lanes") && Contains("race_test.cpp"));
  CHECK_THROWS_WITH(make({{"0.1", SGD{}}}), Contains("a lane cannot be named \"0.1\""));
  CHECK_THROWS_WITH(make({{"a", SGD{}}, {"a", SGD{}}}), Contains("two lanes are named a"));
  Race race(net, mse_loss, optimizers());
  CHECK_THROWS_WITH(race.losses("adam"), Contains("the lanes are SGD, Momentum, RMSprop, Adam"));
}
