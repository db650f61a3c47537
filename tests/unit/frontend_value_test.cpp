// Recording: which ops, names and lines a program leaves, and how recordings come together.
#include <cmath>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using Catch::Contains;
using namespace sinter;

namespace {

// The names of the ops in a text of the IR, in order.
std::vector<std::string> ops_in(const std::string& text) {
  std::vector<std::string> out;
  std::string rest = text;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.rfind("  ", 0) != 0 || line.rfind("  return", 0) == 0) continue;
    const size_t equals = line.find(" = ");
    const bool has_result = line[2] == '%';
    const size_t begin = has_result ? equals + 3 : 2;
    out.push_back(line.substr(begin, line.find_first_of(" ", begin) - begin));
  }
  return out;
}

using Names = std::vector<std::string>;

Tensor inputs() { return Tensor{{-2, -1}, {0.5, 3}}; }

}  // namespace

TEST_CASE("a value records exactly the ops that were written", "[frontend]") {
  const Tensor x = inputs();
  const Value y = pow(x, 2) + 0.2f * relu(x);
  CHECK(ops_in(ir_text(y)) == Names{"mul", "relu", "constant", "mul", "add"});
  CHECK(y.type_string() == "f32[2, 2]");
  CHECK(y.dim() == 2);
  CHECK(y.size(-1) == 2);
}

TEST_CASE("what the result does not need is left out", "[frontend]") {
  const Value a = exp(inputs());
  const Value b = a + 1;
  const Value unused = b * b;
  CHECK(ops_in(ir_text(b)) == Names{"exp", "constant", "add"});
  CHECK(ops_in(ir_text(a)) == Names{"exp"});
}

TEST_CASE("one tensor used twice is one argument", "[frontend]") {
  const Tensor x = inputs();
  const Value y = exp(x) * x + log(Value(x) * x);
  CHECK_THAT(ir_text(y), Contains("@eval(%tensor: f32[2, 2])"));
}

TEST_CASE("an op on two recordings merges them and old handles stay good", "[frontend]") {
  const Tensor p = inputs(), q = full({2, 2}, 2);
  const Value a = exp(p);
  const Value b = q * 3;
  const Value c = a + b;
  const Value d = b - a;
  const std::vector<Tensor> out = eval({a, b, c, d});
  CHECK(out[0].at({1, 0}) == Approx(std::exp(0.5)));
  CHECK(out[1].at({0, 0}) == 6);
  CHECK(out[2].at({1, 0}) == Approx(6 + std::exp(0.5)));
  CHECK(out[3].at({0, 1}) == Approx(6 - std::exp(-1.0)));
  CHECK_THAT(ir_text(d), Contains("%tensor: f32[2, 2], %tensor_2: f32[2, 2]"));
}

TEST_CASE("merging names arguments that are used by both once", "[frontend]") {
  const Tensor x = inputs();
  const Value a = exp(x), b = log(x);
  CHECK_THAT(ir_text(a + b), Contains("@eval(%tensor: f32[2, 2])"));
}

TEST_CASE("ops carry the line of the expression that made them", "[frontend]") {
  const int line = __LINE__ + 1;
  const Value y = relu(inputs());
  CHECK_THAT(ir_text(y), Contains(fmt::format("loc(\"frontend_value_test.cpp\":{}", line)));
  const Value z = gelu(y);
  const std::string text = ir_text(z);
  CHECK_THAT(text, !Contains("functions.cpp"));
  CHECK_THAT(text, Contains(fmt::format("\":{}", line + 2)));
}

TEST_CASE("a number takes the dtype of what it meets", "[frontend]") {
  const Tensor i = Tensor::of<int64_t>({1, 2, 3});
  CHECK((Value(i) * 2).dtype() == DType::i64);
  CHECK((2 - Value(i)).dtype() == DType::i64);
  CHECK((inputs().to(DType::f64) + Operand(0.5)).dtype() == DType::f64);
  CHECK(where(less(inputs(), 0), 0, inputs()).dtype() == DType::f32);
  CHECK_THROWS_WITH(Value(i) * 0.5, Contains("the number 0.5 meets i64 values"));
}

TEST_CASE("f32 numbers print as they were written", "[frontend]") {
  CHECK_THAT(ir_text(0.2f * Value(inputs())), Contains("value = 0.2}"));
  CHECK_THAT(ir_text(0.1 * Value(inputs())), Contains("value = 0.1}"));
}

TEST_CASE("the sketch of a regression's data computes", "[frontend]") {
  manual_seed(1);
  const Tensor x = linspace(-1, 1, 100).unsqueeze(1);
  const Tensor noise = rand({100, 1});
  manual_seed(1);
  const Tensor y = eval(pow(x, 2) + 0.2f * rand({100, 1}));
  REQUIRE(y.shape() == Shape{100, 1});
  for (int64_t i : {0, 17, 99}) {
    CHECK(y.at({i, 0}) == Approx(x.at({i, 0}) * x.at({i, 0}) + 0.2 * noise.at({i, 0})));
  }
}

TEST_CASE("views are captured as they look", "[frontend]") {
  const Tensor x = inputs();
  const Tensor y = eval(x.t() * Operand(1.0f));
  CHECK(y.at({0, 1}) == 0.5);
  CHECK(equal(eval(Value(x.t())), x.t()));
}

TEST_CASE("powers multiply out", "[frontend]") {
  const Tensor x = Tensor{{2, 3}};
  CHECK(ops_in(ir_text(pow(x, 1))).empty());
  CHECK(ops_in(ir_text(pow(x, 5))) == Names{"mul", "mul", "mul"});
  for (double e : {-3.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 7.0, 12.0, 2.5}) {
    const Tensor y = eval(pow(x, e));
    CHECK(y.at({0, 0}) == Approx(std::pow(2.0, e)));
    CHECK(y.at({0, 1}) == Approx(std::pow(3.0, e)));
  }
}

