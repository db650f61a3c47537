#include "ir/text/text.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <sinter/error.h>

#include "ir/builder.h"
#include "ir/op.h"
#include "ir/text/print.h"
#include "tests/golden/mutate.h"

using namespace sinter;
using namespace sinter::ir;

namespace {

const Type scalar_i64{DType::i64, {}};

Op kernel_of(std::string name, std::vector<Op> body, std::vector<ValueId> outputs) {
  Op kernel{.kind = OpKind::kernel, .operands = {}};
  kernel.attrs = complete_attrs(OpKind::kernel, {{"name", std::move(name)}});
  kernel.body = std::move(body);
  kernel.outputs = std::move(outputs);
  return kernel;
}

// A module in which every op of the table occurs.
Module module_with_every_op() {
  Module m;
  const int weight = m.add_global("net.0.weight", {DType::f32, {Dim{10}, Dim{3}}});
  const int bias = m.add_global("net.0.bias", {DType::f32, {Dim{10}}});
  m.funcs.emplace_back().name = "everything";
  Func& f = m.funcs.back();
  Builder b(m, f);
  const Expr x(b, f.add_argument({DType::f32, {batch_dim, Dim{3}}}, "x"));
  const Expr labels(b, f.add_argument({DType::i64, {batch_dim}}, "labels"));
  const Expr seed(b, f.add_argument(scalar_i64, ""));
  b.set_loc({"net.cpp", 7, "net.0"});
  b.set_name_hint("net.0");
  const Expr w = b.global(weight);
  const Expr h = b.apply(OpKind::linear, {x, w, b.global(bias)});
  b.set_name_hint("");
  b.set_loc({});
  const Expr a = b.apply(OpKind::relu, {h}), t = b.apply(OpKind::tanh, {a * 0.5 - 1.0});
  const Expr s = b.apply(OpKind::sigmoid, {pow(exp(-t), a) / (log(sqrt(a)) + 2.0)});
  // Elementwise ops of one operand need no line of their own.
  for (OpKind kind : all_ops()) {
    const OpDef& d = def(kind);
    if (d.is(Trait::elementwise) && !d.is(Trait::typed_result) && d.operands == 1) {
      b.apply(kind, {a});
    }
  }
  const Expr top = argmax(s, 1);
  const Expr hit = cast(equal(top, labels), DType::f32);
  const Expr chosen = select(less(a, s), a, select(less_equal(a, t), t, s));
  const Expr bits = b.apply(OpKind::rng_bits, {seed, seed}, {{"stream", int64_t{3}}},
                            Type{DType::i64, {batch_dim, Dim{10}}});
  const Expr noise = cast(bits, DType::f32) + cast(b.iota(1, bits.type()), DType::f32);
  const Expr shaped = transpose(reshape(noise, {batch_dim, Dim{2}, Dim{5}}), {2, 0, 1});
  const Expr spread = broadcast(sum(shaped, {0, 2}, true), shaped.type().shape);
  const Expr mean = b.apply(OpKind::mean, {spread}, {{"axes", std::vector<int64_t>{0, 1, 2}}});
  const Expr product = contraction(chosen, w, {1}, {0}) + max(x, 1, true);
  const Expr part = pad(slice(x, 1, {.step = 2, .size = 2}), 1, {.size = 9}, -0.0);
  const Expr line = b.apply(OpKind::cumsum, {part}, {{"axis", int64_t{1}}, {"reverse", true}});
  const Expr best = b.apply(OpKind::top_k, {line}, {{"k", int64_t{2}}});
  const std::vector<int64_t> both{0, 1};
  const Expr folded = b.apply(OpKind::logsumexp, {line}, {{"axes", both}}) +
                      prod(cast(best, DType::f32), both, false);
  const Expr rows = b.apply(OpKind::gather, {w, labels});
  const Expr added = b.apply(OpKind::scatter_add, {rows, labels}, {}, w.type());
  const Expr p = b.apply(OpKind::softmax, {h}, {{"axis", int64_t{1}}});
  const Expr q = b.apply(OpKind::log_softmax, {h}, {{"axis", int64_t{1}}});
  const Expr mse = b.apply(OpKind::mse_loss, {p, q}, {{"reduction", std::string("sum")}});
  const Expr loss = b.apply(OpKind::cross_entropy, {h, labels}) + mse + mean +
                    sum(product, {0, 1}, false) / b.extent(product.type().shape, DType::f32) +
                    sum(hit, {0}, false) + folded;
  const Expr gradient = b.apply(OpKind::gradient, {loss, w});
  b.create(OpKind::barrier, {});
  std::vector<Op> body;
  Builder inner(m, f, body);
  const Expr step(inner, gradient.id());
  const Expr next = Expr(inner, w.id()) - step * 0.1 + Expr(inner, added.id());
  inner.create(OpKind::assign, {w.id(), next.id()});
  f.body.push_back(kernel_of("update \"w\"", std::move(body), {next.id()}));
  f.results = {loss.id(), next.id(), w.id()};
  return m;
}

Module module_with_constant(double value) {
  Module m;
  m.funcs.emplace_back().name = "f";
  Builder b(m, m.funcs.back());
  m.funcs.back().results = {b.scalar(value, DType::f64).id()};
  return m;
}

Error error_of(std::string_view text) {
  try {
    parse(text, "net.sir");
  } catch (const Error& e) {
    return e;
  }
  FAIL("the text parses: " << text);
  throw std::logic_error("unreachable");
}

// One text for each part of the grammar; mutations of them reach every function of the parser.
const std::vector<std::string> mutation_seeds{
    R"(global @hidden.weight : f32[10, 4]
global @hidden.bias : f32[10]
global @steps : i64[]
func @train_step(%x: f32[n, 4], %y: i64[n], %lr: f32[]) {
  %h = linear %x, @hidden.weight, @hidden.bias : f32[n, 10] loc("net.cpp":14, "hidden")
  %loss = cross_entropy %h, %y {reduction = "sum", ignore_index = -1} : f32[]
  %g = gradient %loss, @hidden.weight : f32[10, 4]
  %0 = mul %lr, %g : f32[10, 4]
  %1 = sub @hidden.weight, %0 : f32[10, 4]
  assign @hidden.weight, %1
  %top = argmax %h {axis = 1, keepdims = true} : i64[n, 1]
  return %loss, %top
}
)",
    R"(global @w : f32[4]
func @planned(%x: f32[n, 4], %lr: f32[]) max_batch 8 arena 256 {
  // a note
  kernel {name = "forward"} -> (%a at 0, %b at 128, %loss) loc("net.cpp":3) {
    %a = mul %x, @w : f32[n, 4]
    %b = reshape %a : f32[4n]
    %loss = sum %a {axes = [0, 1]} : f32[]
  }
  barrier
  kernel {name = "update"} {
    %g = sum %a {axes = [0]} : f32[4]
    %next = sub @w, %g : f32[4]
    assign @w, %next
  }
  return %loss, %b
}
)",
    R"(func @shapes(%x: f32[n, 3, 4], %y: f32[4, 5], %t: f64[7, 3], %i: i64[n], %sd: i64[]) {
  %c = contraction %x, %y {a = [2], b = [0]} : f32[n, 3, 5]
  %p = contraction %c, %c {a = [2], b = [2], a_batch = [0], b_batch = [0]} : f32[n, 3, 3]
  %tr = transpose %p {permutation = [1, 2, 0]} : f32[3, 3, n]
  %v = broadcast %y : f32[2, 4, 5]
  %r = gather %t, %i : f64[n, 3]
  %s = scatter_add %r, %i : f64[7, 3]
  %m = mean %tr {axes = [0, 2], keepdims = true} : f32[1, 3, 1]
  %k = constant {value = -1.5e-3} : f32[n]
  %z = iota {axis = 0} : i64[n]
  %b = equal %z, %i : bool[n]
  %e = extent {of = [n, 10, 4n]} : f64[]
  %bits = rng_bits %sd, %sd {stream = 3} : i64[n, 2]
  %sm = log_softmax %v {axis = 2} : f32[2, 4, 5]
  %ca = cast %z : f32[n]
  %se = select %b, %ca, %k : f32[n]
  return %m, %s, %e, %se, %sm
}
)"};

}  // namespace

