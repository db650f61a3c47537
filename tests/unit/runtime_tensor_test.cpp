#include <cmath>
#include <limits>
#include <sstream>

#include <catch2/catch.hpp>

#include <sinter/error.h>
#include <sinter/random.h>
#include <sinter/tensor.h>

using Catch::Contains;
using namespace sinter;

namespace {

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

constexpr float infinite = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

}  // namespace

TEST_CASE("an error prints message, place, notes and help like rustc", "[error]") {
  const Error error = Error("linear expects {} input features but receives {}", 10, 9)
                          .at("/home/user/regression.cpp", 42)
                          .note("input  x : f32[64, {}]", 9)
                          .note("weight hidden.weight : f32[20, 10]")
                          .help("use Linear(9, 20)");
  CHECK(std::string(error.what()) ==
        "error: linear expects 10 input features but receives 9\n"
        "  --> regression.cpp:42\n"
        "   |   input  x : f32[64, 9]\n"
        "   |   weight hidden.weight : f32[20, 10]\n"
        "   = help: use Linear(9, 20)");
  CHECK(error.message() == "linear expects 10 input features but receives 9");
  CHECK(error.loc()->line == 42);
  CHECK(error.help_text() == "use Linear(9, 20)");
}

TEST_CASE("an error without place and help prints neither line", "[error]") {
  CHECK(std::string(Error("bad {braces} stay").what()) == "error: bad {braces} stay");
  CHECK(std::string(Error("a").at(SourceLoc{}).what()) == "error: a");
  const auto here = SourceLoc::from(std::source_location::current());
  CHECK(here.base_name() == "runtime_tensor_test.cpp");
}

TEST_CASE("an error built fluently is thrown as Error and as std::runtime_error", "[error]") {
  CHECK_THROWS_AS([] { throw Error("x").help("y"); }(), Error);
  CHECK_THROWS_AS([] { throw Error("x").note("y"); }(), std::runtime_error);
  Error kept("kept");
  kept.note("two\nlines").help("first\nsecond");
  const Error copy = kept;
  CHECK(std::string(copy.what()) ==
        "error: kept\n   |   two\n   |   lines\n   = help: first\n           second");
}

TEST_CASE("a failed check is an internal error that names condition and place", "[error]") {
  const int two = 2;
  SINTER_CHECK(two == 2);
  try {
    SINTER_CHECK(two == 3, "two is {}", two);
    FAIL("no exception");
  } catch (const InternalError& error) {
    CHECK_THAT(error.what(), Contains("two == 3") && Contains("two is 2"));
    CHECK_THAT(error.what(), Contains("runtime_tensor_test.cpp:"));
  }
  CHECK_THROWS_AS([] { SINTER_CHECK(false); }(), std::logic_error);
}

TEST_CASE("dtype names read back", "[dtype]") {
  for (DType d : {DType::f32, DType::f64, DType::i32, DType::i64, DType::boolean})
    CHECK(dtype_from_name(dtype_name(d)) == d);
  CHECK(!dtype_from_name("f16"));
  CHECK(fmt::format("{}", DType::boolean) == "bool");
  CHECK(dtype_of<int64_t> == DType::i64);
}

TEST_CASE("braces make tensors of any rank", "[tensor]") {
  CHECK(Tensor{1, 2, 3}.shape() == Shape{3});
  CHECK(Tensor{{1, 2, 3}}.shape() == Shape{1, 3});
  CHECK(Tensor{{1}, {2}, {3}}.shape() == Shape{3, 1});
  CHECK(Tensor{{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}, {{9, 10}, {11, 12}}}.shape() == Shape{3, 2, 2});
  const Tensor m{{1, 2}, {3, 4.5}};
  CHECK(m.type_string() == "f32[2, 2]");
  CHECK(m.at({1, 1}) == 4.5);
  CHECK(m.at({-1, -2}) == 3);
  const Tensor i = Tensor::of<int64_t>({{(int64_t{1} << 60) + 1}, {2}});
  CHECK(i.dtype() == DType::i64);
  CHECK(i.data<int64_t>()[0] == (int64_t{1} << 60) + 1);
  CHECK(Tensor::of<bool>({true, false}).at({0}) == 1);
  CHECK(Tensor().numel() == 0);
  const Tensor copy{m};
  CHECK(copy.shape() == Shape{2, 2});
}

