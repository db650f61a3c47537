// Compiled code against the interpreter where shapes and element types are awkward, and what it
// must leave alone: the caller's floating-point mode, memory that is not its own.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <sinter/error.h>

#include "compiler/compile.h"
#include "compiler/pipeline.h"
#include "ir/interpret.h"
#include "ir/text/text.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace sinter::compiler {

namespace {

using ir::Array;
using Values = std::vector<Array<double>>;

template <class T, class U>
void put(const std::vector<U>& from, std::vector<unsigned char>& to) {
  for (size_t i = 0; i < from.size(); ++i) {
    const T v = static_cast<T>(from[i]);
    std::memcpy(&to[i * sizeof(T)], &v, sizeof(T));
  }
}
template <class T, class U>
void take(const std::vector<unsigned char>& from, std::vector<U>& to) {
  for (size_t i = 0; i < to.size(); ++i) {
    T v;
    std::memcpy(&v, &from[i * sizeof(T)], sizeof(T));
    to[i] = static_cast<U>(v);
  }
}

std::vector<unsigned char> pack(const Array<double>& a) {
  std::vector<unsigned char> out(a.size() * dtype_size(a.dtype));
  switch (a.dtype) {
    case DType::f32:
      put<float>(a.f, out);
      break;
    case DType::f64:
      put<double>(a.f, out);
      break;
    case DType::i32:
      put<int32_t>(a.i, out);
      break;
    case DType::i64:
      put<int64_t>(a.i, out);
      break;
    case DType::boolean:
      put<uint8_t>(a.i, out);
      break;
  }
  return out;
}
Array<double> unpack(const ir::Type& type, int64_t n, const std::vector<unsigned char>& bytes) {
  Array<double> out(type.dtype, type.dims(n));
  switch (type.dtype) {
    case DType::f32:
      take<float>(bytes, out.f);
      break;
    case DType::f64:
      take<double>(bytes, out.f);
      break;
    case DType::i32:
      take<int32_t>(bytes, out.i);
      break;
    case DType::i64:
      take<int64_t>(bytes, out.i);
      break;
    case DType::boolean:
      take<uint8_t>(bytes, out.i);
      break;
  }
  return out;
}

// The first function of a text, compiled; arguments and results as arrays of double.
class Compiled {
 public:
  explicit Compiled(const std::string& text, Options options = {.max_batch = 64})
      : module_(ir::parse(text)), executable_(compile(module_, func().name, options)) {}

  const ir::Func& func() const { return module_.funcs[0]; }
  const ir::Module& module() const { return module_; }

  Values operator()(const Values& args, int64_t n) {
    std::vector<std::vector<unsigned char>> memory;
    for (const Array<double>& a : args) memory.push_back(pack(a));
    for (ir::ValueId v : func().results) {
      memory.emplace_back(static_cast<size_t>(func().type(v).bytes(n)), 0xA5);
    }
    std::vector<void*> buffers;
    for (auto& m : memory) buffers.push_back(m.data());
    executable_->run(buffers.data(), n);
    Values out;
    for (size_t i = 0; i < func().results.size(); ++i) {
      out.push_back(unpack(func().type(func().results[i]), n, memory[args.size() + i]));
    }
    return out;
  }

