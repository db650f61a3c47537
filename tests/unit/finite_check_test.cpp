// Injected faults are located: op, line, row and step.
#include <cmath>
#include <filesystem>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

#include "compiler/compile.h"
#include "ir/text/text.h"

using namespace sinter;

namespace {

// One weight for each column, and a fault to choose.
struct Net : nn::Module {
  nn::Parameter weight;
  std::function<Value(Value)> wiring;
  Net(const Tensor& start, std::function<Value(Value)> f) : wiring(std::move(f)) {
    weight = add_parameter("weight", start.clone());
  }
  Value forward(Value x) override { return wiring(x * weight); }
};

// Runs `steps` steps on x and then one on `bad`; what is thrown there.
NonFinite run(Net& net, double lr, int steps, const Tensor& x, const Tensor& bad,
              FiniteCheckOptions options = {}, std::string* text = nullptr) {
  Trainer trainer(
      net, [](Value p, Value y) { return mean(p) + 0 * mean(y); }, optim::SGD{.lr = lr});
  FiniteCheck check(std::move(options));
  const Tensor y = ones({x.size(0), 1});
  for (int i = 0; i < steps; ++i) CHECK(std::isfinite(check.step(trainer, x, y)));
  const Tensor before = net.weight.value().clone();
  try {
    check.step(trainer, bad, y);
  } catch (const NonFiniteError& error) {
    // The weights are those before the step.
    CHECK(equal(net.weight.value(), before));
    if (text != nullptr) *text = error.what();
    CHECK(error.loc().has_value() == !error.report().op.empty());
    return error.report();
  }
  FAIL("nothing was found");
  return {};
}

constexpr int kLogLine = __LINE__ + 1;
Value logarithm(Value x) { return log(x); }

}  // namespace

TEST_CASE("the logarithm of a negative number is found at its line, row and step", "[finite]") {
  Net net(ones({2}), logarithm);
  Tensor x = full({5, 2}, 2.0), bad = x.clone();
  bad.data<float>()[3 * 2 + 1] = -1;
  std::string text;
  const NonFinite found = run(net, 1e-6, 137, x, bad, {}, &text);
  CHECK(found.step == 137);
  CHECK(found.op == "log");
  CHECK(found.at.base_name() == "finite_check_test.cpp");
  CHECK(found.at.line == kLogLine);
  CHECK(found.row == 3);
  CHECK(found.index == std::vector<int64_t>{3, 1});
  CHECK(std::isnan(found.element));
  REQUIRE(found.operands.size() == 1);
  CHECK(found.operands[0].low == Approx(-1).epsilon(1e-3));
  CHECK(found.operands[0].high == Approx(2).epsilon(1e-3));
  INFO(text);
  CHECK(text.find("the loss (nan) is not finite at step 137: log gives nan in row 3") !=
        std::string::npos);
}

TEST_CASE("a division by zero and an overflow are found where they start", "[finite]") {
  Tensor x = ones({4, 1}), bad = ones({4, 1});
  bad.data<float>()[2] = 0;
  // What follows makes a NaN of the infinity: the division is what counts.
  Net divides(ones({1}), [](Value v) { return 1.0 / v - 1.0 / v; });
  const NonFinite quotient = run(divides, 0, 3, x, bad);
  CHECK(quotient.op == "div");
  CHECK(quotient.row == 2);
  CHECK(std::isinf(quotient.element));

  bad.data<float>()[2] = 200;
  Net overflows(ones({1}), [](Value v) { return exp(v); });
  const NonFinite overflow = run(overflows, 0, 3, x, bad);
  CHECK(overflow.op == "exp");
  CHECK(overflow.row == 2);
  CHECK(overflow.operands.at(0).high == 200);
}