TEST_CASE("every op of the table prints and parses back to an equal module") {
  const Module m = module_with_every_op();
  std::set<OpKind> seen;
  for_each_op(m.funcs[0].body, [&](const Op& op) { seen.insert(op.kind); });
  for (OpKind kind : all_ops()) {
    INFO(def(kind).name);
    CHECK(seen.count(kind) == 1);
  }
  const std::string text = print(m);
  INFO(text);
  const Module back = parse(text);
  CHECK(equal(m, back));
  CHECK(print(back) == text);
}

TEST_CASE("equal tells modules apart that print differently") {
  const Module m = module_with_every_op();
  const std::string text = print(m);
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"@everything", "@everything2"},
           {"net.cpp\":7", "net.cpp\":8"},
           {"reduction = \"sum\"", "reduction = \"mean\""},
           {"sub %", "add %"},
           {"update", "updated"},
           {"%x", "%x1"}}) {
    std::string other = text;
    for (size_t at = 0; (at = other.find(from, at)) != std::string::npos; at += to.size()) {
      other.replace(at, from.size(), to);
    }
    INFO(from << " -> " << to);
    REQUIRE(other != text);
    CHECK_FALSE(equal(m, parse(other)));
  }
}

TEST_CASE("reals read back with the same bits") {
  const double values[] = {0.0,
                           -0.0,
                           1.0,
                           0.1,
                           1e-45,
                           5e-324,
                           1e21,
                           123456789012345678.0,
                           std::nextafter(1.0, 2.0),
                           std::numeric_limits<double>::max(),
                           std::numeric_limits<double>::infinity(),
                           -std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()};
  for (double value : values) {
    const std::string text = print(module_with_constant(value));
    INFO(text);
    const Module back = parse(text);
    const double read = back.funcs[0].body[0].attrs.real("value");
    if (std::isnan(value)) {
      CHECK(std::isnan(read));
    } else {
      CHECK(read == value);
      CHECK(std::signbit(read) == std::signbit(value));
    }
  }
}

