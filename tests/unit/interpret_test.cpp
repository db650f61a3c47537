// What the interpreter does beyond single ops: order, effects, integers, errors, every level of IR.
// The meaning of the ops themselves is checked in tests/ops.
#include "ir/interpret.h"

#include <limits>

#include <catch2/catch.hpp>

#include <sinter/error.h>
#include <sinter/random.h>

#include "compiler/pipeline.h"
#include "ir/op.h"
#include "ir/text/text.h"

using namespace sinter;
using namespace sinter::ir;
using Catch::Contains;

namespace {

using Arrays = std::vector<Array<double>>;

Array<double> floats(std::vector<int64_t> dims, std::vector<double> values) {
  Array<double> out(DType::f32, std::move(dims));
  out.f = std::move(values);
  return out;
}

Array<double> integers(DType dtype, std::vector<int64_t> dims, std::vector<int64_t> values) {
  Array<double> out(dtype, std::move(dims));
  out.i = std::move(values);
  return out;
}

Arrays run(const std::string& text, const Arrays& args, int64_t n = 1) {
  const Module module = parse(text);
  Arrays none;
  return interpret<double>(module, module.funcs[0], args, none, n);
}

std::vector<int64_t> run_integers(const std::string& text, const Arrays& args) {
  return run(text, args)[0].i;
}

constexpr int64_t kMin32 = std::numeric_limits<int32_t>::min();
constexpr int64_t kMax32 = std::numeric_limits<int32_t>::max();
constexpr int64_t kMin64 = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax64 = std::numeric_limits<int64_t>::max();

}  // namespace

TEST_CASE("a global has its value on entry until the function is over") {
  const Module module = parse(R"(
    global @a : f32[2]
    global @b : f32[2]
    func @swap() {
      assign @a, @b
      assign @b, @a
      return @a
    }
  )");
  Arrays globals{floats({2}, {1, 2}), floats({2}, {3, 4})};
  const Arrays results = interpret<double>(module, module.funcs[0], {}, globals, 1);
  CHECK(results[0].f == std::vector<double>{1, 2});
  CHECK(globals[0].f == std::vector<double>{3, 4});
  CHECK(globals[1].f == std::vector<double>{1, 2});
}

TEST_CASE("kernels run in order and barriers do nothing") {
  const Arrays out = run(R"(
    func @f(%x: f32[n]) {
      kernel {name = "first"} -> (%a) {
        %t = add %x, %x : f32[n]
        %a = mul %t, %x : f32[n]
      }
      barrier
      kernel {name = "second"} -> (%s) {
        %s = sum %a {axes = [0]} : f32[]
      }
      return %s
    }
  )",
                         {floats({3}, {1, 2, 3})}, 3);
  CHECK(out[0].f == std::vector<double>{28});
}

TEST_CASE("integers wrap around and a division by zero gives zero") {
  const Arrays x32{integers(DType::i32, {3}, {kMax32, kMin32, 7}),
                   integers(DType::i32, {3}, {1, -1, 0})};
  const Arrays x64{integers(DType::i64, {3}, {kMax64, kMin64, 7}),
                   integers(DType::i64, {3}, {1, -1, 0})};
  const auto apply = [](const char* op, const char* dtype, const Arrays& args) {
    return run_integers(fmt::format("func @f(%a: {1}[3], %b: {1}[3]) {{ %r = {0} %a, %b : {1}[3] "
                                    "return %r }}",
                                    op, dtype),
                        args);
  };
  using List = std::vector<int64_t>;
  CHECK(apply("add", "i32", x32) == List{kMin32, kMax32, 7});
  CHECK(apply("div", "i32", x32) == List{kMax32, kMin32, 0});
  CHECK(apply("add", "i64", x64) == List{kMin64, kMax64, 7});
  CHECK(apply("sub", "i64", x64) == List{kMax64 - 1, kMin64 + 1, 7});
  CHECK(apply("mul", "i64", x64) == List{kMax64, kMin64, 0});
  CHECK(apply("div", "i64", x64) == List{kMax64, kMin64, 0});
}

TEST_CASE("floats become integers by truncation, held to what fits, and NaN becomes 0") {
  const double inf = std::numeric_limits<double>::infinity();
  const Arrays x{floats({6}, {2.9, -2.9, 3e9, -inf, inf, std::nan("")})};
  using List = std::vector<int64_t>;
  CHECK(run_integers("func @f(%x: f32[6]) { %r = cast %x : i32[6] return %r }", x) ==
        List{2, -2, kMax32, kMin32, kMax32, 0});
  CHECK(run_integers("func @f(%x: f32[6]) { %r = cast %x : i64[6] return %r }", x) ==
        List{2, -2, 3000000000, kMin64, kMax64, 0});
  CHECK(run_integers("func @f(%x: f32[6]) { %r = cast %x : bool[6] return %r }", x) ==
        List{1, 1, 1, 1, 1, 1});
  CHECK(run_integers("func @f(%x: i64[2]) { %r = cast %x : i32[2] return %r }",
                     {integers(DType::i64, {2}, {kMax32 + 1, -1})}) == List{kMin32, -1});
}