 private:
  ir::Module module_;
  std::unique_ptr<Executable> executable_;
};

// Floats in [-2, 2), integers from 0 to 3.
Values random_args(const ir::Func& f, int64_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  Values out;
  for (ir::ValueId v : f.args) {
    out.emplace_back(f.type(v).dtype, f.type(v).dims(n));
    for (double& x : out.back().f) x = static_cast<double>(random() % 256) / 64 - 2;
    const uint64_t kinds = f.type(v).dtype == DType::boolean ? 2 : 4;
    for (int64_t& x : out.back().i) x = static_cast<int64_t>(random() % kinds);
  }
  return out;
}

void check_close(const Values& got, const Values& want, double tolerance) {
  REQUIRE(got.size() == want.size());
  for (size_t k = 0; k < got.size(); ++k) {
    INFO("result " << k);
    REQUIRE(got[k].dims == want[k].dims);
    REQUIRE(got[k].i == want[k].i);
    for (size_t i = 0; i < got[k].f.size(); ++i) {
      const double a = got[k].f[i], b = want[k].f[i];
      INFO("element " << i << ": " << a << " instead of " << b);
      REQUIRE((a == b || std::abs(a - b) <= tolerance * (1 + std::abs(b)) ||
               (std::isnan(a) && std::isnan(b))));
    }
  }
}

// Compiled code does what the interpreter does for every one of these numbers of rows.
void check_rows(const std::string& text, const std::vector<int64_t>& rows,
                double tolerance = 1e-5) {
  INFO(text);
  Compiled compiled(text);
  for (int64_t n : rows) {
    INFO("n = " << n);
    const Values args = random_args(compiled.func(), n, static_cast<uint64_t>(n));
    Values no_globals;
    const Values want =
        ir::interpret<double>(compiled.module(), compiled.func(), args, no_globals, n);
    check_close(compiled(args, n), want, tolerance);
  }
}

std::vector<int64_t> up_to(int64_t last) {
  std::vector<int64_t> out;
  for (int64_t n = 1; n <= last; ++n) out.push_back(n);
  return out;
}

const std::vector<int64_t> few{1, 2, 7, 9, 16, 33};

}  // namespace

TEST_CASE("f64 functions are compiled with f64 precision") {
  check_rows(R"(
func @f(%x: f64[n, 5], %w: f64[7, 5], %s: f64[]) {
  %y = contraction %x, %w {a = [1], b = [1]} : f64[n, 7]
  %a = tanh %y : f64[n, 7]
  %b = softmax %a {axis = 1} : f64[n, 7]
  %c = log %b : f64[n, 7]
  %d = sum %c {axes = [0]} : f64[7]
  %e = mul %d, %s : f64[7]
  %m = max %y {axis = 1} : f64[n]
  %q = sigmoid %y : f64[n, 7]
  return %e, %m, %a, %q
})",
             few, 1e-13);
}

TEST_CASE("bool and integer inputs and results") {
  check_rows(R"(
func @f(%b: bool[n, 5], %i: i64[n, 5], %k: i32[n, 5], %x: f32[n, 5]) {
  %a = select %b, %x, %x : f32[n, 5]
  %wide = cast %k : i64[n, 5]
  %c = add %i, %wide : i64[n, 5]
  %d = less %i, %wide : bool[n, 5]
  %e = cast %b : f32[n, 5]
  %f = select %d, %e, %a : f32[n, 5]
  %g = sum %c {axes = [1]} : i64[n]
  %h = sum %k {axes = [0]} : i32[5]
  %m = max %i {axis = 1} : i64[n]
  %p = argmax %k {axis = 1} : i64[n]
  %q = div %k, %k : i32[n, 5]
  %t = cast %x : i32[n, 5]
  %u = cast %x : bool[n, 5]
  %v = equal %b, %u : bool[n, 5]
  return %c, %d, %f, %g, %h, %m, %p, %q, %t, %u, %v
})",
             few);
}

TEST_CASE("every number of rows from 1 to 40, for each shape of tile") {
  // One vector or several, with and without a rest; a dot product and an outer one.
  for (int width : {1, 3, 8, 13, 16, 40}) {
    check_rows(fmt::format(R"(
func @f(%x: f32[n, 6], %w: f32[{0}, 6], %v: f32[6, {0}], %b: f32[{0}]) {{
  %0 = contraction %x, %w {{a = [1], b = [1]}} : f32[n, {0}]
  %1 = add %0, %b : f32[n, {0}]
  %2 = relu %1 : f32[n, {0}]
  %3 = contraction %x, %v {{a = [1], b = [0]}} : f32[n, {0}]
  %4 = sum %3 {{axes = [0]}} : f32[{0}]
  %5 = contraction %2, %x {{a = [0], b = [0]}} : f32[{0}, 6]
  %6 = max %3 {{axis = 1, keepdims = true}} : f32[n, 1]
  %7 = sub %3, %6 : f32[n, {0}]
  return %2, %4, %5, %7
}})",
                           width),
               up_to(40));
  }
}

