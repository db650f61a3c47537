// Modules: names, printing, moves, sharing, initial weights.
#include <cmath>
#include <sstream>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using Catch::Contains;
using namespace sinter;

namespace {

struct Net : nn::Module {
  nn::Linear hidden, predict;
  Net(int64_t in, int64_t width, int64_t out) : hidden(in, width), predict(width, out) {
    add("hidden", hidden);
    add("predict", predict);
  }
  Value forward(Value x) override { return predict(relu(hidden(x))); }
  static constexpr int forward_line = __LINE__ - 1;
};

struct Block : nn::Module {
  nn::Linear fc{4, 4};
  Block() { add("fc", fc); }
  Value forward(Value x) override { return x + relu(fc(x)); }
};

struct Deep : nn::Module {
  std::vector<Block> blocks;
  explicit Deep(int count) {
    for (int i = 0; i < count; ++i) {
      // The vector moves its elements as it grows.
      blocks.emplace_back();
      add(fmt::format("block{}", i), blocks.back());
    }
  }
  Value forward(Value x) override {
    for (Block& b : blocks) x = b(x);
    return x;
  }
};

struct Twice : nn::Module {
  nn::Linear layer{3, 3};
  Twice() { add("layer", layer); }
  Value forward(Value x) override { return layer(layer(x)); }
};

std::vector<std::string> names(const nn::Module& net) {
  std::vector<std::string> out;
  for (const nn::Parameter& p : net.parameters()) out.push_back(p.name());
  return out;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a net prints as in the tutorial", "[frontend]") {
  const Net net(1, 10, 1);
  const std::string expected =
      "Net (\n  (hidden): Linear (1 -> 10)\n  (predict): Linear (10 -> 1)\n)";
  CHECK(net.to_string() == expected);
  CHECK(fmt::format("{}", net) == expected);
  std::ostringstream out;
  out << net;
  CHECK(out.str() == expected);
}

TEST_CASE("a sequence prints its parts under numbers, nested ones indented", "[frontend]") {
  nn::Sequential net(nn::Linear(1, 10), nn::ReLU(), nn::Sequential(nn::Tanh(), nn::Softmax()));
  CHECK(net.to_string() ==
        "Sequential (\n  (0): Linear (1 -> 10)\n  (1): ReLU ()\n  (2): Sequential (\n"
        "    (0): Tanh ()\n    (1): Softmax (axis -1)\n  )\n)");
}

TEST_CASE("parameters come in the order of add under their paths", "[frontend]") {
  CHECK(names(Net(1, 10, 1)) ==
        Names{"hidden.weight", "hidden.bias", "predict.weight", "predict.bias"});
  CHECK(names(Deep(2)) ==
        Names{"block0.fc.weight", "block0.fc.bias", "block1.fc.weight", "block1.fc.bias"});
  CHECK(names(nn::Sequential(nn::Linear(2, 3, {.bias = false}), nn::ReLU())) == Names{"0.weight"});
}

TEST_CASE("initial weights are PyTorch's and depend on the seed alone", "[frontend]") {
  manual_seed(7);
  const nn::Linear a(16, 400);
  manual_seed(7);
  const nn::Linear b(16, 400);
  CHECK(equal(a.weight.value(), b.weight.value()));
  CHECK(a.weight.value().shape() == Shape{400, 16});
  double low = 1, high = -1, total = 0;
  for (float v : a.weight.value().span<float>()) {
    low = std::min<double>(low, v);
    high = std::max<double>(high, v);
    total += v;
  }
  CHECK(low >= -0.25);
  CHECK(low < -0.249);
  CHECK(high < 0.25);
  CHECK(high > 0.249);
  CHECK(std::abs(total / 6400) < 0.01);
  Generator generator(3), again(3);
  const nn::Linear c(2, 2, {}, generator), d(2, 2, {}, again);
  CHECK(equal(c.bias.value(), d.bias.value()));
}

TEST_CASE("a net that moves takes its parts along", "[frontend]") {
  Net net(1, 10, 1);
  const Tensor weight = net.hidden.weight.value();
  Net moved(std::move(net));
  CHECK(names(moved).size() == 4);
  CHECK(moved.children()[0].module == &moved.hidden);
  CHECK(moved.parameter("hidden.weight").value().raw() == weight.raw());
  CHECK(names(net).empty());

  Net target(2, 3, 4);
  target = std::move(moved);
  CHECK(target.children().size() == 2);
  CHECK(target.children()[0].module == &target.hidden);
  CHECK(target.children()[1].module == &target.predict);
  CHECK(target.to_string() ==
        "Net (\n  (hidden): Linear (1 -> 10)\n  (predict): Linear (10 -> 1)\n)");
  CHECK(eval(target(ones({5, 1}))).shape() == Shape{5, 1});
}

TEST_CASE("parts in a vector that grows stay listed", "[frontend]") {
  Deep net(5);
  for (size_t i = 0; i < 5; ++i) CHECK(net.children()[i].module == &net.blocks[i]);
  std::vector<Deep> nets;
  nets.push_back(std::move(net));
  nets.emplace_back(2);
  CHECK(names(nets[0]).size() == 10);
  CHECK(nets[0].children()[4].module == &nets[0].blocks[4]);
}

TEST_CASE("a part that is gone is reported by its name", "[frontend]") {
  struct Loose : nn::Module {
    void adopt(nn::Module& m) { add("head", m); }
    Value forward(Value x) override { return x; }
  } net;
  {
    nn::Linear head(1, 1);
    net.adopt(head);
    CHECK(net.parameters().size() == 2);
  }
  CHECK_THROWS_WITH(net.parameters(), Contains("a part named head that is gone"));
}

TEST_CASE("a name is used once and has no dots", "[frontend]") {
  struct Bad : nn::Module {
    nn::Linear a{1, 1}, b{1, 1};
    explicit Bad(const char* second) {
      add("a", a);
      add(second, b);
    }
    Value forward(Value x) override { return x; }
  };
  CHECK_NOTHROW(Bad("b"));
  CHECK_THROWS_WITH(Bad("a"), Contains("already has a part named a"));
  CHECK_THROWS_WITH(Bad("b.c"), Contains("cannot be named \"b.c\""));
  CHECK_THROWS_WITH(Bad(""), Contains("cannot be named"));
}

TEST_CASE("values are named after the modules that made them", "[frontend]") {
  Net net(1, 10, 1);
  const std::string text = ir_text(net(ones({5, 1})));
  CHECK_THAT(text, Contains("%hidden = linear %tensor, @hidden.weight, @hidden.bias : f32[5, 10]"));
  CHECK_THAT(text, Contains("%hidden.relu = relu %hidden"));
  CHECK_THAT(text, Contains("%predict = linear %hidden.relu, @predict.weight, @predict.bias"));
  CHECK_THAT(text, Contains(fmt::format("loc(\"frontend_module_test.cpp\":{}, \"hidden\")",
                                        Net::forward_line)));
}

TEST_CASE("nested modules name their values by path", "[frontend]") {
  Deep net(2);
  const std::string text = ir_text(net(ones({3, 4})));
  CHECK_THAT(text, Contains("%block0.fc = linear"));
  CHECK_THAT(text, Contains("%block0.fc.relu = relu %block0.fc "));
  CHECK_THAT(text, Contains("%block1 = add %block0, %block1.fc.relu"));
}

TEST_CASE("values of a sequence are not named like numbers", "[frontend]") {
  nn::Sequential net(nn::Linear(1, 4), nn::ReLU(), nn::Linear(4, 1));
  const int line = __LINE__ + 1;
  const std::string text = ir_text(net(ones({3, 1})));
  CHECK_THAT(text, Contains("%0.linear = linear %tensor, @0.weight, @0.bias"));
  CHECK_THAT(text, Contains("%1.relu = relu %0.linear"));
  CHECK_THAT(text, Contains(fmt::format("loc(\"frontend_module_test.cpp\":{}, \"2\")", line)));
  CHECK_THAT(text, !Contains("layers.cpp"));
}

TEST_CASE("a module used twice shares its weights", "[frontend]") {
  Twice net;
  CHECK(names(net) == Names{"layer.weight", "layer.bias"});
  const std::string text = ir_text(net(ones({2, 3})));
  CHECK_THAT(text, Contains("%layer = linear %tensor, @layer.weight"));
  CHECK_THAT(text, Contains("%layer_2 = linear %layer, @layer.weight"));
  CHECK_THAT(text, !Contains("@layer.weight_2"));
}

TEST_CASE("a sequence and a class of the same layers compute the same", "[frontend]") {
  manual_seed(3);
  Net net(1, 10, 1);
  manual_seed(3);
  nn::Sequential list{nn::Linear(1, 10), nn::ReLU(), nn::Linear(10, 1)};
  const Tensor x = linspace(-1, 1, 7).unsqueeze(1);
  CHECK(equal(eval(net(x)), eval(list(x))));
}

TEST_CASE("a clone has weights of its own", "[frontend]") {
  nn::Sequential net(nn::Linear(2, 3), nn::Tanh(), nn::Linear(3, 1, {.bias = false}));
  const auto copy = net.clone();
  CHECK(copy->to_string() == net.to_string());
  const Tensor x = Tensor{{1, 2}};
  const Tensor before = eval((*copy)(x));
  CHECK(equal(before, eval(net(x))));
  net.parameter("0.weight").set_value(zeros({3, 2}));
  CHECK(equal(before, eval((*copy)(x))));
  CHECK_FALSE(equal(before, eval(net(x))));

  Net a(1, 2, 1), b(1, 2, 1), other(1, 3, 1);
  b.copy_parameters(a);
  CHECK(equal(a.predict.bias.value(), b.predict.bias.value()));
  CHECK_THROWS_WITH(b.copy_parameters(other),
                    Contains("hidden.weight : f32[3, 1] instead of f32[2, 1]") &&
                        Contains("predict.weight : f32[1, 3] instead of f32[1, 2]"));
  CHECK_THROWS_WITH(a.clone(), Contains("Net does not say how to clone it"));
}

TEST_CASE("a summary counts parameters, operations and bytes", "[frontend]") {
  Net net(1, 10, 1);
  const std::string text = summary(net, {100, 1});
  CHECK_THAT(text, Contains("Net "));
  CHECK_THAT(text, Contains("  Linear (hidden)   [100, 10]"));
  CHECK_THAT(text, Contains("Total params: 31 (31 trainable), 124 bytes"));
  // hidden: 2*100*10*1 + 1000, relu: 1000, predict: 2*100*10 + 100.
  CHECK_THAT(text, Contains("Total FLOPs: 6,100 forward"));
  net.hidden.weight.set_requires_grad(false);
  CHECK_THAT(summary(net, {100, 1}), Contains("(21 trainable)"));
}
