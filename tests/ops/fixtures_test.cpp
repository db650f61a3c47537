// The interpreter and compiled code against values that numpy computed (tests/fixtures/ops), NaN,
// infinities and the edges of exp included.
#include <fstream>
#include <limits>
#include <map>
#include <set>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <sinter/functions.h>
#include <sinter/npy.h>

#include "tests/ops/op_cases.h"
#include "tests/ops/run_case.h"
#include "tests/ops/shape_fixtures.h"

namespace sinter::test {

namespace {

using ir::Array;
using Json = nlohmann::json;
using Values = std::vector<Value>;

const std::string kFolder = std::string(SINTER_FIXTURES) + "/ops/";

Reduction reduction_of(const Json& attributes) {
  const std::string name = attributes.at("reduction");
  return name == "mean" ? Reduction::mean : name == "sum" ? Reduction::sum : Reduction::none;
}

ApplyMap other_fixtures() {
  return {
      {"add", [](const Values& x, const Json&) { return x[0] + x[1]; }},
      {"sub", [](const Values& x, const Json&) { return x[0] - x[1]; }},
      {"mul", [](const Values& x, const Json&) { return x[0] * x[1]; }},
      {"div", [](const Values& x, const Json&) { return x[0] / x[1]; }},
      {"neg", [](const Values& x, const Json&) { return -x[0]; }},
      {"exp", [](const Values& x, const Json&) { return exp(x[0]); }},
      {"log", [](const Values& x, const Json&) { return log(x[0]); }},
      {"sqrt", [](const Values& x, const Json&) { return sqrt(x[0]); }},
      {"tanh", [](const Values& x, const Json&) { return tanh(x[0]); }},
      {"sigmoid", [](const Values& x, const Json&) { return sigmoid(x[0]); }},
      {"relu", [](const Values& x, const Json&) { return relu(x[0]); }},
      {"softmax", [](const Values& x, const Json& a) { return softmax(x[0], a.at("axis")); }},
      {"log_softmax",
       [](const Values& x, const Json& a) { return log_softmax(x[0], a.at("axis")); }},
      {"mse_loss",
       [](const Values& x, const Json& a) {
         return mse_loss(x[0], x[1], {.reduction = reduction_of(a)});
       }},
      {"cross_entropy",
       [](const Values& x, const Json& a) {
         return cross_entropy(x[0], x[1],
                              {.reduction = reduction_of(a), .ignore_index = a.at("ignore_index")});
       }},
      {"sum",
       [](const Values& x, const Json& a) {
         return sum(x[0], a.at("axes").get<std::vector<int64_t>>(), a.at("keepdims"));
       }},
      {"mean",
       [](const Values& x, const Json& a) {
         return mean(x[0], a.at("axes").get<std::vector<int64_t>>(), a.at("keepdims"));
       }},
      {"max",
       [](const Values& x, const Json& a) {
         return max(x[0], a.at("axes").get<std::vector<int64_t>>(), a.at("keepdims"));
       }},
      {"argmax",
       [](const Values& x, const Json& a) { return argmax(x[0], a.at("axis"), a.at("keepdims")); }},
      {"matmul", [](const Values& x, const Json&) { return matmul(x[0], x[1]); }},
      {"linear",
       [](const Values& x, const Json&) {
         return x.size() == 3 ? linear(x[0], x[1], x[2]) : linear(x[0], x[1]);
       }},
      {"gather", [](const Values& x, const Json&) { return gather(x[0], x[1]); }},
      {"scatter_add", [](const Values& x, const Json&) { return scatter_add(x[0], x[1], x[2]); }},
  };
}

// The function of the frontend that each fixture is about.
const ApplyMap& functions() {
  static const ApplyMap map = [] {
    ApplyMap all = shape_fixtures();
    all.merge(elementwise_fixtures());
    all.merge(other_fixtures());
    return all;
  }();
  return map;
}

Array<double> to_array(const Tensor& t) {
  Array<double> out(t.dtype(), t.shape());
  const Tensor wide = t.to(is_float(t.dtype()) ? DType::f64 : DType::i64);
  if (out.floats()) {
    const auto values = wide.span<double>();
    out.f.assign(values.begin(), values.end());
  } else {
    const auto values = wide.span<int64_t>();
    out.i.assign(values.begin(), values.end());
  }
  return out;
}

ir::Type type_of(const Tensor& t) {
  ir::Type out{t.dtype(), {}};
  for (int64_t size : t.shape()) out.shape.emplace_back(size);
  return out;
}

struct Fixture {
  std::string label;
  ir::Module module;
  std::vector<Array<double>> inputs;
  Array<double> want;
  double terms = 0;  // how many numbers meet in one element of the result, at most
};

Fixture load(const Json& entry) {
  Fixture out;
  out.label = entry.at("op").get<std::string>() + "/" + entry.at("case").get<std::string>();
  const auto recording = std::make_shared<detail::Recording>("fixture");
  Values values;
  for (const std::string name : entry.at("in")) {
    const Tensor tensor = load_npy(kFolder + name);
    const ir::ValueId id = recording->add_argument({detail::Argument::Kind::input}, type_of(tensor),
                                                   "x" + std::to_string(values.size()));
    values.push_back(detail::Recorder::make(recording, id));
    out.inputs.push_back(to_array(tensor));
    out.terms += static_cast<double>(tensor.numel());
  }
  const Value result = functions().at(entry.at("op"))(values, entry.at("attributes"));
  out.module = module_for(*recording, {result});
  out.want = to_array(load_npy(kFolder + entry.at("out").get<std::string>()));
  return out;
}

// Compares as tests/fixtures/README.md asks. `eps` is the rounding of what was computed in.
std::string compare(const Fixture& fixture, const Array<double>& got, double eps) {
  const Array<double>& want = fixture.want;
  if (got.dims != want.dims) return "wrong shape";
  if (got.i != want.i) return "integers differ";
  double scale = 0;
  for (double x : want.f) scale = std::isfinite(x) ? std::max(scale, std::abs(x)) : scale;
  for (size_t i = 0; i < want.f.size(); ++i) {
    const bool narrow = eps > 1e-10;
    const double expected = narrow ? static_cast<float>(want.f[i]) : want.f[i];
    if (std::isnan(expected) && std::isnan(got.f[i])) continue;
    if (expected == got.f[i]) continue;
    const double bound = (8 + fixture.terms) * eps * scale + std::numeric_limits<float>::min();
    if (!(std::abs(got.f[i] - expected) <= bound)) {
      return fmt::format("element {}: {} should be {}, bound {:.3g}", i, got.f[i], expected, bound);
    }
  }
  return {};
}

Array<double> widened(const Array<float>& a) {
  Array<double> out(a.dtype, a.dims);
  out.f.assign(a.f.begin(), a.f.end());
  out.i = a.i;
  return out;
}

template <class F>
void for_each_fixture(F&& f) {
  std::ifstream file(kFolder + "index.json");
  REQUIRE(file.good());
  const Json index = Json::parse(file);
  std::set<std::string> seen;
  for (const Json& entry : index) {
    seen.insert(entry.at("op").get<std::string>());
    const Fixture fixture = load(entry);
    INFO(fixture.label);
    f(fixture);
  }
  CHECK(seen.size() == functions().size());
}

}  // namespace

TEST_CASE("the interpreter computes in f64 what numpy does") {
  for_each_fixture([](const Fixture& fixture) {
    const Array<double> got = interpreted<double>(fixture.module, fixture.inputs, 1)[0];
    CHECK(compare(fixture, got, 0x1p-52) == "");
  });
}

TEST_CASE("the interpreter computes in f32 what numpy does") {
  for_each_fixture([](const Fixture& fixture) {
    const Array<float> got = interpreted<float>(fixture.module, fixture.inputs, 1)[0];
    CHECK(compare(fixture, widened(got), 0x1p-23) == "");
  });
}

TEST_CASE("compiled ops compute what numpy does, special values included") {
  for_each_fixture([](const Fixture& fixture) {
    CompiledCase compiled(fixture.module, {.threads = 1});
    CHECK(compare(fixture, compiled(fixture.inputs, 1)[0], 0x1p-23) == "");
  });
}

}  // namespace sinter::test
