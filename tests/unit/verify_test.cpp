#include "ir/verify.h"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <sinter/error.h>

#include "ir/builder.h"
#include "ir/check.h"
#include "ir/op.h"
#include "ir/text/text.h"

using namespace sinter;
using namespace sinter::ir;

namespace {

// What no text can say; the rest is in tests/golden/verify.
constexpr std::string_view valid_text = R"(
global @w : f32[4]
global @b : f32[4]
func @step(%x: f32[n, 4], %y: f32[n, 4]) max_batch 8 arena 256 {
  kernel {name = "forward"} -> (%a at 0) {
    %h = mul %x, @w : f32[n, 4]
    %a = add %h, @b : f32[n, 4]
  }
  %sum = sum %a {axes = [0, 1]} : f32[]
  assign @w, @b
  return %sum, %a
}
func @other(%x: f32[n]) {
  %e = exp %x : f32[n]
  return %e
}
)";

struct Broken {
  Module module = parse(valid_text);
  Func& f = module.funcs[0];
  std::vector<Op>& inner = f.body[0].body;

  Op& op(size_t i) { return f.body[i]; }
  ValueInfo& value(std::string_view name) {
    for (ValueInfo& v : f.values) {
      if (v.name == name) return v;
    }
    throw std::logic_error("no such value");
  }
  ValueId id(std::string_view name) { return {static_cast<int32_t>(&value(name) - &f.values[0])}; }

  std::string message() {
    try {
      verify(module);
    } catch (const Error& e) {
      CHECK_FALSE(e.help_text().empty());
      return e.message();
    }
    return "valid";
  }
};

}  // namespace

TEST_CASE("a module that keeps every invariant is valid") { CHECK(Broken().message() == "valid"); }

TEST_CASE("an empty module is valid") { CHECK_NOTHROW(verify(Module())); }

TEST_CASE("values that no op defines any more are allowed") {
  Broken b;
  b.f.add_value({DType::f32, {Dim{-3}}}, "x", ValueDef::op);
  CHECK(b.message() == "valid");
}

TEST_CASE("names must be such that they can be written") {
  SECTION("a global with a space") {
    Broken b;
    b.module.globals[0].name = "net weight";
    CHECK(b.message() == "the name \"net weight\" of a global cannot be written");
  }
  SECTION("a function without a name") {
    Broken b;
    b.f.name = "";
    CHECK(b.message() == "the name \"\" of a function is empty");
  }
  SECTION("a value with a letter outside ASCII") {
    Broken b;
    b.value("h").name = "\xCE\xB1";
    CHECK(b.message() == "the name \"\xCE\xB1\" of a value cannot be written");
  }
  SECTION("a value named by a number") {
    Broken b;
    b.value("h").name = "12";
    CHECK(b.message() == "a value is named by the number 12");
  }
  SECTION("a name that is too long") {
    Broken b;
    b.value("x").name = std::string(1025, 'a');
    CHECK(b.message().find("has 1025 characters") != std::string::npos);
  }
}

TEST_CASE("names must be unique") {
  SECTION("of globals") {
    Broken b;
    b.module.globals[1].name = "w";
    CHECK(b.message() == "two globals are named @w");
  }
  SECTION("of functions") {
    Broken b;
    b.module.funcs[1].name = "step";
    CHECK(b.message() == "two functions are named @step");
  }
  SECTION("of values, arguments included") {
    Broken b;
    b.value("h").name = "y";
    CHECK(b.message() == "two values are named %y");
  }
}

TEST_CASE("types must have a size that can be computed") {
  SECTION("a dimension of zero") {
    Broken b;
    b.value("y").type.shape[1] = Dim{0};
    CHECK(b.message() == "%y has a dimension of 0");
  }
  SECTION("too many axes") {
    Broken b;
    b.value("y").type.shape.assign(9, Dim{1});
    CHECK(b.message() == "%y has 9 axes, more than 8");
  }
  SECTION("too many elements") {
    Broken b;
    b.value("y").type.shape.assign(8, Dim{int64_t{1} << 40});
    CHECK(b.message().find("%y has too many elements") == 0);
  }
  SECTION("a shape among the attributes") {
    Module m;
    Func& f = m.funcs.emplace_back();
    f.name = "f";
    Builder(m, f).extent({Dim{-1}}, DType::f32);
    CHECK_THROWS_WITH(verify(m), Catch::Contains("attribute \"of\" has a dimension of -1"));
  }
  SECTION("a global that follows the batch") {
    Broken b;
    b.module.globals[0].type.shape[0].batch = true;
    CHECK(b.message() == "global @w : f32[4n] follows the batch");
  }
}

