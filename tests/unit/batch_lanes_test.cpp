// Narrow nets as one kernel with the batch in lanes: every number of rows against the interpreter,
// for each width of vectors that this machine has.
#include <cmath>
#include <functional>
#include <optional>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <sinter/sinter.h>

#include "compiler/forms/batch_form.h"
#include "compiler/pipeline.h"
#include "ir/text/text.h"
#include "tests/unit/module_run.h"

namespace sinter::compiler {

namespace {

using Activation = std::function<Value(Value)>;

struct Net : nn::Module {
  std::vector<std::unique_ptr<nn::Linear>> layers;
  Activation activation;
  Net(const std::vector<int64_t>& sizes, Activation f) : activation(std::move(f)) {
    for (size_t i = 0; i + 1 < sizes.size(); ++i) {
      layers.push_back(std::make_unique<nn::Linear>(sizes[i], sizes[i + 1]));
      add(fmt::format("fc{}", i), *layers.back());
    }
  }
  Value forward(Value x) override {
    for (size_t i = 0; i + 1 < layers.size(); ++i) x = activation((*layers[i])(x));
    return (*layers.back())(x);
  }
};

Value relu_of(Value x) { return relu(x); }
Value tanh_of(Value x) { return tanh(x); }
Value softplus_of(Value x) { return softplus(x); }

struct Setup {
  const char* name;
  std::vector<int64_t> sizes;
  Activation activation;
  optim::Optimizer optimizer;
  bool classes;
};

std::vector<Setup> setups() {
  return {
      {"1-10-1, SGD", {1, 10, 1}, relu_of, optim::SGD{}, false},
      {"1-10-1, Adam", {1, 10, 1}, relu_of, optim::Adam{}, false},
      {"2-10-2, classes, momentum", {2, 10, 2}, relu_of, optim::SGD{.momentum = 0.9}, true},
      {"1-20-1, Adam", {1, 20, 1}, relu_of, optim::Adam{}, false},
      {"3-4-3-1, softplus, Adam", {3, 4, 3, 1}, softplus_of, optim::Adam{}, false},
      {"4-6-4, tanh, SGD", {4, 6, 4}, tanh_of, optim::SGD{}, false},
      {"4-32-16-4, tanh, Adam", {4, 32, 16, 4}, tanh_of, optim::Adam{}, false},
      {"3-7-5-1, softplus, momentum",
       {3, 7, 5, 1},
       softplus_of,
       optim::SGD{.momentum = 0.9},
       false},
      {"10-16-16-10, classes, Adam", {10, 16, 16, 10}, relu_of, optim::Adam{}, true},
  };
}

// The training step of a net, as recorded.
ir::Module record(const Setup& s, DType dtype) {
  manual_seed(1);
  Net net(s.sizes, s.activation);
  TrainerOptions options;
  if (s.classes) options.metrics = {{"accuracy", accuracy}};
  const Objective loss = s.classes ? Objective(cross_entropy) : Objective(mse_loss);
  Trainer trainer(net, loss, s.optimizer, options);
  const Tensor x = randn({4, s.sizes.front()});
  const Tensor y = s.classes ? zeros({4}, DType::i64) : randn({4, s.sizes.back()});
  trainer.record(x, y);
  std::string text = trainer.ir();
  if (dtype == DType::f64) {
    for (size_t at = 0; (at = text.find("f32[", at)) != std::string::npos;) {
      text.replace(at, 3, "f64");
    }
  }
  ir::Module module = ir::parse(text);
  module.funcs.resize(1);
  return module;
}

// Inputs that an optimizer can meet: rates and its own state are not negative.
Inputs inputs_of_step(const ir::Module& module, int64_t n) {
  Inputs in = inputs_for(module, n, static_cast<uint64_t>(n));
  const auto make_positive = [](ir::Array<double>& a) {
    for (double& v : a.f) v = std::abs(v) / 2 + 0.25;
  };
  for (ir::Array<double>& a : in.args) {
    if (a.dims.empty()) make_positive(a);
  }
  for (size_t i = 0; i < module.globals.size(); ++i) {
    if (module.globals[i].name.rfind("adam", 0) == 0) make_positive(in.globals[i]);
  }
  return in;
}

bool one_kernel_by_batch(const ir::Func& func) {
  return func.body.size() == 1 && func.body[0].kind == ir::OpKind::kernel &&
         batch_in_lanes(func.body[0]);
}

// A function compiled as one kernel with the batch in lanes, beside what was recorded.
struct Narrow {
  Narrow(const ir::Module& module, const Options& options) : recorded(module), planned(module) {
    run_pipeline(planned, options);
    REQUIRE(one_kernel_by_batch(planned.funcs[0]));
    executable = make_native(planned, planned.funcs[0].name, options);
  }