TEST_CASE("a ragged literal names its row", "[tensor]") {
  CHECK_THAT(error_of([] { Tensor{{1, 2}, {3}}; }), Contains("row 1 has 1 elements where 2"));
  CHECK_THAT(error_of([] { Tensor{{{1}, {2}}, {{3}, {4, 5}}}; }), Contains("row 1, row 1"));
  CHECK_THAT(error_of([] { Tensor{{1, 2}, 3}; }), Contains("row 1 has a number"));
  CHECK_THAT(error_of([] { Tensor{1, {2, 3}}; }), Contains("row 1 has 2 elements"));
}

TEST_CASE("buffers start at a multiple of 64 bytes and copies share them", "[tensor]") {
  for (int64_t n : {1, 3, 17, 1000}) {
    Tensor a = zeros({n});
    CHECK(reinterpret_cast<uintptr_t>(a.raw()) % 64 == 0);
    Tensor b = a;
    b.data<float>()[0] = 7;
    CHECK(a.at({0}) == 7);
    Tensor c = a.clone();
    c.data<float>()[0] = 8;
    CHECK(a.at({0}) == 7);
  }
}

TEST_CASE("an unshared tensor keeps its buffer only where nobody else has it", "[tensor]") {
  const auto keeps = [](Tensor t) {
    const void* before = t.raw();
    const Tensor same = t.clone(), after = std::move(t).unshared();
    CHECK(equal(after, same));
    CHECK(after.is_contiguous());
    return after.raw() == before;
  };
  CHECK(keeps(zeros({3, 2})));
  Tensor shared = zeros({3, 2});
  CHECK_FALSE(keeps(shared));
  CHECK_FALSE(keeps(zeros({3, 2}).transpose(0, 1)));
  CHECK_FALSE(keeps(zeros({3, 2}).rows(0, 2)));
  std::vector<float> mine(6);
  CHECK_FALSE(keeps(Tensor::wrap(std::span(mine), {3, 2})));
  CHECK(keeps(Tensor::from(mine, {3, 2})));
}

TEST_CASE("values given with a shape must fill it", "[tensor]") {
  const std::vector<double> values{1, 2, 3, 4, 5, 6};
  CHECK(Tensor::from(values, {2, 3}).at({1, 0}) == 4);
  CHECK(Tensor::from(values).type_string() == "f64[6]");
  CHECK(Tensor::scalar(2.5f).dim() == 0);
  CHECK(Tensor::scalar(2.5f).item() == 2.5);
  CHECK_THAT(error_of([&] { Tensor::from(values, {2, 2}); }),
             Contains("6 values do not fill shape [2, 2]") && Contains("help"));
}

TEST_CASE("wrapped memory is the user's own, without a copy", "[tensor]") {
  std::vector<float> values{1, 2, 3, 4, 5, 6};
  Tensor t = Tensor::wrap(values, {2, 3});
  CHECK(t.raw() == values.data());
  CHECK(t.type_string() == "f32[2, 3]");
  values[4] = 50;
  CHECK(t.at({1, 1}) == 50);
  t.select(0, 0).copy_from(Tensor{7, 8, 9});
  CHECK(values == std::vector<float>{7, 8, 9, 4, 50, 6});
  // Views of one wrapped memory may overlap.
  Tensor all = Tensor::wrap(values, {6});
  all.narrow(0, 1, 5).copy_from(all.narrow(0, 0, 5));
  CHECK(values == std::vector<float>{7, 7, 8, 9, 4, 50});
  const int64_t labels[] = {0, 1, 1};
  std::vector<int64_t> copy(std::begin(labels), std::end(labels));
  CHECK(Tensor::wrap(std::span(copy).subspan(1), {2}).at({1}) == 1);
  CHECK_THAT(error_of([&] { Tensor::wrap(values, {4, 2}); }),
             Contains("6 values do not fill shape [4, 2]"));
}

