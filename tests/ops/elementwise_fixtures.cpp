#include <sinter/functions.h>

#include "tests/ops/shape_fixtures.h"

namespace sinter::test {

namespace {

using Json = nlohmann::json;
using V = const std::vector<Value>&;
using A = const Json&;

// A fixture of flags holds them as numbers.
Value as_number(const Value& flags) { return cast(flags, DType::f32); }

}  // namespace

ApplyMap elementwise_fixtures() {
  return {
      {"abs", [](V x, A) { return abs(x[0]); }},
      {"sign", [](V x, A) { return sign(x[0]); }},
      {"floor", [](V x, A) { return floor(x[0]); }},
      {"ceil", [](V x, A) { return ceil(x[0]); }},
      {"round", [](V x, A) { return round(x[0]); }},
      {"sin", [](V x, A) { return sin(x[0]); }},
      {"cos", [](V x, A) { return cos(x[0]); }},
      {"erf", [](V x, A) { return erf(x[0]); }},
      {"softplus", [](V x, A) { return softplus(x[0]); }},
      {"rsqrt", [](V x, A) { return rsqrt(x[0]); }},
      {"pow", [](V x, A) { return pow(x[0], x[1]); }},
      {"maximum", [](V x, A) { return maximum(x[0], x[1]); }},
      {"minimum", [](V x, A) { return minimum(x[0], x[1]); }},
      {"less", [](V x, A) { return as_number(less(x[0], x[1])); }},
      {"less_equal", [](V x, A) { return as_number(less_equal(x[0], x[1])); }},
      {"equal", [](V x, A) { return as_number(equal(x[0], x[1])); }},
      {"where", [](V x, A) { return where(less(0, x[0]), x[1], x[2]); }},
      {"clamp",
       [](V x, A a) { return clamp(x[0], a.at("low").get<double>(), a.at("high").get<double>()); }},
  };
}

}  // namespace sinter::test
