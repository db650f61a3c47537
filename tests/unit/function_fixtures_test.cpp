// Activations and losses, values and derivatives, against PyTorch
// (tests/fixtures/make_functions.py).
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <sinter/sinter.h>

using namespace sinter;
using Json = nlohmann::json;

namespace {

using Call = std::function<Value(const std::vector<Value>&, const Json&)>;

Reduction reduction_of(const Json& a) {
  const std::string name = a.at("reduction");
  return name == "mean" ? Reduction::mean : name == "sum" ? Reduction::sum : Reduction::none;
}

KlReduction kl_reduction_of(const Json& a) {
  const std::string name = a.at("reduction");
  return name == "batchmean" ? KlReduction::batchmean : KlReduction{uint8_t(reduction_of(a))};
}

// Numbers of the dtype that `like` has, or nothing.
std::optional<Tensor> tensor_of(const Json& a, const char* name, const Value& like) {
  if (!a.contains(name) || a.at(name).is_null()) return std::nullopt;
  return Tensor::from(a.at(name).get<std::vector<double>>()).to(like.dtype());
}

CrossEntropyOptions labelled(const Value& x, const Json& a) {
  return {.reduction = reduction_of(a),
          .class_weights = tensor_of(a, "class_weights", x),
          .label_smoothing = a.at("label_smoothing")};
}

using Values = std::vector<Value>;

const std::map<std::string, Call>& activations() {
  const auto plain = [](Value (*f)(const Operand&)) {
    return [f](const Values& x, const Json&) { return f(x[0]); };
  };
  static const std::map<std::string, Call> list = {
      {"relu", plain(relu)},
      {"sigmoid", plain(sigmoid)},
      {"tanh", plain(tanh)},
      {"softplus", plain(softplus)},
      {"selu", plain(selu)},
      {"silu", plain(silu)},
      {"mish", plain(mish)},
      {"relu6", plain(relu6)},
      {"hardsigmoid", plain(hardsigmoid)},
      {"hardswish", plain(hardswish)},
      {"softsign", plain(softsign)},
      {"tanhshrink", plain(tanhshrink)},
      {"logsigmoid", plain(logsigmoid)},
      {"gelu_tanh", plain(gelu)},
      {"leaky_relu",
       [](const Values& x, const Json& a) { return leaky_relu(x[0], a.at("slope")); }},
      {"elu", [](const Values& x, const Json& a) { return elu(x[0], a.at("alpha")); }},
      {"celu", [](const Values& x, const Json& a) { return celu(x[0], a.at("alpha")); }},
      {"hardtanh",
       [](const Values& x, const Json& a) { return hardtanh(x[0], a.at("low"), a.at("high")); }},
      {"softshrink", [](const Values& x, const Json& a) { return softshrink(x[0], a.at("size")); }},
      {"hardshrink", [](const Values& x, const Json& a) { return hardshrink(x[0], a.at("size")); }},
      {"softplus_beta",
       [](const Values& x, const Json& a) { return softplus(x[0], a.at("beta").get<double>()); }},
      {"prelu", [](const Values& x, const Json&) { return prelu(x[0], x[1]); }},
  };
  return list;
}

const std::map<std::string, Call>& losses() {
  static const std::map<std::string, Call> list = {
      {"mse_loss",
       [](const Values& x, const Json& a) {
         return mse_loss(x[0], x[1], {.reduction = reduction_of(a)});
       }},
      {"l1_loss",
       [](const Values& x, const Json& a) {
         return l1_loss(x[0], x[1], {.reduction = reduction_of(a)});
       }},
      {"huber_loss",
       [](const Values& x, const Json& a) {
         return huber_loss(x[0], x[1], {.reduction = reduction_of(a), .delta = a.at("delta")});
       }},
      {"smooth_l1_loss",
       [](const Values& x, const Json& a) {
         return smooth_l1_loss(x[0], x[1], {.reduction = reduction_of(a), .beta = a.at("delta")});
       }},
      {"binary_cross_entropy",
       [](const Values& x, const Json& a) {
         return binary_cross_entropy(x[0], x[1], {.reduction = reduction_of(a)});
       }},
      {"bce_with_logits",
       [](const Values& x, const Json& a) {
         return binary_cross_entropy_with_logits(
             x[0], x[1],
             {.reduction = reduction_of(a), .pos_weight = tensor_of(a, "pos_weight", x[0])});
       }},
      {"nll_loss",
       [](const Values& x, const Json& a) { return nll_loss(x[0], x[1], labelled(x[0], a)); }},
      {"cross_entropy",
       [](const Values& x, const Json& a) { return cross_entropy(x[0], x[1], labelled(x[0], a)); }},
      {"kl_div",
       [](const Values& x, const Json& a) {
         return kl_div(x[0], x[1],
                       {.reduction = kl_reduction_of(a), .log_target = a.at("log_target")});
       }},
      {"cosine_embedding_loss",
       [](const Values& x, const Json& a) {
         return cosine_embedding_loss(x[0], x[1], x[2],
                                      {.reduction = reduction_of(a), .margin = a.at("margin")});
       }},
  };
  return list;
}

// The largest of abs(got - expected) / (1 + abs(expected)); NaN if there is one.
double error(const Tensor& got, const std::vector<double>& expected) {
  const Tensor mine = got.to(DType::f64).contiguous();
  REQUIRE(mine.numel() == static_cast<int64_t>(expected.size()));
  double out = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double e = std::abs(mine.data<double>()[i] - expected[i]) / (1 + std::abs(expected[i]));
    if (!(e <= out)) out = e;
  }
  return out;
}