TEST_CASE("rows and columns that both follow the batch") {
  check_rows(R"(
func @f(%x: f32[n, 3]) {
  %a = contraction %x, %x {a = [1], b = [1]} : f32[n, n]
  %t = transpose %x {permutation = [1, 0]} : f32[3, n]
  %b = exp %t : f32[3, n]
  %c = sum %b {axes = [1]} : f32[3]
  return %a, %b, %c
})",
             up_to(40));
}

TEST_CASE("transposed views and strided loads") {
  check_rows(R"(
func @f(%x: f32[n, 4, 6], %y: f32[6, 4]) {
  %a = transpose %x {permutation = [2, 0, 1]} : f32[6, n, 4]
  %b = exp %a : f32[6, n, 4]
  %c = transpose %y {permutation = [1, 0]} : f32[4, 6]
  %d = add %x, %c : f32[n, 4, 6]
  %e = sum %x {axes = [1]} : f32[n, 6]
  %flat = reshape %x : f32[n, 24]
  %turned = transpose %flat {permutation = [1, 0]} : f32[24, n]
  %g = tanh %turned : f32[24, n]
  %h = reshape %x : f32[4n, 6]
  %i = contraction %h, %y {a = [1], b = [0]} : f32[4n, 4]
  return %b, %d, %e, %g, %i
})",
             up_to(20));
}

TEST_CASE("shapes of three axes and contractions over several") {
  check_rows(R"(
func @f(%x: f32[n, 3, 5], %y: f32[n, 5, 2], %z: f32[3, 5, 4]) {
  %a = contraction %x, %y {a = [2], b = [1], a_batch = [0], b_batch = [0]} : f32[n, 3, 2]
  %b = contraction %x, %z {a = [1, 2], b = [0, 1]} : f32[n, 4]
  %c = sum %x {axes = [0, 1]} : f32[5]
  %d = max %x {axis = 2} : f32[n, 3]
  %e = softmax %x {axis = 1} : f32[n, 3, 5]
  %f = sum %x {axes = [0, 1, 2]} : f32[]
  return %a, %b, %c, %d, %e, %f
})",
             up_to(20));
}

TEST_CASE("a function of scalars only, and one of nothing but n") {
  check_rows(R"(
func @f(%x: f32[], %y: f32[], %i: i64[]) {
  %a = mul %x, %y : f32[]
  %b = exp %a : f32[]
  %c = cast %i : f32[]
  %d = add %b, %c : f32[]
  return %d, %a, %i
})",
             {1});
  check_rows(R"(
func @f() {
  %a = extent {of = [3n]} : f32[]
  %b = iota {axis = 0} : i32[n]
  %c = iota {axis = 1} : f32[2, n]
  return %a, %b, %c
})",
             up_to(20));
}

TEST_CASE("several results of one value, of an argument and of a view") {
  check_rows(R"(
func @f(%x: f32[n, 3]) {
  %y = exp %x : f32[n, 3]
  %z = reshape %y : f32[3n]
  %t = transpose %y {permutation = [1, 0]} : f32[3, n]
  return %y, %x, %y, %z, %z, %x, %t
})",
             few);
}

TEST_CASE("a sum over rows that a gather reads") {
  check_rows(R"(
func @f(%table: f32[4, 5], %i: i64[n], %x: f32[n, 5]) {
  %g = gather %table, %i : f32[n, 5]
  %p = mul %g, %x : f32[n, 5]
  %s = sum %p {axes = [0]} : f32[5]
  return %s
})",
             up_to(20));
}

