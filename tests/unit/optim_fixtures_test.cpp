// 100 steps of every optimizer against PyTorch, optax or the paper's formula, in f64
// (tests/fixtures/make_optimizers.py says which), and in f32 against the same numbers.
#include <fstream>
#include <type_traits>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <sinter/npy.h>
#include <sinter/sinter.h>

using namespace sinter;
using Json = nlohmann::json;

namespace {

const std::string kFolder = std::string(SINTER_FIXTURES) + "/optim/";

struct Net : nn::Module {
  nn::Linear hidden{3, 4}, out{4, 2};
  Net() {
    add("hidden", hidden);
    add("out", out);
  }
  Value forward(Value x) override { return out(tanh(hidden(x))); }
};

// Puts the settings of a case into the fields of the same names.
class Fields {
 public:
  explicit Fields(const Json& settings) : settings_(settings) {}
  ~Fields() { CHECK(found_ == settings_.size()); }

  template <class T>
  Fields& operator()(const char* name, T& field) {
    const auto it = settings_.find(name);
    if (it != settings_.end()) {
      field = it->get<T>();
      ++found_;
    }
    return *this;
  }

 private:
  const Json& settings_;
  size_t found_ = 0;
};

optim::Optimizer optimizer_of(const Json& spec);

optim::Optimizer combined(const std::string& name, const Json& settings) {
  if (name == "groups") {
    std::vector<optim::Group> groups;
    for (const Json& g : settings.at("groups")) {
      groups.push_back({g.at("name"), g.at("parameters"), optimizer_of(g)});
    }
    return optim::Groups(groups);
  }
  const optim::Optimizer inner = optimizer_of(settings.at("inner"));
  if (name == "clip_norm") return optim::clip_norm(settings.at("max_norm"), inner);
  if (name == "clip_value") return optim::clip_value(settings.at("max_value"), inner);
  REQUIRE(name == "accumulate");
  return optim::accumulate(settings.at("batches"), inner);
}

optim::Optimizer optimizer_of(const Json& spec) {
  const std::string name = spec.at("optimizer");
  const Json& settings = spec.at("settings");
  if (settings.contains("inner") || settings.contains("groups")) return combined(name, settings);
  Fields fields(settings);
  const auto read = [&](auto rule, auto more) {
    fields("lr", rule.lr);
    if constexpr (requires { rule.weight_decay; }) fields("weight_decay", rule.weight_decay);
    if constexpr (requires { rule.beta1; }) fields("beta1", rule.beta1)("beta2", rule.beta2);
    if constexpr (requires { rule.momentum; }) fields("momentum", rule.momentum);
    if constexpr (requires { rule.nesterov; }) fields("nesterov", rule.nesterov);
    if constexpr (requires { rule.amsgrad; }) fields("amsgrad", rule.amsgrad);
    more(rule);
    return optim::Optimizer(rule);
  };
  const auto nothing = [](auto&) {};
  if (name == "SGD") {
    return read(optim::SGD{}, [&](auto& r) { fields("dampening", r.dampening); });
  }
  if (name == "Momentum") return read(optim::Momentum{}, nothing);
  if (name == "AdaGrad") {
    return read(optim::AdaGrad{}, [&](auto& r) {
      fields("lr_decay", r.lr_decay)("initial_accumulator", r.initial_accumulator);
    });
  }
  if (name == "RMSprop") {
    return read(optim::RMSprop{},
                [&](auto& r) { fields("alpha", r.alpha)("centered", r.centered); });
  }
  if (name == "Adadelta") return read(optim::Adadelta{}, [&](auto& r) { fields("rho", r.rho); });
  if (name == "Adam") {
    return read(optim::Adam{}, [&](auto& r) { fields("bias_correction", r.bias_correction); });
  }
  if (name == "AdamW") return read(optim::AdamW{}, nothing);
  if (name == "Adamax") return read(optim::Adamax{}, nothing);
  if (name == "NAdam") {
    return read(optim::NAdam{}, [&](auto& r) { fields("momentum_decay", r.momentum_decay); });
  }
  if (name == "RAdam") return read(optim::RAdam{}, nothing);
  if (name == "Lion") return read(optim::Lion{}, nothing);
  if (name == "LAMB") return read(optim::LAMB{}, nothing);
  FAIL("no optimizer is named " << name);
  return optim::SGD{};
}

// The largest difference of the net's weights, in the order of the fixture, from a row of it.
double distance(const nn::Module& net, const Tensor& row) {
  const Tensor expected = row.contiguous();
  int64_t at = 0;
  double out = 0;
  for (const nn::Parameter& p : net.parameters()) {
    const Tensor mine = p.value().to(DType::f64).contiguous();
    for (int64_t i = 0; i < mine.numel(); ++i, ++at) {
      const double d = std::abs(mine.data<double>()[i] - expected.data<double>()[at]);
      // A NaN stays.
      if (!(d <= out)) out = d;
    }
  }
  REQUIRE(at == expected.numel());
  return out;
}

void set_weights(const nn::Module& net, const Tensor& flat) {
  int64_t at = 0;
  for (nn::Parameter p : net.parameters()) {
    const int64_t size = p.value().numel();
    p.set_value(flat.rows(at, at + size).reshape(p.value().shape()).to(p.value().dtype()));
    at += size;
  }
}

// The largest difference over the steps that the fixture has.
double train(const Json& spec, DType dtype, const TrainerOptions& options) {
  const Tensor x = load_npy(kFolder + "x.npy").to(dtype), y = load_npy(kFolder + "y.npy").to(dtype);
  const Tensor expected = load_npy(kFolder + spec.at("case").get<std::string>() + ".npy");
  Net net;
  net.to(dtype);
  set_weights(net, load_npy(kFolder + "start.npy"));
  Trainer trainer(net, mse_loss, optimizer_of(spec), options);
  const double lr = trainer.lr();
  double out = 0;
  for (int step = 1, kept = 0; step <= 100; ++step) {
    const int64_t begin = (step - 1) % 3 * 8;
    if (step == 51) trainer.set_lr(lr / 2);
    trainer.step(x.rows(begin, std::min<int64_t>(begin + 8, 20)),
                 y.rows(begin, std::min<int64_t>(begin + 8, 20)));
    if (step == 1 || step == 10 || step == 50 || step == 100) {
      out = std::max(out, distance(net, expected.rows(kept, kept + 1)));
      ++kept;
    }
  }
  CHECK(trainer.compile_count() == 1);
  return out;
}

Json cases() {
  std::ifstream file(kFolder + "index.json");
  REQUIRE(file.good());
  return Json::parse(file);
}

}  // namespace

TEST_CASE("every optimizer takes 100 steps as its reference does, to 1e-12", "[optim]") {
  for (const Json& spec : cases()) {
    INFO(spec.dump());
    CHECK(train(spec, DType::f64, {}) < 1e-12);
    CHECK(train(spec, DType::f64, {.interpret = true}) < 1e-12);
  }
}

TEST_CASE("every optimizer keeps to its reference in single precision", "[optim]") {
  for (const Json& spec : cases()) {
    INFO(spec.dump());
    const double difference = train(spec, DType::f32, {});
    UNSCOPED_INFO("f32 is off by " << difference);
    CHECK(difference < 2e-4);
  }
}