TEST_CASE("the scalar decides the precision, and constants are those of their dtype") {
  const Module module = parse(R"(
    func @f(%x: f32[]) {
      %tenth = constant {value = 0.1} : f32[]
      %r = add %x, %tenth : f32[]
      return %r, %tenth
    })");
  Arrays none;
  std::vector<Array<float>> no_floats;
  const Arrays wide = interpret<double>(module, module.funcs[0], {floats({}, {1})}, none, 1);
  Array<float> one(DType::f32, {});
  one.f = {1};
  const auto narrow = interpret<float>(module, module.funcs[0], {one}, no_floats, 1);
  CHECK(wide[1].f[0] == double{0.1f});
  CHECK(wide[0].f[0] == 1 + double{0.1f});
  CHECK(narrow[0].f[0] == 1.1f);
}

TEST_CASE("random bits are those of the runtime") {
  const int64_t seed = 0x123456789ABC, step = (int64_t{1} << 33) + 5;
  const std::vector<int64_t> bits =
      run_integers(R"(
    func @f(%seed: i64[], %step: i64[]) {
      %r = rng_bits %seed, %step {stream = 2596069105} : i64[300]
      return %r
    })",
                   {integers(DType::i64, {}, {seed}), integers(DType::i64, {}, {step})});
  for (size_t i = 0; i < bits.size(); ++i) {
    REQUIRE(bits[i] == int64_t{random_bits(static_cast<uint64_t>(seed), 2596069105u,
                                           static_cast<uint64_t>(step), i)});
  }
}

TEST_CASE("a training step means the same at every stage of the compiler") {
  Module module = parse(R"(
    global @w : f32[3, 4]
    global @b : f32[3]
    func @step(%x: f32[n, 4], %y: i64[n], %lr: f32[]) {
      %h = linear %x, @w, @b : f32[n, 3]
      %loss = cross_entropy %h, %y : f32[]
      %dw = gradient %loss, @w : f32[3, 4]
      %db = gradient %loss, @b : f32[3]
      %sw = mul %dw, %lr : f32[3, 4]
      %sb = mul %db, %lr : f32[3]
      %w2 = sub @w, %sw : f32[3, 4]
      %b2 = sub @b, %sb : f32[3]
      assign @w, %w2
      assign @b, %b2
      return %loss
    })");
  const auto numbers = [](std::vector<int64_t> dims, double by) {
    Array<double> out(DType::f32, std::move(dims));
    for (size_t i = 0; i < out.f.size(); ++i) out.f[i] = std::sin(by * static_cast<double>(i + 1));
    return out;
  };
  const Arrays args{numbers({5, 4}, 1.7), integers(DType::i64, {5}, {2, 0, -100, 1, 2}),
                    floats({}, {0.5})};
  std::vector<std::string> stages;
  Arrays wanted;
  compiler::run_pipeline(module, {.max_batch = 8},
                         [&](std::string_view stage, const Module& now, bool) {
                           if (stage == "forward") return;  // has gradient ops
                           Arrays globals{numbers({3, 4}, 0.3), numbers({3}, 0.9)};
                           Arrays out = interpret<double>(now, now.funcs[0], args, globals, 5);
                           out.insert(out.end(), globals.begin(), globals.end());
                           stages.emplace_back(stage);
                           if (wanted.empty()) wanted = out;
                           INFO(stage);
                           for (size_t i = 0; i < out.size(); ++i) {
                             for (size_t k = 0; k < out[i].f.size(); ++k) {
                               CHECK(out[i].f[k] == Approx(wanted[i].f[k]).epsilon(1e-13));
                             }
                           }
                         });
  CHECK(stages.size() >= 6);
  // The update did something.
  CHECK(wanted[1].f[0] != numbers({3, 4}, 0.3).f[0]);
}

TEST_CASE("arguments that do not fit are the caller's mistake") {
  const std::string text = "func @f(%x: f32[n, 2]) { %r = neg %x : f32[n, 2] return %r }";
  CHECK_THROWS_WITH(run(text, {floats({3}, {1, 2, 3})}, 3),
                    Contains("x is f32[3] but must be f32[3, 2]"));
  CHECK_THROWS_WITH(run(text, {integers(DType::i64, {1, 2}, {1, 2})}),
                    Contains("x is i64[1, 2] but must be f32[1, 2]"));
  CHECK_THROWS_WITH(run(text, {}), Contains("takes 1 arguments and 0 globals but got 0 and 0"));
  CHECK_THROWS_AS(run(text, {floats({0, 2}, {})}, 0), Error);
}

TEST_CASE("an index outside its table is reported with the line of the op") {
  CHECK_THROWS_WITH(
      run(R"(
    func @f(%t: f32[2, 1], %i: i64[2]) {
      %r = gather %t, %i : f32[2, 1] loc("net.cpp":7)
      return %r
    })",
          {floats({2, 1}, {1, 2}), integers(DType::i64, {2}, {0, 2})}),
      Contains("index 2 at position 1 is outside the table of 2 rows") && Contains("net.cpp:7"));
}

TEST_CASE("a gradient that was not differentiated cannot run") {
  CHECK_THROWS_AS(run(R"(
    func @f(%x: f32[]) {
      %y = mul %x, %x : f32[]
      %g = gradient %y, %x : f32[]
      return %g
    })",
                      {floats({}, {3})}),
                  InternalError);
}