TEST_CASE("wrapped memory with an owner lives as long as any view of it", "[tensor]") {
  auto owner = std::make_shared<std::vector<double>>(std::vector<double>{1, 2, 3, 4});
  const std::weak_ptr<std::vector<double>> watched = owner;
  Tensor row;
  {
    const std::span<double> memory(*owner);
    const Tensor whole = Tensor::wrap(memory, {2, 2}, std::move(owner));
    row = whole.select(0, 1);
  }
  CHECK_FALSE(watched.expired());
  CHECK(row.at({0}) == 3);
  row = Tensor();
  CHECK(watched.expired());
  // A vector that is given away.
  std::vector<float> given{1, 2};
  const float* const place = given.data();
  CHECK(Tensor::wrap(std::move(given), {2}).raw() == place);
}

TEST_CASE("shapes that overflow are refused before memory is taken", "[tensor]") {
  CHECK_THROWS_AS(shape_numel(Shape{int64_t{1} << 40, int64_t{1} << 40}), Error);
  CHECK_THROWS_AS(shape_numel(Shape{int64_t{1} << 62}), Error);
  CHECK_THROWS_AS(shape_numel(Shape{3, -1}), Error);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // The sanitizers end the process instead of refusing.
  CHECK_THROWS_AS(zeros({int64_t{1} << 50}), Error);
#endif
  CHECK(shape_numel(Shape{}) == 1);
  CHECK(shape_numel(Shape{4, 0}) == 0);
}

TEST_CASE("raw access checks dtype and layout and says how to fix it", "[tensor]") {
  Tensor m{{1, 2}, {3, 4}};
  CHECK_THAT(error_of([&] { m.data<double>(); }), Contains(".to(sinter::DType::f64)"));
  const Tensor t = m.t();
  CHECK_THAT(error_of([&] { t.data<float>(); }), Contains(".contiguous()"));
  CHECK(t.contiguous().span<float>()[1] == 3);
  CHECK(m.span<float>().size() == 4);
  CHECK(m.contiguous().raw() == m.raw());
}

TEST_CASE("item needs exactly one element", "[tensor]") {
  CHECK(Tensor{4}.item<float>() == 4);
  CHECK_THAT(error_of([] { Tensor{1, 2}.item(); }), Contains("has 2"));
  CHECK_THROWS_AS(Tensor{1}.item<int64_t>(), Error);
}

TEST_CASE("wrong indices and axes are errors with the shape", "[tensor]") {
  const Tensor m{{1, 2, 3}, {4, 5, 6}};
  CHECK_THAT(error_of([&] { m.at({2, 0}); }), Contains("[2, 0]") && Contains("f32[2, 3]"));
  CHECK_THROWS_AS(m.at({0}), Error);
  CHECK_THROWS_AS(m.at({0, -4}), Error);
  CHECK_THAT(error_of([&] { m.size(2); }), Contains("axis 2") && Contains("-2 to 1"));
  CHECK_THROWS_AS(m.narrow(0, 1, 2), Error);
  CHECK_THROWS_AS(m.narrow(1, -1, 1), Error);
  CHECK_THROWS_AS(m.narrow(1, 0, std::numeric_limits<int64_t>::max()), Error);
  CHECK_THROWS_AS(m.select(0, 2), Error);
  CHECK_THROWS_AS(m.squeeze(0), Error);
  CHECK_THROWS_AS(m.unsqueeze(4), Error);
  CHECK_THROWS_AS(Tensor({1, 2}).t(), Error);
  CHECK_THROWS_AS(Tensor::scalar(1.0f).size(0), Error);
  CHECK(m.size(-1) == 3);
}