void check(const Json& spec, const Call& call, DType dtype, double bound) {
  std::vector<Value> inputs;
  for (const Json& in : spec.at("inputs")) {
    const std::vector<double> values = in.at("values");
    const Tensor flat = Tensor::from(values).to(in.at("integer") ? DType::i64 : dtype);
    inputs.emplace_back(flat.reshape(in.at("shape").get<Shape>()));
  }
  const Value out = call(inputs, spec.at("attributes"));
  const std::vector<Tensor> got = eval({out, grad(sum(out), inputs[0])});
  CHECK(got[0].dtype() == dtype);
  CHECK(error(got[0], spec.at("output")) < bound);
  CHECK(error(got[1], spec.at("gradient")) < bound);
}

void check_all(const std::map<std::string, Call>& calls) {
  std::ifstream file(std::string(SINTER_FIXTURES) + "/functions.json");
  REQUIRE(file.good());
  std::set<std::string> seen;
  for (const Json& spec : Json::parse(file)) {
    const auto it = calls.find(spec.at("function"));
    if (it == calls.end()) continue;
    INFO(spec.dump());
    seen.insert(it->first);
    check(spec, it->second, DType::f64, 1e-13);
    check(spec, it->second, DType::f32, 4e-6);
  }
  CHECK(seen.size() == calls.size());
}

}  // namespace

TEST_CASE("activations and their derivatives are those of PyTorch", "[functions]") {
  check_all(activations());
}

TEST_CASE("losses and their derivatives are those of PyTorch", "[functions]") {
  check_all(losses());
}

TEST_CASE("every case of the fixture belongs to a function", "[functions]") {
  std::ifstream file(std::string(SINTER_FIXTURES) + "/functions.json");
  for (const Json& spec : Json::parse(file)) {
    CHECK(activations().count(spec.at("function")) + losses().count(spec.at("function")) == 1);
  }
}

TEST_CASE("an activation of NaN is NaN", "[functions]") {
  const Json attributes = {{"slope", 0.1}, {"alpha", 1.0}, {"low", -1.0},
                           {"high", 1.0},  {"size", 0.5},  {"beta", 2.0}};
  const Tensor nan = Tensor{std::numeric_limits<float>::quiet_NaN()};
  for (const auto& [name, call] : activations()) {
    INFO(name);
    CHECK(std::isnan(eval(call({nan, Tensor{0.25}}, attributes)).at({0})));
  }
}

TEST_CASE("elu and its kin keep their digits near 0", "[functions]") {
  std::vector<float> values;
  for (float v = 1e-8f; v < 20; v *= 1.3f) values.push_back(-v);
  const Tensor x = Tensor::from(values);
  const std::vector<Tensor> got = eval({elu(x), celu(x, 0.5), selu(x), grad(sum(elu(x)), x)});
  for (size_t i = 0; i < values.size(); ++i) {
    const auto at = [&](size_t k) { return Approx(got[k].at({static_cast<int64_t>(i)})); };
    const double v = values[i];
    INFO("x = " << v);
    CHECK(std::expm1(v) == at(0).epsilon(5e-7));
    CHECK(0.5 * std::expm1(2 * v) == at(1).epsilon(5e-7));
    CHECK(1.0507009873554805 * 1.6732632423543772 * std::expm1(v) == at(2).epsilon(5e-7));
    CHECK(std::exp(v) == at(3).epsilon(5e-7));
  }
}
