// Which ops are one kernel, how it runs, and where views find their elements.
#include "compiler/forms/kernel.h"

#include <catch2/catch.hpp>

#include "ir/op.h"
#include "ir/text/text.h"

namespace sinter::compiler {

namespace {

using ir::Op;
using ir::ValueId;

// All ops of the only function, as one kernel.
struct Analyzed {
  ir::Module module;
  KernelAnalysis analysis;

  explicit Analyzed(const std::string& body) : module(ir::parse(body)) {
    std::vector<const Op*> ops;
    for (const Op& op : module.funcs[0].body) ops.push_back(&op);
    analysis = analyze_kernel(module, module.funcs[0], ops);
  }
  const KernelForm& form() const {
    INFO(analysis.reason);
    REQUIRE(analysis.form.has_value());
    return *analysis.form;
  }
  const KernelOp& op(const std::string& name) const {
    for (const KernelOp& k : form().ops) {
      if (k.op->result.valid() && module.funcs[0][k.op->result].name == name) return k;
    }
    FAIL("no op named " << name);
    throw 0;
  }
};

}  // namespace

TEST_CASE("a softmax runs in phases, one for each reduction over a row") {
  const Analyzed a(R"(
func @f(%x: f32[n, 5]) {
  %m = max %x {axis = 1, keepdims = true} : f32[n, 1]
  %d = sub %x, %m : f32[n, 5]
  %e = exp %d : f32[n, 5]
  %s = sum %e {axes = [1], keepdims = true} : f32[n, 1]
  %y = div %e, %s : f32[n, 5]
  return %y
})");
  CHECK(a.form().phases == 3);
  CHECK(a.form().row_reduces);
  CHECK_FALSE(a.form().serial());
  CHECK(a.form().domain == ir::Shape{ir::batch_dim, 5});
  CHECK(a.op("m").role == Role::row_reduce);
  CHECK(a.op("m").varies == 1u);  // rows
  CHECK(a.op("d").phase == 1);
  CHECK(a.op("y").phase == 2);
  // Each op passes over the domain, n rows of 5: as many operations as there are ops.
  CHECK(kernel_flops(a.module.funcs[0], a.form(), 10) == 5 * 50);
}

TEST_CASE("what reads a sum over rows is late") {
  const Analyzed a(R"(
global @b : f32[5]

func @f(%x: f32[n, 5]) {
  %e = exp %x : f32[n, 5]
  %s = sum %e {axes = [0]} : f32[5]
  %u = sub @b, %s : f32[5]
  assign @b, %u
  return %e
})");
  CHECK(a.form().col_reduces);
  CHECK(a.op("s").role == Role::col_reduce);
  CHECK(a.op("u").late);
  CHECK_FALSE(a.op("e").late);
  CHECK(a.form().phases == 1);
}

TEST_CASE("axes of size 1 are no axes of the domain") {
  const Analyzed a(R"(
func @f(%x: f32[n, 1, 3], %w: f32[3]) {
  %y = reshape %x : f32[n, 3]
  %z = mul %y, %w : f32[n, 3]
  %q = reshape %z : f32[1, n, 3]
  return %q
})");
  CHECK(a.form().rank() == 2);
  CHECK(a.op("q").axes == AxisMap{-1, 0, 1});
}

TEST_CASE("one thread folds the only axis") {
  const Analyzed fold(R"(
func @f(%x: f32[n]) {
  %s = sum %x {axes = [0]} : f32[]
  return %s
})");
  CHECK(fold.form().serial());
  const Analyzed scalar(R"(
func @f(%x: f32[]) {
  %s = exp %x : f32[]
  return %s
})");
  CHECK(scalar.form().serial());
  const Analyzed map("func @f(%x: f32[n]) {\n  %s = exp %x : f32[n]\n  return %s\n}");
  CHECK_FALSE(map.form().serial());
}

TEST_CASE("a product counts two operations for each term") {
  const Analyzed a(R"(
func @f(%x: f32[n, 5], %w: f32[3, 5]) {
  %y = contraction %x, %w {a = [1], b = [1]} : f32[n, 3]
  return %y
})");
  CHECK(kernel_flops(a.module.funcs[0], a.form(), 10) == 2 * 5 * 30);
}

TEST_CASE("a set of ops that is no kernel says why") {
  const auto reason = [](const std::string& body) {
    const Analyzed a(body);
    CHECK_FALSE(a.analysis.form.has_value());
    return a.analysis.reason;
  };
  CHECK(reason(R"(
func @f(%x: f32[n, 3], %w: f32[3, 3]) {
  %y = contraction %x, %w {a = [1], b = [1]} : f32[n, 3]
  %z = contraction %x, %w {a = [1], b = [0]} : f32[n, 3]
  return %y, %z
})") == "a kernel has one contraction");
  CHECK(reason(R"(
func @f(%x: f32[n, 3]) {
  %y = exp %x : f32[n, 3]
  %z = transpose %y {permutation = [1, 0]} : f32[3, n]
  return %z
})") == "transpose reads its operand from memory");
  CHECK(reason(R"(
func @f(%x: f32[4, 4]) {
  %t = sum %x {axes = [1]} : f32[4]
  %y = add %x, %t : f32[4, 4]
  return %y
})") == "an axis runs against itself");
  CHECK(reason(R"(
global @w : f32[4, 4]

func @f() {
  %t = transpose @w {permutation = [1, 0]} : f32[4, 4]
  assign @w, %t
  return
})") == "it updates the global that the kernel reads as a whole");
  CHECK(reason(R"(
global @s : f32[]

func @f(%x: f32[n, 3], %u: f32[]) {
  %y = mul %x, @s : f32[n, 3]
  assign @s, %u
  return %y
})") == "other threads still read the global that it updates");
}

TEST_CASE("an access goes through views down to the buffer") {
  const ir::Module m = ir::parse(R"(
func @f(%x: f32[n, 4], %y: f32[4, 6]) {
  %t = transpose %x {permutation = [1, 0]} : f32[4, n]
  %r = reshape %t : f32[4, 1, n]
  %b = broadcast %r : f32[4, 5, n]
  %flat = reshape %y : f32[24]
  %moved = reshape %t : f32[4n]
  return %b, %flat, %moved
})");
  const ir::Func& f = m.funcs[0];
  const auto defs = ir::definitions(f);
  const auto through = resolve_access(f, defs, {}, f.results[0], {0, 1, 2});
  REQUIRE(through.has_value());
  CHECK(through->buffer == f.args[0]);
  CHECK(through->axes == std::vector<int>{2, 0});
  // The buffer is indexed under the shape of the view.
  const auto flat = resolve_access(f, defs, {}, f.results[1], {0});
  REQUIRE(flat.has_value());
  CHECK(flat->buffer == f.args[1]);
  CHECK(flat->dims == ir::Shape{24});
  // Elements in another order that no strides describe: the transpose needs memory of its own.
  CHECK_FALSE(resolve_access(f, defs, {}, f.results[2], {0}).has_value());
  const ValueId turned = defs[static_cast<size_t>(f.results[2].index)]->operands[0];
  CHECK(resolve_access(f, defs, {turned}, f.results[2], {0}).has_value());
  CHECK(moves_elements(f, *defs[static_cast<size_t>(f.results[2].index)]));
  CHECK_FALSE(moves_elements(f, *defs[static_cast<size_t>(f.results[0].index)]));
}

TEST_CASE("an access goes through slices as a start and a step") {
  const ir::Module m = ir::parse(R"(
func @f(%x: f32[n, 20, 3]) {
  %a = slice %x {axis = 1, start = 2, step = 3} : f32[n, 6, 3]
  %t = transpose %a {permutation = [1, 0, 2]} : f32[6, n, 3]
  %b = slice %t {axis = 0, start = 5, step = -2} : f32[3, n, 3]
  %one = slice %b {axis = 0, start = 1} : f32[1, n, 3]
  return %b, %one
})");
  const ir::Func& f = m.funcs[0];
  const auto defs = ir::definitions(f);
  const auto access = resolve_access(f, defs, {}, f.results[0], {0, 1, 2});
  REQUIRE(access.has_value());
  CHECK(access->buffer == f.args[0]);
  CHECK(access->axes == std::vector<int>{1, 0, 2});
  // Elements 5, 3, 1 of the first slice, which are 17, 11, 5 of the buffer.
  CHECK(access->starts == std::vector<int64_t>{0, 17, 0});
  CHECK(access->steps == std::vector<int64_t>{1, -6, 1});
  const auto one = resolve_access(f, defs, {}, f.results[1], {-1, 0, 1});
  REQUIRE(one.has_value());
  CHECK(one->axes == std::vector<int>{0, -1, 1});
  CHECK(one->starts == std::vector<int64_t>{0, 11, 0});
}

}  // namespace sinter::compiler