TEST_CASE("an infinity that harms nobody is passed over", "[finite]") {
  Tensor x = ones({4, 1}), bad = ones({4, 1});
  bad.data<float>()[1] = -3;
  // The first logarithm gives NaN in row 1, where it is not used; the second one is.
  Net net(ones({1}), [](Value v) {
    const Value masked = where(less(v, 0), 0.0, log(v));
    return masked + sqrt(v + 1);
  });
  Trainer trainer(net, [](Value p, Value) { return mean(p); }, optim::SGD{.lr = 0});
  CHECK(run(net, 0, 1, x, bad).op == "sqrt");
}

TEST_CASE("a gradient that overflows is found although the loss is finite", "[finite]") {
  Net net(ones({1}), [](Value v) { return sqrt(v); });
  Tensor x = ones({3, 1}), bad = ones({3, 1});
  bad.data<float>()[1] = 0;
  std::string text;
  const NonFinite found = run(net, 0.1, 2, x, bad, {}, &text);
  CHECK(found.step == 2);
  CHECK_FALSE(found.op.empty());
  CHECK(found.at.base_name() == "finite_check_test.cpp");
  CHECK(text.find("a weight is not finite at step 2") != std::string::npos);
}

TEST_CASE("bad data and bad weights are named as such", "[finite]") {
  Net net(ones({2}), [](Value v) { return v; });
  Tensor x = ones({3, 2}), bad = ones({3, 2});
  bad.data<float>()[5] = NAN;
  const NonFinite found = run(net, 0, 1, x, bad);
  CHECK(found.op.empty());
  CHECK(found.value == "%x");
  CHECK(found.row == 2);
  net.weight.set_value(Tensor{1, INFINITY});
  CHECK(run(net, 0, 0, x, x).value == "@weight");
}

TEST_CASE("a replay file runs the step again", "[finite]") {
  const std::string folder =
      (std::filesystem::temp_directory_path() / "sinter_finite_check").string();
  std::filesystem::remove_all(folder);
  Net net(ones({1}), logarithm);
  Tensor x = ones({2, 1}), bad = ones({2, 1});
  bad.data<float>()[0] = -4;
  const NonFinite found = run(net, 0.01, 2, x, bad, {.replay_dir = folder});
  CHECK(found.replay.starts_with("sinter run " + folder + "/step.sir --inputs x="));
  const ir::Module module = ir::parse_file(folder + "/step.sir");
  const ir::Func& func = module.funcs.front();
  std::vector<Tensor> tensors;
  std::vector<void*> buffers;
  for (ir::ValueId v : func.args) tensors.push_back(load_npy(folder + "/" + func[v].name + ".npy"));
  for (const ir::Global& g : module.globals)
    tensors.push_back(load_npy(folder + "/" + g.name + ".npy"));
  tensors.push_back(full({}, 1.0));
  for (Tensor& t : tensors) buffers.push_back(t.raw());
  compiler::Options options;
  options.max_batch = 2;
  compiler::compile(module, func.name, options)->run(buffers.data(), 2);
  CHECK(std::isnan(tensors.back().item()));
  CHECK(equal(tensors[0], bad));
  std::filesystem::remove_all(folder);
}

TEST_CASE("a check is a callback of fit", "[finite]") {
  manual_seed(1);
  nn::Sequential net{nn::Linear(1, 4), nn::ReLU(), nn::Linear(4, 1)};
  const Tensor x = linspace(-1, 1, 64).unsqueeze(1);
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 1e6});
  DataLoader loader(TensorDataset(x, x), {.batch_size = 8, .shuffle = true, .seed = 1});
  try {
    fit(trainer, loader,
        {.epochs = 50, .callbacks = {FiniteCheck()}, .progress = Progress::silent});
    FAIL("a rate of a million went well");
  } catch (const NonFiniteError& error) {
    CHECK(error.report().step > 0);
    CHECK_FALSE(error.report().op.empty());
  }
  for (const nn::Parameter& p : net.parameters())
    for (float w : p.value().span<float>()) CHECK(std::isfinite(w));
}