  bool parallel() const { return planned.funcs[0].body[0].attrs.flag("parallel"); }
  Run run(const Inputs& in, int64_t n) const {
    return run_compiled(*executable, planned.funcs[0], planned.globals, in, n);
  }
  // Where it differs from the interpreter by more than the tolerance; "" for nowhere.
  std::string error(const Inputs& in, int64_t n, double tolerance) const {
    return difference(run(in, n), interpret_as_recorded(recorded, in, n), tolerance);
  }

  const ir::Module recorded;
  ir::Module planned;
  std::unique_ptr<Executable> executable;
};

std::string reason_for(const std::string& text) {
  const ir::Module module = ir::parse(text);
  return analyze_batch(module.funcs[0]).reason;
}

}  // namespace

TEST_CASE("narrow nets train as interpreted for every number of rows and width of vectors") {
  constexpr int64_t max_batch = 70;
  for (const Setup& s : setups()) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const ir::Module recorded = record(s, dtype);
      for (const std::string& cpu : processors()) {
        INFO(s.name << ", " << dtype_name(dtype) << ", processor \"" << cpu << "\"");
        const Narrow step(recorded, {.max_batch = max_batch, .cpu = cpu});
        // Each number of rows in the width of the machine, elsewhere some around whole vectors.
        const int64_t dense = cpu.empty() && dtype == DType::f32 ? 36 : 5;
        for (int64_t n = 1; n <= max_batch; n += n < dense ? 1 : 7) {
          INFO("n = " << n);
          const double tolerance = dtype == DType::f64 ? 1e-11 : 1e-4;
          REQUIRE(step.error(inputs_of_step(recorded, n), n, tolerance) == "");
        }
      }
    }
  }
}

TEST_CASE("a large batch has the same bits on any number of threads") {
  const Setup s{"", {4, 32, 16, 4}, tanh_of, optim::Adam{}, false};
  const ir::Module recorded = record(s, DType::f32);
  for (const int64_t n : {1, 700, 1999, 2000}) {
    INFO("n = " << n);
    const Inputs in = inputs_of_step(recorded, n);
    std::optional<Run> first;
    for (const int threads : {1, 2, 3, 5}) {
      const Narrow step(recorded, {.max_batch = 2000, .threads = threads, .oversubscribe = true});
      REQUIRE(step.parallel());
      const Run got = step.run(in, n);
      if (!first) {
        first = got;
        const Run want = interpret_as_recorded(recorded, in, n);
        REQUIRE(difference(got, want, 1e-4) == "");
      }
      REQUIRE(difference(got, *first, 0) == "");
    }
  }
}

TEST_CASE("blocks that do not hold a whole batch leave every number of rows behind them") {
  const Setup s{"", {2, 10, 2}, relu_of, optim::SGD{.momentum = 0.9}, true};
  const ir::Module recorded = record(s, DType::f32);
  for (const int64_t max_batch : {131, 160, 180}) {  // a rest of 1, 2 and 4 vectors of 16
    const Narrow step(recorded, {.max_batch = max_batch});
    for (int64_t n = 60; n <= max_batch; n += n < 134 ? 1 : 5) {
      INFO("at most " << max_batch << ", n = " << n);
      REQUIRE(step.error(inputs_of_step(recorded, n), n, 1e-4) == "");
    }
  }
}

TEST_CASE("products over a large batch are computed piece by piece") {
  const Setup s{"", {3, 7, 5, 1}, relu_of, optim::SGD{}, false};
  const ir::Module recorded = record(s, DType::f32);
  for (const std::string& cpu : processors()) {
    const Narrow step(recorded, {.max_batch = 700, .cpu = cpu});
    REQUIRE(!step.parallel());
    for (const int64_t n : {1, 17, 256, 319, 320, 321, 400, 640, 641, 699, 700}) {
      INFO("processor \"" << cpu << "\", n = " << n);
      REQUIRE(step.error(inputs_of_step(recorded, n), n, 1e-4) == "");
    }
  }
}