TEST_CASE("text with every byte reads back") {
  std::string name;
  for (int c = 0; c < 256; ++c) name += static_cast<char>(c);
  Module m;
  m.funcs.emplace_back().name = "f";
  m.funcs[0].body.push_back(kernel_of(name, {}, {}));
  m.funcs[0].body.back().loc = {name, 3, name};
  CHECK(equal(m, parse(print(m))));
}

TEST_CASE("a loc without a line is kept") {
  Module m = module_with_constant(1);
  m.funcs[0].body[0].loc = {"", 0, "net.hidden"};
  CHECK(equal(m, parse(print(m))));
  m.funcs[0].body[0].loc = {"a.cpp", 0, ""};
  CHECK(equal(m, parse(print(m))));
}

TEST_CASE("notes print as comments and are dropped by parsing") {
  Module m = module_with_constant(1);
  m.funcs[0].body[0].notes = {"not fused: two\nlines", "and another"};
  const std::string text = print(m);
  CHECK(text.find("  // not fused: two\n  // lines\n  // and another\n  %0 = constant") !=
        std::string::npos);
  const Module back = parse(text);
  CHECK(equal(m, back));
  CHECK(back.funcs[0].body[0].notes.empty());
}

TEST_CASE("one op prints without a line break at its end") {
  const Module m = module_with_every_op();
  const Func& f = m.funcs[0];
  CHECK(
      print_op(m, f, f.body[0]) ==
      "%net.0 = linear %x, @net.0.weight, @net.0.bias : f32[n, 10] loc(\"net.cpp\":7, \"net.0\")");
  const std::string kernel = print_op(m, f, f.body.back());
  CHECK(kernel.rfind("kernel {name = \"update \\\"w\\\"\"} -> (%", 0) == 0);
  CHECK(kernel.substr(kernel.size() - 2) == "\n}");
}

