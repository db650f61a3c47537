#include "tests/ops/shape_fixtures.h"

#include <sinter/functions.h>

namespace sinter::test {

namespace {

using Json = nlohmann::json;
using Values = std::vector<Value>;

std::vector<int64_t> axes(const Json& a) { return a.at("axes").get<std::vector<int64_t>>(); }

TopK top(const Values& x, const Json& a) { return top_k(x[0], a.at("k"), a.at("axis")); }

Value einsum_of(const Values& x, const Json& a) {
  const std::string spec = a.at("spec");
  if (x.size() == 1) return einsum(spec, x[0]);
  return x.size() == 2 ? einsum(spec, x[0], x[1]) : einsum(spec, x[0], x[1], x[2]);
}

}  // namespace

ApplyMap shape_fixtures() {
  using V = const Values&;
  using A = const Json&;
  return {
      {"slice",
       [](V x, A a) {
         return slice(x[0], a.at("axis"), a.at("start"), a.at("stop"), a.at("step"));
       }},
      {"pad",
       [](V x, A a) {
         return pad(x[0], a.at("axis"), a.at("before"), a.at("after"), a.at("value"));
       }},
      {"flip", [](V x, A a) { return flip(x[0], axes(a)); }},
      {"concat", [](V x, A a) { return concat(x, a.at("axis")); }},
      {"stack", [](V x, A a) { return stack(x, a.at("axis")); }},
      {"min", [](V x, A a) { return min(x[0], axes(a), a.at("keepdims")); }},
      {"prod", [](V x, A a) { return prod(x[0], axes(a), a.at("keepdims")); }},
      {"var", [](V x, A a) { return var(x[0], axes(a), {.correction = a.at("correction")}); }},
      {"stddev",
       [](V x, A a) { return stddev(x[0], axes(a), {.correction = a.at("correction")}); }},
      {"logsumexp", [](V x, A a) { return logsumexp(x[0], axes(a), a.at("keepdims")); }},
      {"argmin",
       [](V x, A a) { return argmin(x[0], a.at("axis").get<int64_t>(), a.at("keepdims")); }},
      {"cumsum", [](V x, A a) { return cumsum(x[0], a.at("axis")); }},
      {"top_k_indices", [](V x, A a) { return top(x, a).indices; }},
      {"top_k_values", [](V x, A a) { return top(x, a).values; }},
      {"gather_along", [](V x, A a) { return gather(x[0], a.at("axis").get<int64_t>(), x[1]); }},
      {"scatter_add_along",
       [](V x, A a) { return scatter_add(x[0], a.at("axis").get<int64_t>(), x[1], x[2]); }},
      {"one_hot", [](V x, A a) { return one_hot(x[0], a.at("classes")); }},
      {"einsum", einsum_of},
  };
}

}  // namespace sinter::test