TEST_CASE("sums are known to later passes and to the tail, norms of what is updated, too") {
  const ir::Module module = ir::parse(R"(
global @mean : f32[3]
global @w : f32[3, 7]
func @f(%x: f32[n, 3], %d: f32[n, 7]) {
  %0 = sum %x {axes = [0]} : f32[3]
  %1 = extent {of = [n]} : f32[]
  %2 = div %0, %1 : f32[3]
  %3 = sub %x, %2 : f32[n, 3]
  %4 = mul %3, %3 : f32[n, 3]
  %5 = sum %4 {axes = [0]} : f32[3]
  %6 = add @mean, %2 : f32[3]
  assign @mean, %6
  %7 = contraction %3, %d {a = [0], b = [0]} : f32[3, 7]
  %8 = mul %7, %7 : f32[3, 7]
  %9 = sum %8 {axes = [0, 1]} : f32[]
  %10 = sqrt %9 : f32[]
  %11 = div %7, %10 : f32[3, 7]
  %12 = sub @w, %11 : f32[3, 7]
  assign @w, %12
  return %5, %10
}
)");
  for (const std::string& cpu : processors()) {
    const Narrow f(module, {.max_batch = 40, .cpu = cpu});
    for (const int64_t n : {2, 5, 16, 17, 40}) {
      INFO("processor \"" << cpu << "\", n = " << n);
      REQUIRE(f.error(inputs_for(module, n, static_cast<uint64_t>(n)), n, 1e-5) == "");
    }
  }
}

TEST_CASE("rows of results lie in memory as the reader expects, for every number of rows") {
  const ir::Module module = ir::parse(R"(
func @f(%x: f32[n, 3], %k: i32[n], %b: bool[n, 2]) {
  %0 = mul %x, %x : f32[n, 3]
  %1 = sum %0 {axes = [1]} : f32[n]
  %2 = sum %1 {axes = [0]} : f32[]
  %3 = argmax %x {axis = 1} : i64[n]
  %4 = less %x, %0 : bool[n, 3]
  %5 = constant {value = 0.5} : f32[n, 2]
  %6 = div %5, %2 : f32[n, 2]
  %7 = select %b, %6, %5 : f32[n, 2]
  %8 = add %k, %k : i32[n]
  %9 = iota {axis = 0} : i64[n, 2]
  return %0, %1, %2, %3, %4, %7, %8, %9
}
)");
  for (const std::string& cpu : processors()) {
    const Narrow f(module, {.max_batch = 40, .cpu = cpu});
    for (int64_t n = 1; n <= 40; ++n) {
      INFO("processor \"" << cpu << "\", n = " << n);
      Inputs in = inputs_for(module, n, static_cast<uint64_t>(n));
      for (int64_t& v : in.args[2].i) v %= 2;
      REQUIRE(f.error(in, n, 1e-5) == "");
    }
  }
}

TEST_CASE("what has no form with the batch in lanes says why") {
  CHECK(reason_for(R"(
func @f(%x: f32[n, 3]) {
  %0 = mul %x, %x : f32[n, 3]
  return %0
})") == "nothing is summed over the batch");
  CHECK(reason_for(R"(
func @f(%x: f32[n, 3]) {
  %0 = contraction %x, %x {a = [1], b = [1]} : f32[n, n]
  %1 = sum %0 {axes = [0, 1]} : f32[]
  return %1
})") == "f32[n, n] pairs rows");
  CHECK(reason_for(R"(
global @w : f32[200, 100]
func @f(%x: f32[n, 100]) {
  %0 = contraction %x, @w {a = [1], b = [1]} : f32[n, 200]
  %1 = sum %0 {axes = [0, 1]} : f32[]
  return %1
})") == "");
  CHECK(reason_for(R"(
global @w : f32[2, 3]
func @f(%x: f32[n, 3]) {
  %0 = sum %x {axes = [0]} : f32[3]
  %1 = mul @w, %0 : f32[2, 3]
  assign @w, %1
  return %0
})") == "the update of f32[2, 3] reads f32[3] in another order");
}

}  // namespace sinter::compiler