TEST_CASE("views share data and keep the right elements", "[tensor]") {
  Tensor m = arange(24).view({2, 3, 4});
  CHECK(m.transpose(0, 2).shape() == Shape{4, 3, 2});
  CHECK(m.transpose(0, 2).at({3, 1, 0}) == m.at({0, 1, 3}));
  CHECK(m.select(1, -1).at({1, 2}) == m.at({1, 2, 2}));
  CHECK(m.narrow(2, 1, 2).at({1, 1, 0}) == m.at({1, 1, 1}));
  CHECK(m.rows(1, 2).at({0, 0, 0}) == 12);
  CHECK(m.unsqueeze(-1).shape() == Shape{2, 3, 4, 1});
  CHECK(m.unsqueeze(0).squeeze().shape() == Shape{2, 3, 4});
  CHECK(m.unsqueeze(1).squeeze(1).shape() == Shape{2, 3, 4});
  m.select(0, 1).select(0, 2).data<float>()[3] = -1;
  CHECK(m.at({1, 2, 3}) == -1);
}

TEST_CASE("view works wherever the strides allow it and reshape everywhere", "[tensor]") {
  const Tensor m = arange(24).view({2, 3, 4});
  CHECK(m.view({-1, 4}).shape() == Shape{6, 4});
  CHECK(m.view({6, 2, 2}).at({5, 1, 1}) == 23);
  CHECK(m.transpose(1, 2).view({2, 2, 2, 3}).at({1, 1, 0, 2}) == m.at({1, 2, 2}));
  CHECK(m.narrow(1, 0, 2).view({2, 8}).at({1, 5}) == m.at({1, 1, 1}));
  CHECK(m.unsqueeze(1).transpose(0, 1).view({24}).at({13}) == 13);
  CHECK_THAT(error_of([&] { m.t(); }), Contains("matrix"));
  CHECK_THAT(error_of([&] { m.transpose(0, 1).view({24}); }), Contains(".reshape()"));
  const Tensor flat = m.transpose(0, 1).reshape({24});
  CHECK(flat.at({4}) == m.at({1, 0, 0}));
  CHECK(m.reshape({4, 6}).raw() == m.raw());
  CHECK_THAT(error_of([&] { m.view({5, -1}); }), Contains("24 elements into shape [5, -1]"));
  CHECK_THROWS_AS(m.view({-1, -1}), Error);
  CHECK_THROWS_AS(m.view({25}), Error);
  CHECK(zeros({0, 3}).view({3, 0}).numel() == 0);
  CHECK(Tensor{5}.view({}).dim() == 0);
}

TEST_CASE("take_rows copies rows in the order asked for", "[tensor]") {
  const Tensor m = arange(12).view({4, 3});
  const std::vector<int64_t> order{3, 0, 3, -2};
  const Tensor taken = m.take_rows(order);
  CHECK(equal(taken, Tensor{{9, 10, 11}, {0, 1, 2}, {9, 10, 11}, {6, 7, 8}}));
  CHECK(equal(m.t().take_rows(std::vector<int64_t>{1}), Tensor{{1, 4, 7, 10}}));
  CHECK(equal(m.narrow(1, 1, 2).take_rows(std::vector<int64_t>{1}), Tensor{{4, 5}}));
  Tensor target = zeros({6, 3});
  m.take_rows_into(order, target);
  CHECK(equal(target.rows(0, 4), taken));
  CHECK(target.at({4, 0}) == 0);
  CHECK_THAT(error_of([&] { m.take_rows(std::vector<int64_t>{4}); }), Contains("row 4"));
  Tensor small = zeros({3, 3});
  CHECK_THROWS_AS(m.take_rows_into(order, small), Error);
}

