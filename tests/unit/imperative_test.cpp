#include <functional>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using namespace sinter;

namespace {

std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(!error.help_text().empty());
    return error.message();
  }
  return "no error";
}

nn::Sequential make_net() {
  manual_seed(1);
  return nn::Sequential{nn::Linear(1, 10), nn::ReLU(), nn::Linear(10, 1)};
}

}  // namespace

TEST_CASE("the three calls are the one compiled step", "[imperative]") {
  const Tensor x = linspace(-1, 1, 100).unsqueeze(1), y = eval(pow(x, 2));
  nn::Sequential net = make_net(), same = make_net();
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.2}),
      plain(same, mse_loss, optim::SGD{.lr = 0.2});
  Imperative optimizer(trainer);
  for (int t = 0; t < 30; ++t) {
    Loss loss = optimizer.loss(x, y);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    CHECK(loss.item() == plain.step(x, y));
  }
  CHECK(trainer.compile_count() == 1);
  CHECK(equal(net.parameters()[0].value(), same.parameters()[0].value()));
}

TEST_CASE("the loss before the step is the loss of the step", "[imperative]") {
  const Tensor x = linspace(-1, 1, 10).unsqueeze(1), y = eval(pow(x, 2));
  nn::Sequential net = make_net();
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.2});
  Imperative optimizer(trainer);
  Loss loss = optimizer.loss(x, y);
  const float before = loss.item();
  const Tensor weight = net.parameters()[0].value().clone();
  loss.backward();
  CHECK(equal(net.parameters()[0].value(), weight));
  CHECK(loss.item() == before);
  optimizer.step();
  CHECK(loss.item() == before);
  CHECK_FALSE(equal(net.parameters()[0].value(), weight));
}

TEST_CASE("an order of calls that would accumulate is an error", "[imperative]") {
  const Tensor x = linspace(-1, 1, 10).unsqueeze(1), y = eval(pow(x, 2));
  nn::Sequential net = make_net();
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.2});
  Imperative optimizer(trainer);
  const std::string adds = "backward() would add to gradients that are there already";
  const std::string none = "step() without new gradients";
  CHECK(message([&] { optimizer.step(); }) == none);
  Loss loss = optimizer.loss(x, y);
  CHECK(message([&] { optimizer.step(); }) == none);
  loss.backward();
  CHECK(message([&] { loss.backward(); }) == adds);
  CHECK(message([&] { optimizer.loss(x, y); }) ==
        "a new loss while the gradients of the last one wait for step()");
  optimizer.step();
  CHECK(message([&] { optimizer.step(); }) == none);
  Loss next = optimizer.loss(x, y);
  CHECK(message([&] { next.backward(); }) == adds);
  optimizer.zero_grad();
  CHECK(message([&] { loss.backward(); }) == "backward() of the loss of an earlier batch");
  CHECK(message([&] { loss.item(); }) == "item() of the loss of an earlier batch");
  next.backward();
  optimizer.zero_grad();
  CHECK(message([&] { optimizer.step(); }) == none);
}