TEST_CASE("gather and scatter_add clamp an index that is outside") {
  Compiled f(R"(
func @f(%table: f32[3, 5], %i: i64[n], %column: f32[3, 1]) {
  %g = gather %table, %i : f32[n, 5]
  %one = gather %column, %i : f32[n, 1]
  %s = scatter_add %g, %i : f32[3, 5]
  return %g, %one, %s
})");
  Values args = random_args(f.func(), 5, 1);
  args[1].i = {0, -1, 2, 3, std::numeric_limits<int64_t>::max()};
  const Values got = f(args, 5);
  const std::vector<size_t> rows{0, 0, 2, 2, 2};
  std::vector<double> sums(15);
  for (size_t r = 0; r < rows.size(); ++r) {
    CHECK(got[1].f[r] == args[2].f[rows[r]]);
    for (size_t c = 0; c < 5; ++c) {
      CHECK(got[0].f[r * 5 + c] == args[0].f[rows[r] * 5 + c]);
      sums[rows[r] * 5 + c] += args[0].f[rows[r] * 5 + c];
    }
  }
  CHECK(got[2].f == sums);
}

TEST_CASE("scatter_add adds in order, for every width") {
  for (int width : {1, 4, 8, 11, 16}) {
    for (const char* dtype : {"f32", "f64"}) {
      check_rows(fmt::format(R"(
func @f(%x: {1}[n, {0}], %i: i64[n], %k: i32[n]) {{
  %s = scatter_add %x, %i : {1}[4, {0}]
  %t = transpose %x {{permutation = [1, 0]}} : {1}[{0}, n]
  %back = transpose %t {{permutation = [1, 0]}} : {1}[n, {0}]
  %q = scatter_add %back, %k : {1}[4, {0}]
  return %s, %q, %s
}})",
                             width, dtype),
                 few);
    }
  }
}

TEST_CASE("a global is updated once by however many threads") {
  // One row of few columns is one tile: only one thread may run it.
  const ir::Module module = ir::parse(R"(
global @w : f32[1, 10]

func @f(%x: f32[n, 10], %c: f32[n, 1], %d: f32[n, 100]) {
  %large = contraction %d, %x {a = [0], b = [0]} : f32[100, 10]
  %g = contraction %c, %x {a = [0], b = [0]} : f32[1, 10]
  %u = sub @w, %g : f32[1, 10]
  assign @w, %u
  return %large
})");
  constexpr int64_t n = 4096;
  std::vector<float> x(n * 10, 1), c(n, 1), d(n * 100, 1), w(10, 0), large(1000);
  void* buffers[] = {x.data(), c.data(), d.data(), w.data(), large.data()};
  for (int threads : {1, 2, 3, 5}) {
    const auto f =
        compile(module, "f", {.max_batch = n, .threads = threads, .oversubscribe = true});
    for (int repeat = 0; repeat < 20; ++repeat) {
      std::fill(w.begin(), w.end(), 0.0f);
      f->run(buffers, n);
      REQUIRE(w == std::vector<float>(10, -float(n)));
      REQUIRE(large == std::vector<float>(1000, float(n)));
    }
  }
}

TEST_CASE("a wide row that is updated keeps its old values until it has been reduced") {
  for (int width : {5, 32, 33, 64, 100}) {
    const ir::Module module = ir::parse(fmt::format(R"(
global @w : f64[3, {0}]

func @f(%half: f64[]) {{
  %u = mul @w, %half : f64[3, {0}]
  %y = softmax %u {{axis = 1}} : f64[3, {0}]
  assign @w, %u
  return %y
}})",
                                                    width));
    const auto size = static_cast<size_t>(3 * width);
    Values args(1, Array<double>(DType::f64, {}));
    Values globals(1, Array<double>(DType::f64, {3, width}));
    args[0].f = {0.5};
    for (size_t i = 0; i < size; ++i) globals[0].f[i] = std::sin(double(i));
    std::vector<double> w = globals[0].f, y(size);
    double half = 0.5;
    void* buffers[] = {&half, w.data(), y.data()};
    compile(module, "f", {.max_batch = 1})->run(buffers, 1);
    Array<double> got(DType::f64, {3, width});
    got.f = y;
    check_close({got}, ir::interpret<double>(module, module.funcs[0], args, globals, 1), 1e-14);
    CHECK(w == globals[0].f);
  }
}