TEST_CASE("arguments and globals must be what stands for them") {
  SECTION("an argument at another position") {
    Broken b;
    std::swap(b.f.args[0], b.f.args[1]);
    CHECK(b.message() == "argument 0 is not a value that stands for it");
  }
  SECTION("an argument outside the list of values") {
    Broken b;
    b.f.args[1] = {1000};
    CHECK(b.message() == "argument 1 is not a value that stands for it");
  }
  SECTION("a global of another type") {
    Broken b;
    b.module.globals[1].type.shape[0] = Dim{5};
    CHECK(b.message() == "global 1 is not a value that stands for it");
  }
  SECTION("more globals than the module has") {
    Broken b;
    b.module.globals.pop_back();
    CHECK(b.message() == "global 1 is not a value that stands for it");
  }
}

TEST_CASE("a value must be defined once and before it is read") {
  SECTION("ops in the wrong order") {
    Broken b;
    std::swap(b.inner[0], b.inner[1]);
    CHECK(b.message() == "add reads %h before it is defined");
  }
  SECTION("a definition that is gone") {
    Broken b;
    b.inner.erase(b.inner.begin());
    CHECK(b.message() == "add reads %h before it is defined");
  }
  SECTION("two ops with one result") {
    Broken b;
    b.op(1).result = b.id("a");
    b.value("a").type = b.value("sum").type;
    b.inner[1].operands = {b.id("x"), b.id("x")};
    b.inner[1].kind = OpKind::sum;
    b.inner[1].operands.pop_back();
    b.inner[1].attrs = b.op(1).attrs;
    b.op(1).operands = {b.id("x")};
    b.f.results = {b.id("a")};
    CHECK(b.message() == "%a is defined twice");
  }
  SECTION("an operand outside the list of values") {
    Broken b;
    b.op(1).operands[0] = {1000};
    CHECK(b.message() == "sum reads %?1000 before it is defined");
  }
  SECTION("an operand that is no value") {
    Broken b;
    b.op(1).operands[0] = {};
    CHECK(b.message() == "sum reads %?-1 before it is defined");
  }
  SECTION("a result of the function") {
    Broken b;
    b.f.results.push_back({1000});
    CHECK(b.message() == "return reads %?1000 before it is defined");
  }
}

TEST_CASE("an op must be as its entry in the table says") {
  SECTION("the number of operands") {
    Broken b;
    b.inner[0].operands.pop_back();
    CHECK(b.message() == "mul takes 2 operands but got 1");
  }
  SECTION("the type of the result") {
    Broken b;
    b.value("sum").type.dtype = DType::f64;
    CHECK(b.message() == "%sum is f64[] but sum makes f32[]");
  }
  SECTION("an attribute that is missing although it has a default") {
    Broken b;
    b.op(1).attrs.list().pop_back();
    CHECK(b.message() == "the attributes of sum are not those of its schema, in its order");
  }
  SECTION("attributes in another order") {
    Broken b;
    std::swap(b.op(1).attrs.list()[0], b.op(1).attrs.list()[1]);
    CHECK(b.message() == "the attributes of sum are not those of its schema, in its order");
  }
  SECTION("an attribute of another kind") {
    Broken b;
    b.op(1).attrs.set("axes", int64_t{0});
    CHECK(b.message() == "attribute \"axes\" of sum must be a list of integers");
  }
  SECTION("a result that is missing") {
    Broken b;
    b.op(1).result = {};
    CHECK(b.message() == "sum has no result");
  }
  SECTION("a result of an effect") {
    Broken b;
    b.op(2).result = b.id("sum");
    CHECK(b.message() == "assign has a result");
  }
  SECTION("a result that stands for an argument") {
    Broken b;
    b.op(1).result = b.id("y");
    CHECK(b.message() == "the result of sum is not a value of the function");
  }
  SECTION("a body") {
    Broken b;
    b.op(1).body.push_back({.kind = OpKind::barrier, .operands = {}});
    CHECK(b.message() == "sum has a body");
  }
  SECTION("a line below zero") {
    Broken b;
    b.op(1).loc.line = -1;
    CHECK(b.message() == "line -1 of a source location is negative");
  }
}