TEST_CASE("copy_from checks shape and dtype and copes with overlap", "[tensor]") {
  Tensor m{{1, 2}, {3, 4}};
  m.copy_from(m.t());
  CHECK(equal(m, Tensor{{1, 3}, {2, 4}}));
  m.t().copy_from(Tensor{{5, 6}, {7, 8}});
  CHECK(equal(m, Tensor{{5, 7}, {6, 8}}));
  CHECK_THAT(error_of([&] { m.copy_from(Tensor{1, 2}); }), Contains("f32[2]"));
  CHECK_THROWS_AS(m.copy_from(zeros({2, 2}, DType::f64)), Error);
}

TEST_CASE("conversion is static_cast where that is defined and an error elsewhere", "[tensor]") {
  const Tensor f{-1.9, 0, 2.9};
  CHECK(equal(f.to(DType::i32), Tensor::of<int32_t>({-1, 0, 2})));
  CHECK(equal(f.to(DType::boolean), Tensor::of<bool>({true, false, true})));
  CHECK(f.to(DType::f32).raw() == f.raw());
  CHECK_THAT(error_of([] { Tensor{1, not_a_number}.to(DType::i64); }),
             Contains("element 1 is nan"));
  CHECK_THROWS_AS(Tensor{3e9f}.to(DType::i32), Error);
  CHECK_THROWS_AS(Tensor::of<int64_t>({int64_t{1} << 31}).to(DType::i32), Error);
  CHECK(Tensor{-2147483648.0}.to(DType::i32).item() == -2147483648.0);
  CHECK(f.view({3, 1}).t().to(DType::f64).at({0, 2}) == double{2.9f});
}

TEST_CASE("linspace includes both ends and arange excludes the last", "[tensor]") {
  const Tensor x = linspace(-1, 1, 100);
  CHECK(x.at({0}) == -1);
  CHECK(x.at({99}) == 1);
  CHECK(x.at({1}) == static_cast<float>(2.0 / 99 - 1));
  CHECK(linspace(3, 9, 1).at({0}) == 3);
  CHECK(linspace(0, 1, 0).numel() == 0);
  CHECK_THROWS_AS(linspace(0, 1, -1), Error);
  CHECK(equal(arange(4, DType::i64), Tensor::of<int64_t>({0, 1, 2, 3})));
  CHECK(equal(arange(1, 2, 0.25), Tensor{1, 1.25, 1.5, 1.75}));
  CHECK(equal(arange(3, 0, -1), Tensor{3, 2, 1}));
  CHECK_THROWS_AS(arange(0, 1, 0), Error);
  CHECK(equal(full({2}, 3, DType::i32), Tensor::of<int32_t>({3, 3})));
  CHECK_THROWS_AS(full({2}, not_a_number, DType::i32), Error);
  CHECK(equal(ones({2, 1}), Tensor{{1}, {1}}));
}

TEST_CASE("cat joins along an axis and stack along a new one", "[tensor]") {
  const Tensor a{{1, 2}, {3, 4}};
  CHECK(equal(cat({a, Tensor{{5, 6}}}), Tensor{{1, 2}, {3, 4}, {5, 6}}));
  CHECK(equal(cat({a, a.t()}, -1), Tensor{{1, 2, 1, 3}, {3, 4, 2, 4}}));
  CHECK(equal(stack({Tensor{1, 2}, Tensor{3, 4}}, -1), a.t()));
  CHECK_THAT(error_of([&] { cat({a, Tensor{{1, 2, 3}}}); }), Contains("f32[1, 3]"));
  CHECK_THROWS_AS(cat({a, Tensor{1, 2}}), Error);
  CHECK_THROWS_AS(cat({a, a.to(DType::f64)}), Error);
  CHECK_THROWS_AS(stack({a, Tensor{1, 2}}), Error);
  CHECK_THROWS_AS(cat(std::vector<Tensor>{}), Error);
}