TEST_CASE("a product that shows a global through a view reads all of its old value") {
  const ir::Module module = ir::parse(R"(
global @w : f64[40, 40]

func @f(%x: f64[40, 40]) {
  %turned = transpose @w {permutation = [1, 0]} : f64[40, 40]
  %y = contraction %x, %turned {a = [1], b = [0]} : f64[40, 40]
  %u = sub @w, %y : f64[40, 40]
  assign @w, %u
  return
})");
  Values args(1, Array<double>(DType::f64, {40, 40})), globals = args;
  for (size_t i = 0; i < 1600; ++i) {
    args[0].f[i] = std::cos(double(i));
    globals[0].f[i] = std::sin(double(i));
  }
  std::vector<double> x = args[0].f, w = globals[0].f;
  void* buffers[] = {x.data(), w.data()};
  compile(module, "f", {.max_batch = 1, .off = {"simplify"}})->run(buffers, 1);
  ir::interpret<double>(module, module.funcs[0], args, globals, 1);
  Array<double> got(DType::f64, {40, 40});
  got.f = w;
  check_close({got}, globals, 1e-12);
}

TEST_CASE("NaN goes through maxima and relu, and comparisons with it do not hold") {
  Compiled f(R"(
func @f(%x: f32[n, 40]) {
  %m = max %x {axis = 1} : f32[n]
  %i = argmax %x {axis = 1} : i64[n]
  %r = relu %x : f32[n, 40]
  %e = equal %x, %x : bool[n, 40]
  %l = less_equal %x, %x : bool[n, 40]
  %k = cast %x : i32[n, 40]
  return %m, %i, %r, %e, %l, %k
})");
  for (size_t at : {size_t{0}, size_t{7}, size_t{8}, size_t{31}, size_t{32}, size_t{39}}) {
    Values args = random_args(f.func(), 3, at);
    args[0].f[40 + at] = std::numeric_limits<double>::quiet_NaN();
    args[0].f[40 + 39] = at < 39 ? std::numeric_limits<double>::quiet_NaN() : args[0].f[40 + 39];
    Values none;
    const Values want = ir::interpret<double>(f.module(), f.func(), args, none, 3);
    INFO("NaN at " << at);
    check_close(f(args, 3), want, 0);
    CHECK(std::isnan(f(args, 3)[0].f[1]));
    CHECK(f(args, 3)[1].i[1] == int64_t(at));
  }
}