TEST_CASE("a kernel must not hold kernels") {
  Broken b;
  Op kernel = b.op(0);
  kernel.body.clear();
  kernel.outputs.clear();
  b.inner.push_back(std::move(kernel));
  CHECK(b.message() == "a kernel inside a kernel");
}

TEST_CASE("a kernel must store values of its body only") {
  Broken b;
  b.op(0).outputs.push_back({1000});
  CHECK(b.message() == "the kernel stores %?1000, which its body does not make");
}

TEST_CASE("a plan must hold what it places") {
  SECTION("a place in a function without a plan") {
    Broken b;
    b.f.max_batch = 0;
    CHECK(b.message() == "an arena of 256 bytes without max_batch");
    b.f.arena_bytes = 0;
    CHECK(b.message() == "%a has a place but the function has no plan");
  }
  SECTION("a place that begins before the arena") {
    Broken b;
    b.value("a").storage = Storage{-64};
    CHECK(b.message() == "%a of 128 bytes at -64 ends outside the arena of 256");
  }
  SECTION("a place whose end overflows") {
    Broken b;
    b.value("a").storage = Storage{INT64_MAX};
    CHECK(b.message().find("ends outside the arena") != std::string::npos);
  }
  SECTION("the last place that fits") {
    Broken b;
    b.value("a").storage = Storage{128};
    CHECK(b.message() == "valid");
    b.value("a").storage = Storage{129};
    CHECK(b.message() == "%a of 128 bytes at 129 ends outside the arena of 256");
  }
  SECTION("rows apart") {
    Broken b;
    b.value("a").storage = Storage{0, 8};
    CHECK(b.message() == "valid");
    b.value("a").storage = Storage{1, 8};
    CHECK(b.message() == "%a of 256 bytes at 1 ends outside the arena of 256");
    b.value("a").storage = Storage{0, 3};
    CHECK(b.message() == "%a : f32[n, 4] cannot have rows 3 elements apart");
  }
  SECTION("a place for a value that no kernel stores") {
    for (const char* name : {"x", "h", "sum"}) {
      Broken b;
      b.value(name).storage = Storage{0};
      CHECK(b.message() == "a value that no kernel stores has a place in the arena");
    }
  }
  SECTION("negative sizes") {
    Broken b;
    b.f.max_batch = -1;
    CHECK(b.message() == "max_batch -1 and arena 256 cannot be negative");
  }
}

TEST_CASE("the error shows the op between those around it and the user's line") {
  Broken b;
  b.op(1).loc = {"train.cpp", 42, ""};
  b.value("sum").type.dtype = DType::f64;
  try {
    verify(b.module);
    FAIL("it is valid");
  } catch (const Error& e) {
    CHECK(std::string(e.what()) ==
          "error: %sum is f64[] but sum makes f32[]\n"
          "  --> train.cpp:42\n"
          "   |   in func @step:\n"
          "   |       kernel {name = \"forward\"} -> (%a at 0) {\n"
          "   |         %h = mul %x, @w : f32[n, 4]\n"
          "   |         %a = add %h, @b : f32[n, 4]\n"
          "   |     > %sum = sum %a {axes = [0, 1]} : f64[] loc(\"train.cpp\":42)\n"
          "   |       assign @w, @b\n"
          "   |       return %sum, %a\n"
          "   = help: give the value the type that the op makes");
  }
}

TEST_CASE("sizes in bytes are computed without overflow") {
  CHECK(checked_bytes({DType::f64, {batch_dim, Dim{3, true}, Dim{5}}}, 10) == 8 * 10 * 30 * 5);
  CHECK(checked_bytes({DType::boolean, {}}, 10) == 1);
  CHECK_FALSE(checked_bytes({DType::f32, {batch_dim}}, INT64_MAX).has_value());
}
