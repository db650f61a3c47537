// Mistakes that users make, and the message that each one gets.
#include <cstdlib>
#include <fstream>

#include <sinter/sinter.h>

#include "tests/errors/golden.h"

using namespace sinter;
using errors::check;

namespace {

struct Net : nn::Module {
  nn::Linear hidden, predict;
  Net(int64_t in, int64_t width, int64_t out) : hidden(in, width), predict(width, out) {
    add("hidden", hidden);
    add("predict", predict);
  }
  Value forward(Value x) override { return predict(relu(hidden(x))); }
};

const TrainerOptions interpreted{.interpret = true};

// One step of a net on inputs that do not fit.
void step(Net& net, const Objective& loss, const Tensor& x, const Tensor& y) {
  Trainer trainer(net, loss, optim::SGD{.lr = 0.1}, interpreted);
  trainer.step(x, y);
}

std::string temporary(const std::string& name) {
  return (std::filesystem::temp_directory_path() / ("sinter_" + name)).string();
}

std::string write_temporary(const std::string& name, const std::string& bytes) {
  std::ofstream(temporary(name), std::ios::binary) << bytes;
  return temporary(name);
}

struct Environment {
  const char* name;
  Environment(const char* n, const char* value) : name(n) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name); }
};

}  // namespace

TEST_CASE("a wrong number of features names both and the layer that fits", "[errors]") {
  check("feature_count", true, [] {
    Net net(10, 20, 1);
    step(net, mse_loss, ones({64, 9}), ones({64, 1}));
  });
}

TEST_CASE("1-D input to a Linear suggests unsqueeze", "[errors]") {
  check("one_dimensional_input", true, [] {
    Net net(1, 10, 1);
    step(net, mse_loss, linspace(-1, 1, 100), ones({100, 1}));
  });
}

TEST_CASE("a target of another shape is no broadcast", "[errors]") {
  check("mse_shapes", true, [] {
    Net net(1, 10, 1);
    step(net, mse_loss, ones({100, 1}), ones({100}));
  });
}

TEST_CASE("double input meets float weights", "[errors]") {
  check("dtype_mismatch", true, [] {
    Net net(1, 10, 1);
    step(net, mse_loss, ones({100, 1}, DType::f64), ones({100, 1}));
  });
}

TEST_CASE("a label out of range is named with its row", "[errors]") {
  Net net(2, 4, 3);
  check("label_out_of_range", true,
        [&] { step(net, cross_entropy, ones({4, 2}), Tensor::of<int64_t>({0, 2, 7, 1})); });
  check("label_counts_from_one", true,
        [&] { step(net, cross_entropy, ones({4, 2}), Tensor::of<int64_t>({1, 2, 3, 1})); });
  check("label_negative", true,
        [&] { step(net, cross_entropy, ones({4, 2}), Tensor::of<int64_t>({0, -1, 2, 1})); });
}

TEST_CASE("labels as one-hot rows, floats or a column", "[errors]") {
  Net net(2, 4, 3);
  check("labels_one_hot", true, [&] { step(net, cross_entropy, ones({4, 2}), zeros({4, 3})); });
  check("labels_float", true, [&] { step(net, cross_entropy, ones({4, 2}), zeros({4})); });
  check("labels_column", true,
        [&] { step(net, cross_entropy, ones({4, 2}), zeros({4, 1}, DType::i64)); });
}

TEST_CASE("a batch larger than a fixed B", "[errors]") {
  check("batch_too_large", true, [] {
    Net net(1, 10, 1);
    Trainer trainer(net, mse_loss, optim::SGD{},
                    {.max_batch = 64, .fixed_batch = true, .interpret = true});
    trainer.step(ones({100, 1}), ones({100, 1}));
  });
}

TEST_CASE("inputs that change between steps", "[errors]") {
  Net net(2, 10, 1);
  Trainer trainer(net, mse_loss, optim::SGD{}, interpreted);
  trainer.step(ones({8, 2}), ones({8, 1}));
  check("features_change", true, [&] { trainer.step(ones({8, 3}), ones({8, 1})); });
  check("dtype_changes", true, [&] { trainer.step(ones({8, 2}, DType::f64), ones({8, 1})); });
  check("target_loses_axis", true, [&] { trainer.step(ones({8, 2}), ones({8})); });
  check("not_contiguous", true, [&] { trainer.step(ones({2, 8}).t(), ones({8, 1})); });
  check("predict_features", true, [&] {
    trainer.predict(ones({8, 2}));
    trainer.predict(ones({8, 3}));
  });
}

TEST_CASE("rows that do not pair up, or none", "[errors]") {
  Net net(2, 10, 1);
  check("row_counts", true, [&] { step(net, mse_loss, ones({8, 2}), ones({7, 1})); });
  check("empty_batch", true, [&] { step(net, mse_loss, zeros({0, 2}), zeros({0, 1})); });
  check("scalar_input", true, [&] { step(net, mse_loss, Tensor::scalar(1.0f), ones({1, 1})); });
}

TEST_CASE("gradients that do not exist", "[errors]") {
  const Tensor x = ones({3}), z = ones({3});
  check("gradient_unreachable", true, [&] { eval(grad(sum(exp(x)), z)); });
  check("gradient_through_argmax", true,
        [&] { eval(grad(mean(cast(argmax(x, 0), DType::f32)), x)); });
  check("gradient_of_vector", true, [&] { grad(exp(x), x); });
  check("gradient_wrt_frozen", true, [&] {
    Net net(3, 2, 1);
    net.hidden.weight.set_requires_grad(false);
    eval(grad(sum(net(ones({4, 3}))), net.hidden.weight));
  });
  check("gradient_wrt_labels", true, [&] { grad(sum(exp(x)), Tensor::of<int64_t>({1, 2, 3})); });
}