namespace {

// Distance of a float from the exact value, in units of the float's last place.
double ulps(float got, double want) {
  int exponent = 0;
  std::frexp(want, &exponent);
  return std::abs(double{got} - want) / std::ldexp(1.0, exponent - 24);
}

// Largest error over 2^16 bit patterns spread evenly over all floats, where the result is normal.
double worst_ulps(const char* op, double (*exact)(double)) {
  Compiled f(
      fmt::format("func @f(%x: f32[65536]) {{\n  %y = {} %x : f32[65536]\n  return %y\n}}", op));
  Values args(1, Array<double>(DType::f32, {65536}));
  for (uint32_t i = 0; i < 65536; ++i) {
    const uint32_t bits = i * 65536u + 12345u;
    float x;
    std::memcpy(&x, &bits, 4);
    args[0].f[i] = double{x};
  }
  const Values got = f(args, 1);
  double worst = 0;
  for (size_t i = 0; i < 65536; ++i) {
    const double x = args[0].f[i], want = exact(x);
    const auto y = static_cast<float>(got[0].f[i]);
    INFO(op << " of " << x << " is " << y << " instead of " << want);
    const bool denormal = std::fpclassify(static_cast<float>(x)) == FP_SUBNORMAL;
    if (denormal) continue;  // counts as zero
    if (std::isnan(want)) {
      REQUIRE(std::isnan(y));
    } else if (std::abs(want) > double{std::numeric_limits<float>::max()}) {
      REQUIRE(double{y} == std::copysign(std::numeric_limits<double>::infinity(), want));
    } else if (std::abs(want) < double{std::numeric_limits<float>::min()}) {
      REQUIRE(std::abs(y) <= std::numeric_limits<float>::min());
    } else {
      worst = std::max(worst, ulps(y, want));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("transcendentals are within two units of the last place") {
  const double exp_error = worst_ulps("exp", [](double x) { return std::exp(x); });
  const double log_error = worst_ulps("log", [](double x) { return std::log(x); });
  const double tanh_error = worst_ulps("tanh", [](double x) { return std::tanh(x); });
  const double sigmoid_error =
      worst_ulps("sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); });
  INFO("exp " << exp_error << ", log " << log_error << ", tanh " << tanh_error << ", sigmoid "
              << sigmoid_error);
  CHECK(exp_error <= 2);
  CHECK(log_error <= 2);
  CHECK(tanh_error <= 2);
  CHECK(sigmoid_error <= 2);
}

#if defined(__x86_64__)
TEST_CASE("a call leaves the floating-point mode of its caller as it was") {
  Compiled f("func @f(%x: f32[n]) {\n  %y = mul %x, %x : f32[n]\n  return %y\n}");
  const unsigned before = _mm_getcsr();
  for (unsigned mode : {0x1f80u, 0x1f80u | 0x8040u, 0x3f80u}) {
    constexpr unsigned flags = 0x3f;  // what happened so far, not a mode
    _mm_setcsr(mode);
    Values args(1, Array<double>(DType::f32, {1}));
    args[0].f = {1e-30};
    const Values got = f(args, 1);
    const unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    CHECK((after & ~flags) == (mode & ~flags));
    CHECK(got[0].f[0] == 0);  // denormal, so zero whatever the caller's mode
  }
}
#endif

TEST_CASE("a processor that LLVM does not know is an Error that names it") {
  const ir::Module module = ir::parse("func @f(%x: f32[n]) {\n  return %x\n}");
  try {
    compile(module, "f", {.max_batch = 1, .cpu = "pentagon9"});
    FAIL("it compiled");
  } catch (const Error& e) {
    CHECK(e.message() == "unknown processor \"pentagon9\"");
    CHECK_FALSE(e.help_text().empty());
  }
}

TEST_CASE("code for another architecture is no executable") {
  const ir::Module module = ir::parse("func @f(%x: f32[n]) {\n  return %x\n}");
  try {
    compile(module, "f", {.max_batch = 1, .triple = "aarch64-linux-gnu"});
    FAIL("it compiled");
  } catch (const Error& e) {
    CHECK(e.message() == "code for aarch64-linux-gnu cannot run here");
    CHECK_FALSE(e.help_text().empty());
  }
}

TEST_CASE("an architecture without a code generator is an Error that names it") {
  ir::Module module = ir::parse("func @f(%x: f32[n]) {\n  return %x\n}");
  const Options options{.max_batch = 1, .triple = "pentagon-unknown-linux"};
  run_pipeline(module, options);
  try {
    code_text(module, "f", options);
    FAIL("it compiled");
  } catch (const Error& e) {
    CHECK(e.message() == "no code generator for \"pentagon-unknown-linux\"");
    CHECK_FALSE(e.help_text().empty());
  }
}

#if defined(__linux__)
TEST_CASE("compiled code is never writable and executable at once") {
  const auto pages = [](const char* kind) {
    std::ifstream maps("/proc/self/maps");
    int count = 0;
    for (std::string line; std::getline(maps, line);) {
      const size_t at = line.find(' ') + 1;
      count += line.compare(at, 3, kind) == 0 ? 1 : 0;
    }
    return count;
  };
  Compiled f("func @f(%x: f32[n]) {\n  %y = exp %x : f32[n]\n  return %y\n}");
  f(random_args(f.func(), 3, 1), 3);
  CHECK(pages("r-x") > 0);
  CHECK(pages("rwx") == 0);
}
#endif

}  // namespace sinter::compiler
