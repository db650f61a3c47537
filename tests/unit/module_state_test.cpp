#include <catch2/catch.hpp>

#include <sinter/sinter.h>

#include "tests/files/folder.h"

using Catch::Contains;
using namespace sinter;
using files::error_of;
using files::Folder;

namespace {

struct Net : nn::Module {
  nn::Linear hidden, predict;
  Net(int64_t in, int64_t width, int64_t out) : hidden(in, width), predict(width, out) {
    add("hidden", hidden);
    add("predict", predict);
  }
  Value forward(Value x) override { return predict(relu(hidden(x))); }
};

}  // namespace

TEST_CASE("weights go through a file into another net bit for bit", "[files]") {
  const Folder folder;
  const std::string path = folder / "net.safetensors";
  Net net(3, 8, 2), other(3, 8, 2);
  save(net.state_dict(), path);
  other.load_state_dict(load(path));
  for (const nn::Parameter& p : net.parameters()) {
    INFO(p.name());
    CHECK(hash_tensor(p.value()) == hash_tensor(other.parameter(p.name()).value()));
  }
  const Tensor x = randn({5, 3});
  CHECK(hash_tensor(eval(net(x))) == hash_tensor(eval(other(x))));
}

TEST_CASE("a state shares the weights of its net, and its clone does not", "[files]") {
  Net net(1, 2, 1);
  const StateDict live = net.state_dict(), snapshot = net.state_dict().clone();
  net.hidden.bias.set_value(Tensor{5, 6});
  CHECK(equal(live["hidden.bias"], Tensor{5, 6}));
  CHECK_FALSE(equal(snapshot["hidden.bias"], Tensor{5, 6}));
}

TEST_CASE("weights that do not fit are listed all at once and change nothing", "[files]") {
  Net net(2, 3, 1);
  const StateDict before = net.state_dict().clone();
  StateDict wrong{{"hidden.weight", zeros({3, 9})},
                  {"hidden.bias", zeros({3}, DType::f64)},
                  {"predict.bias", zeros({1})},
                  {"out.weight", zeros({1, 3})}};
  const std::string text = error_of([&] { net.load_state_dict(wrong); });
  CHECK_THAT(text, Contains("error: the tensors do not fit Net\n  --> module_state_test.cpp:"));
  CHECK_THAT(text, Contains("missing predict.weight : f32[1, 3]") &&
                       Contains("extra out.weight : f32[1, 3]") &&
                       Contains("hidden.weight : f32[3, 9] instead of f32[3, 2]") &&
                       Contains("hidden.bias : f64[3] instead of f32[3]"));
  for (const auto& [name, tensor] : before) CHECK(equal(tensor, net.parameter(name).value()));
}

TEST_CASE("not strict, names that only one side has are left out", "[files]") {
  Net net(2, 3, 1);
  const Tensor kept = net.predict.weight.value().clone();
  const StateDict some{{"hidden.bias", Tensor{1, 2, 3}}, {"out.bias", Tensor{1}}};
  CHECK_THAT(error_of([&] { net.load_state_dict(some); }), Contains("pass {.strict = false}"));
  const nn::LoadedNames names = net.load_state_dict(some, {.strict = false});
  CHECK(equal(net.hidden.bias.value(), Tensor{1, 2, 3}));
  CHECK(equal(net.predict.weight.value(), kept));
  CHECK(names.missing ==
        std::vector<std::string>{"hidden.weight", "predict.weight", "predict.bias"});
  CHECK(names.extra == std::vector<std::string>{"out.bias"});
  // A shape that differs is never skipped.
  CHECK_THROWS_AS(net.load_state_dict({{"hidden.bias", Tensor{1}}}, {.strict = false}), Error);
}