TEST_CASE("a gradient of whole numbers", "[errors]") {
  const Tensor counts = Tensor::of<int64_t>({1, 2, 3});
  check("gradient_of_integers", true, [&] { grad(sum(counts), counts); });
  check("gradient_of_integer_loss", true, [&] {
    const Tensor x = ones({3});
    grad(sum(cast(x, DType::i64)), x);
  });
}

TEST_CASE("a gradient of what the loss does not depend on, in a step", "[errors]") {
  check("gradient_unreachable_in_step", true, [] {
    Net net(3, 4, 1);
    step(
        net,
        [&](Value p, Value y) {
          const Value other = exp(y);
          return mse_loss(p, y) + sum(grad(mean(p), other));
        },
        ones({2, 3}), ones({2, 1}));
  });
}

TEST_CASE("nothing to train", "[errors]") {
  check("all_frozen", true, [] {
    Net net(1, 10, 1);
    net.requires_grad(false);
    step(net, mse_loss, ones({8, 1}), ones({8, 1}));
  });
  check("no_parameters", true, [] {
    nn::Sequential net{nn::ReLU()};
    Trainer(net, mse_loss, optim::SGD{}, interpreted).step(ones({8, 1}), ones({8, 1}));
  });
  check("loss_without_prediction", true, [] {
    Net net(1, 10, 1);
    step(net, [](Value, Value y) { return mean(y); }, ones({8, 1}), ones({8, 1}));
  });
  check("layer_not_added", true, [] {
    struct Forgetful : nn::Module {
      nn::Linear a{1, 4}, b{4, 1};
      Forgetful() { add("a", a); }
      Value forward(Value x) override { return b(relu(a(x))); }
    } net;
    Trainer(net, mse_loss, optim::SGD{}, interpreted).step(ones({8, 1}), ones({8, 1}));
  });
}

TEST_CASE("a loss that is not one number", "[errors]") {
  check("loss_not_scalar", true, [] {
    Net net(1, 10, 1);
    step(
        net, [](Value p, Value y) { return mse_loss(p, y, {.reduction = Reduction::none}); },
        ones({8, 1}), ones({8, 1}));
  });
}

TEST_CASE("shapes and axes that do not fit an op", "[errors]") {
  const Tensor x = ones({2, 3});
  check("broadcast_mismatch", true, [&] { Value(x) + ones({2, 4}); });
  check("axis_out_of_range", true, [&] { sum(x, 2); });
  check("reshape_count", true, [&] { reshape(x, {4, 2}); });
  check("reshape_batch", true, [] {
    Net net(1, 10, 1);
    step(
        net, [](Value p, Value y) { return mse_loss(reshape(p, {8}), reshape(y, {8})); },
        ones({8, 1}), ones({8, 1}));
  });
  check("matmul_vector", true, [&] { matmul(x, ones({3})); });
  check("matmul_sizes", true, [&] { matmul(x, ones({4, 5})); });
  check("where_condition", true, [&] { where(x, x, 0); });
  check("fraction_of_integer", true, [] { Value(Tensor::of<int64_t>({1, 2})) * 0.5; });
  check("gather_out_of_range", true, [&] { eval(gather(x, Tensor::of<int64_t>({0, 2}))); });
  check("empty_value", true, [] { exp(Value()); });
}

TEST_CASE("values that have no batch at hand", "[errors]") {
  check("eval_of_step_value", true, [] {
    Net net(1, 10, 1);
    Value kept;
    step(
        net,
        [&](Value p, Value y) {
          kept = p;
          return mse_loss(p, y);
        },
        ones({8, 1}), ones({8, 1}));
    eval(kept);
  });
}

TEST_CASE("names that do not exist", "[errors]") {
  Net net(1, 10, 1);
  Trainer trainer(net, mse_loss, optim::SGD{}, interpreted);
  check("unknown_hyper", false, [&] { trainer.set("momentum", 0.9); });
  check("unknown_metric", false, [&] { trainer.metric("accuracy"); });
  check("unknown_parameter", false, [&] { net.parameter("hidden.weights"); });
}

TEST_CASE("data that is not what it should be", "[errors]") {
  check("ragged_tensor", false, [] { Tensor{{1, 2}, {3}}; });
  check("missing_npy", false, [] { load_npy(temporary("no_such_file.npy")); });
  check("truncated_npy", false, [] {
    const std::string path = temporary("truncated.npy");
    save_npy(path, ones({4, 4}));
    std::filesystem::resize_file(path, 150);
    load_npy(path);
  });
  check("truncated_idx", false, [] {
    load_idx(write_temporary("truncated.idx", std::string("\0\0\x08\x01\0\0\0\x05\x01\x02", 10)));
  });
}

TEST_CASE("environment variables without meaning", "[errors]") {
  Net net(1, 10, 1);
  const auto make = [&] { Trainer trainer(net, mse_loss, optim::SGD{}); };
  check("environment_jit", false, [&] {
    const Environment set("SINTER_JIT", "off");
    make();
  });
  check("environment_threads", false, [&] {
    const Environment set("SINTER_THREADS", "many");
    make();
  });
}
