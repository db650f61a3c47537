// Whole trainings against numpy in f64 (tests/fixtures): every loss and the final weights, compiled
// and interpreted. The bound follows from what plain f32 loops are off, which the fixture states.
#include <fstream>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <sinter/npy.h>
#include <sinter/sinter.h>

using namespace sinter;
using Json = nlohmann::json;

namespace {

// Other orders of sums and other roundings of exp and log than numpy's give a few times its f32
// error; that a step holds beta2 = 0.999 in f32, whose 1 - beta2 is off by 1e-5, gives Adam more.
constexpr double kTimesDrift = 20;

const std::string kFixtures = SINTER_FIXTURES;

// Linear layers under the names of the fixture, with its initial weights and relu between them.
struct Layers : nn::Module {
  std::vector<std::unique_ptr<nn::Linear>> layers;

  Layers(const std::string& folder, const Json& training) {
    const std::vector<std::string> names = training.at("layers");
    const std::vector<int64_t> sizes = training.at("sizes");
    for (size_t i = 0; i < names.size(); ++i) {
      auto layer = std::make_unique<nn::Linear>(sizes[i], sizes[i + 1]);
      layer->weight.set_value(load_npy(folder + names[i] + ".weight.npy"));
      layer->bias.set_value(load_npy(folder + names[i] + ".bias.npy"));
      add(names[i], *layer);
      layers.push_back(std::move(layer));
    }
  }
  Value forward(Value x) override {
    for (size_t i = 0; i < layers.size(); ++i) {
      if (i > 0) x = relu(x);
      x = (*layers[i])(x);
    }
    return x;
  }
};

optim::Optimizer optimizer_of(const Json& run) {
  if (run.at("optimizer") == "adam") {
    return optim::Adam{.lr = run.at("lr"),
                       .beta1 = run.at("betas")[0],
                       .beta2 = run.at("betas")[1],
                       .eps = run.at("eps")};
  }
  return optim::SGD{.lr = run.at("lr"), .momentum = run.at("momentum")};
}

Objective loss_of(const Json& training) {
  if (training.at("loss") == "mse") return Objective(mse_loss);
  return Objective(cross_entropy);
}

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const Tensor p = a.to(DType::f64).contiguous(), q = b.to(DType::f64).contiguous();
  double out = 0;
  for (int64_t i = 0; i < p.numel(); ++i) {
    const double d = std::abs(p.data<double>()[i] - q.data<double>()[i]);
    // A NaN stays.
    if (!(d <= out)) out = d;
  }
  return out;
}

// The losses of all steps.
std::vector<float> train(Layers& net, const Json& training, const Json& run, const Tensor& x,
                         const Tensor& y, bool interpret) {
  const int64_t batch = run.at("batch"), rows = x.size(0);
  Trainer trainer(net, loss_of(training), optimizer_of(run),
                  {.max_batch = batch, .interpret = interpret});
  std::vector<float> losses;
  for (int epoch = 0; epoch < run.at("epochs").get<int>(); ++epoch) {
    for (int64_t at = 0; at < rows; at += batch) {
      const int64_t end = std::min(rows, at + batch);
      losses.push_back(trainer.step(x.rows(at, end), y.rows(at, end)));
    }
  }
  CHECK(trainer.compile_count() == 1);
  return losses;
}

void check_trainings(const std::string& name, bool interpret) {
  const std::string folder = kFixtures + "/" + name + "/";
  std::ifstream file(folder + "training.json");
  REQUIRE(file.good());
  const Json training = Json::parse(file);
  const Tensor x = load_npy(folder + "x.npy"), y = load_npy(folder + "y.npy");
  for (const auto& [run_name, run] : training.at("runs").items()) {
    INFO(name << ", " << run_name << (interpret ? ", interpreted" : ", compiled"));
    Layers net(folder, training);
    const Tensor before = net.parameters()[0].value().clone();
    const std::vector<float> losses = train(net, training, run, x, y, interpret);
    REQUIRE(losses.size() == run.at("steps").get<size_t>());

    const std::string expected = folder + run_name + "/";
    const Tensor wanted = load_npy(expected + "losses.npy");
    const double loss_error = largest_difference(Tensor::from(losses), wanted);
    CHECK(loss_error <= kTimesDrift * run.at("float32_loss_drift").get<double>());
    double weight_error = 0;
    for (const nn::Parameter& p : net.parameters()) {
      const Tensor final_value = load_npy(expected + p.name() + ".npy");
      weight_error = std::max(weight_error, largest_difference(p.value(), final_value));
    }
    CHECK(weight_error <= kTimesDrift * run.at("float32_weight_drift").get<double>());
    // Standing still would also be near something: the weights must have moved far beyond that.
    CHECK(largest_difference(before, net.parameters()[0].value()) > 1e-3);
  }
}

}  // namespace

TEST_CASE("the regression trains as in numpy") { check_trainings("regression", false); }
TEST_CASE("the classification trains as in numpy") { check_trainings("classification", false); }
TEST_CASE("the small digits train as in numpy, the smaller last batches included") {
  check_trainings("digits_small", false);
}
TEST_CASE("the interpreter trains as numpy does") {
  for (const char* name : {"regression", "classification", "digits_small"}) {
    check_trainings(name, true);
  }
}