TEST_CASE("an op of a broken function prints with marks in place of what is missing") {
  Module m = module_with_constant(1);
  Func& f = m.funcs[0];
  const ValueId nowhere = f.add_value({DType::f32, {}}, "", ValueDef::op);
  Op op{.kind = OpKind::add, .operands = {nowhere, {77}}, .attrs = {}, .result = {-1}, .loc = {}};
  CHECK(print_op(m, f, op) == "add %?1, %?77");
}

TEST_CASE("an error of the parser names file, line, column and a fix") {
  const Error e = error_of("func @f(%x: f32[n]) {\n\n  %a = rellu %x : f32[n]\n  return %a\n}\n");
  CHECK(std::string(e.what()) ==
        "error: unknown op \"rellu\"\n"
        "  --> net.sir:3\n"
        "   |     %a = rellu %x : f32[n]\n"
        "   |          ^ column 8\n"
        "   = help: did you mean relu?");
}

TEST_CASE("names have at most 1024 characters") {
  const auto text = [](size_t length) {
    return fmt::format("func @f(%{}: f32[]) {{ return }}", std::string(length, 'a'));
  };
  CHECK_NOTHROW(parse(text(1024)));
  CHECK(error_of(text(1025)).message() == "a name of 1025 characters");
}

TEST_CASE("a long function parses in time that is linear in its length") {
  std::string text = "func @f(%x0: f32[n]) {\n";
  constexpr int count = 50'000;
  for (int i = 0; i < count; ++i) {
    text += fmt::format("  %x{} = relu %x{} : f32[n]\n", i + 1, i);
  }
  text += fmt::format("  return %x{}\n}}\n", count);
  const Module m = parse(text);
  CHECK(m.funcs[0].body.size() == count);
  CHECK(print(m) == text);
}

TEST_CASE("a file that cannot be read is an error with a fix") {
  try {
    parse_file("no/such/file.sir");
    FAIL("it parses");
  } catch (const Error& e) {
    CHECK(e.message() == "cannot read no/such/file.sir");
    CHECK(e.notes() == std::vector<std::string>{"there is no such file"});
    CHECK_FALSE(e.help_text().empty());
  }
  CHECK_THROWS_AS(parse_file(std::filesystem::temp_directory_path().string()), Error);
}

TEST_CASE("a file parses like its text") {
  const std::string path =
      (std::filesystem::temp_directory_path() / "sinter_text_test_module.sir").string();
  const Module m = module_with_every_op();
  std::ofstream(path) << print(m);
  CHECK(equal(parse_file(path), m));
  std::filesystem::remove(path);
}

TEST_CASE("mutated text parses or is an error with a place and a fix") {
  golden::Mutator mutator(mutation_seeds, 7);
  int parsed = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::string text = mutator.next();
    INFO("mutation " << i << ":\n" << text);
    try {
      const Module m = parse(text);
      const std::string printed = print(m);
      CHECK(print(parse(printed)) == printed);
      ++parsed;
    } catch (const Error& e) {
      REQUIRE(e.loc());
      CHECK(e.loc()->known());
      CHECK_FALSE(e.help_text().empty());
      CHECK(std::string(e.what()).find("column ") != std::string::npos);
    }
  }
  // Enough survive that the other half of the test is not empty.
  CHECK(parsed > 50);
}