TEST_CASE("equal, allclose and hash tell tensors apart", "[tensor]") {
  const Tensor a{1, 2, infinite};
  CHECK(equal(a, a.clone()));
  CHECK(!equal(a, a.view({3, 1})));
  CHECK(!equal(Tensor{not_a_number}, Tensor{not_a_number}));
  CHECK(allclose(a, Tensor{1.000001, 2, infinite}));
  CHECK(!allclose(a, Tensor{1.001, 2, infinite}));
  CHECK(!allclose(a, Tensor{1, infinite, infinite}));
  CHECK(!allclose(Tensor{1}, Tensor{not_a_number}));
  CHECK(allclose(Tensor{1}, Tensor{2}, 0, 1));
  CHECK_THROWS_AS(allclose(a, Tensor{1}), Error);
  const Tensor m{{1, 2}, {3, 4}};
  CHECK(hash_tensor(m.t().contiguous()) == hash_tensor(m.t()));
  CHECK(hash_tensor(m.t()) != hash_tensor(m));
  CHECK(hash_tensor(m) != hash_tensor(m.view({4})));
  CHECK(hash_tensor(Tensor{0.0f}) != hash_tensor(Tensor{-0.0f}));
}

// The expected texts are what numpy 2 prints for the same arrays.
TEST_CASE("tensors print as numpy prints them", "[tensor][print]") {
  CHECK(Tensor{{1, 2}, {3, 4}}.to_string() == "[[1. 2.]\n [3. 4.]]");
  CHECK(Tensor{0.1, 0.25, -3}.to_string() == "[ 0.1   0.25 -3.  ]");
  CHECK(Tensor{1.0f / 3, 100}.to_string() == "[  0.33333334 100.        ]");
  CHECK(Tensor{1e-5f, 1}.to_string() == "[1.e-05 1.e+00]");
  CHECK(Tensor{1e8f, 123456.789f}.to_string() == "[1.0000000e+08 1.2345679e+05]");
  CHECK(Tensor::of<double>({1e100, 1e-5}).to_string() == "[1.e+100 1.e-005]");
  CHECK(Tensor::scalar(1e-5f).to_string() == "1e-05");
  CHECK(Tensor{1, not_a_number, -infinite}.to_string() == "[  1.  nan -inf]");
  CHECK(Tensor::of<int64_t>({{1, -20}, {300, 4}}).to_string() == "[[  1 -20]\n [300   4]]");
  CHECK(Tensor::of<bool>({true, false}).to_string() == "[ True False]");
  CHECK(Tensor{{{1}, {2}}, {{3}, {4}}}.to_string() == "[[[1.]\n  [2.]]\n\n [[3.]\n  [4.]]]");
  CHECK(Tensor::scalar(1.0f).to_string() == "1.0");
  CHECK(Tensor::scalar(int64_t{7}).to_string() == "7");
  CHECK(Tensor().to_string() == "[]");
  CHECK(Tensor{{1, 2}, {3, 4}}.t().to_string() == "[[1. 3.]\n [2. 4.]]");
}

TEST_CASE("long tensors are wrapped and elided as numpy does", "[tensor][print]") {
  CHECK(arange(1001).to_string() == "[   0.    1.    2. ...  998.  999. 1000.]");
  CHECK(arange(25, DType::i32).to_string() ==
        "[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n 24]");
  CHECK(arange(2000, DType::i64).view({2, 1000}).to_string() ==
        "[[   0    1    2 ...  997  998  999]\n [1000 1001 1002 ... 1997 1998 1999]]");
  CHECK_THAT(zeros({500, 2}).to_string(), !Contains("..."));
}

TEST_CASE("fmt and streams print a tensor alike", "[tensor][print]") {
  const Tensor x{1.5, 2};
  std::ostringstream stream;
  stream << x;
  CHECK(stream.str() == "[1.5 2. ]");
  CHECK(fmt::format("{}", x) == stream.str());
}

TEST_CASE("sizes behind an empty axis may be of any magnitude", "[tensor]") {
  const Tensor t = zeros({0, 853248, 181921076184883200});
  CHECK(t.numel() == 0);
  CHECK(t.shape() == Shape{0, 853248, 181921076184883200});
}