TEST_CASE("composites match their formulas", "[frontend]") {
  const std::vector<float> points{-30, -5, -1, -1e-4f, 0, 1e-4f, 0.7f, 4, 40};
  const Tensor x = Tensor::from(points);
  const std::vector<Tensor> out =
      eval({silu(x), gelu(x), softplus(x), abs(x), maximum(x, 0.5f), minimum(x, 0.5f)});
  for (size_t i = 0; i < points.size(); ++i) {
    const double v = points[i];
    const auto at = [&](int k) { return out[size_t(k)].at({int64_t(i)}); };
    CHECK(at(0) == Approx(v / (1 + std::exp(-v))).margin(1e-30));
    const double inner = std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v);
    CHECK(at(1) == Approx(0.5 * v * (1 + std::tanh(inner))).margin(1e-6));
    const double plus = std::max(v, 0.0) + std::log1p(std::exp(-std::abs(v)));
    CHECK(at(2) == Approx(plus).epsilon(1e-6));
    CHECK(at(3) == std::abs(v));
    CHECK(at(4) == std::max(v, 0.5));
    CHECK(at(5) == std::min(v, 0.5));
  }
}

TEST_CASE("maximum and minimum pass NaN on from either side", "[frontend]") {
  const float nan = std::nanf("");
  const Tensor a = Tensor::from(std::vector<float>{nan, 1, nan});
  const Tensor b = Tensor::from(std::vector<float>{1, nan, nan});
  for (const Tensor& out : eval({maximum(a, b), minimum(a, b)})) {
    for (int64_t i : {0, 1, 2}) CHECK(std::isnan(out.at({i})));
  }
}

TEST_CASE("shapes change as PyTorch changes them", "[frontend]") {
  const Tensor x = arange(24).reshape({2, 3, 4});
  CHECK(reshape(x, {6, -1}).type_string() == "f32[6, 4]");
  CHECK(permute(x, {2, 0, -2}).type_string() == "f32[4, 2, 3]");
  CHECK(transpose(x, 0, -1).type_string() == "f32[4, 3, 2]");
  CHECK(unsqueeze(x, -1).type_string() == "f32[2, 3, 4, 1]");
  CHECK(squeeze(unsqueeze(x, 1), 1).type_string() == "f32[2, 3, 4]");
  CHECK(broadcast_to(unsqueeze(x, 0), {5, -1, 3, 4}).type_string() == "f32[5, 2, 3, 4]");
  CHECK(sum(x, {0, -1}).type_string() == "f32[3]");
  CHECK(mean(x, 1, true).type_string() == "f32[2, 1, 4]");
  CHECK(argmax(x, 2).type_string() == "i64[2, 3]");
  CHECK(matmul(x, ones({4, 5})).type_string() == "f32[2, 3, 5]");
  CHECK(matmul(x, ones({2, 4, 5})).type_string() == "f32[2, 3, 5]");
  const std::vector<Tensor> out = eval({sum(x), max(x), max(x, 1), transpose(x, 0, 2)});
  CHECK(out[0].item() == 276);
  CHECK(out[1].item() == 23);
  CHECK(out[2].at({1, 3}) == 23);
  CHECK(equal(out[3], x.transpose(0, 2).contiguous()));
}

TEST_CASE("rows are read and added by index", "[frontend]") {
  const Tensor table = Tensor{{1, 2}, {3, 4}, {5, 6}};
  const Tensor at = Tensor::of<int64_t>({2, 0, 2});
  CHECK(equal(eval(gather(table, at)), Tensor{{5, 6}, {1, 2}, {5, 6}}));
  CHECK(equal(eval(scatter_add(table, at, ones({3, 2}))), Tensor{{2, 3}, {3, 4}, {7, 8}}));
}

TEST_CASE("gradients of what was recorded, and gradients of those", "[frontend]") {
  const Tensor x = Tensor{{1, 2, 3}};
  const Value loss = sum(pow(x, 3));
  const Value first = grad(loss, x);
  const Value second = grad(sum(first), x);
  const std::vector<Tensor> out = eval({first, second});
  CHECK(equal(out[0], Tensor{{3, 12, 27}}));
  CHECK(equal(out[1], Tensor{{6, 12, 18}}));
}

TEST_CASE("softplus has the derivative of its formula everywhere", "[frontend]") {
  const std::vector<float> points{-40, -3, 0, 1e-3f, 2, 50};
  const Tensor x = Tensor::from(points);
  const Tensor slope = eval(grad(sum(softplus(x)), x));
  for (size_t i = 0; i < points.size(); ++i) {
    CHECK(slope.at({int64_t(i)}) == Approx(1 / (1 + std::exp(-double(points[i])))).epsilon(1e-5));
  }
}

TEST_CASE("compound assignment records like its operator", "[frontend]") {
  const Tensor x = Tensor{{1, 2}};
  Value v = x;
  v += 1;
  v *= v;
  v -= x;
  v /= 2;
  CHECK(equal(eval(v), Tensor{{1.5, 3.5}}));
}

TEST_CASE("accuracy counts rows whose largest logit is at the label", "[frontend]") {
  const Tensor logits = Tensor{{1, 2}, {3, 0}, {0, 5}, {1, 0}};
  CHECK(eval(accuracy(logits, Tensor::of<int64_t>({1, 0, 0, 0}))).item() == 0.75);
  CHECK(eval(accuracy(logits, Tensor::of<int32_t>({1, 0, 0, 0}))).item() == 0.75);
}
