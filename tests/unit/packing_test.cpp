// Products whose column operand is packed: each of the three products of a layer, with sizes that
// leave rests of rows, columns and products, for each width of vectors that this machine has.
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "compiler/compile.h"
#include "ir/text/text.h"
#include "tests/unit/module_run.h"

namespace sinter::compiler {

namespace {

// x W^T with an epilogue, dY W, and dY^T X with the update of W in place, as a training step has
// them.
std::string products(int64_t in, int64_t out, const char* dtype) {
  return fmt::format(R"(global @w : {2}[{1}, {0}]
func @f(%x: {2}[n, {0}], %dy: {2}[n, {1}], %lr: {2}[]) {{
  %y = contraction %x, @w {{a = [1], b = [1]}} : {2}[n, {1}]
  %h = relu %y : {2}[n, {1}]
  %dx = contraction %dy, @w {{a = [1], b = [0]}} : {2}[n, {0}]
  %dw = contraction %dy, %x {{a = [0], b = [0]}} : {2}[{1}, {0}]
  %u = mul %lr, %dw : {2}[{1}, {0}]
  %next = sub @w, %u : {2}[{1}, {0}]
  assign @w, %next
  return %h, %dx
}}
)",
                     in, out, dtype);
}

void compare(int64_t in, int64_t out, const char* dtype, const std::string& cpu,
             int64_t max_batch = 40) {
  const ir::Module module = ir::parse(products(in, out, dtype));
  for (int threads : {1, 2}) {
    const auto code =
        compile(module, "f",
                {.max_batch = max_batch, .threads = threads, .oversubscribe = true, .cpu = cpu});
    for (int64_t n : {1, 2, 5, 16, 17, 31, 40, 69}) {
      if (n > max_batch) break;
      INFO(
          fmt::format("{} -> {}, {}, n = {}, {} threads, cpu {}", in, out, dtype, n, threads, cpu));
      const Inputs inputs = inputs_for(module, n, static_cast<uint64_t>(n));
      const Run want = interpret_as_recorded(module, inputs, n);
      const Run got = run_compiled(*code, module.funcs[0], module.globals, inputs, n);
      CHECK(difference(got, want, 1e-5) == "");
    }
  }
}

}  // namespace

TEST_CASE("packed products with any rest of rows, columns and depth") {
  for (const std::string& cpu : processors()) {
    for (int64_t in : {6, 17, 24, 33, 64}) {
      for (int64_t out : {18, 32, 45}) compare(in, out, "f32", cpu);
    }
    compare(19, 20, "f64", cpu);
  }
}

// A megabyte of weights and few rows: the update sweeps W by rows.
TEST_CASE("the update of a wide layer from a small batch, with rests of rows and columns") {
  for (const std::string& cpu : processors()) {
    compare(517, 519, "f32", cpu, 20);
    compare(512, 516, "f32", cpu, 16);
  }
}

// Four megabytes: the update sweeps W by groups of panels, two and a rest or one, for all rows and
// for groups of them.
TEST_CASE("the update of a wide layer from a large batch, with rests of rows and columns") {
  for (const auto& [in, out] : {std::pair{1901, 560}, {300, 4096}}) {
    const ir::Module module = ir::parse(fmt::format(R"(global @w : f32[{1}, {0}]
func @f(%x: f32[n, {0}], %dy: f32[n, {1}]) {{
  %dw = contraction %dy, %x {{a = [0], b = [0]}} : f32[{1}, {0}]
  %next = sub @w, %dw : f32[{1}, {0}]
  assign @w, %next
  return
}}
)",
                                                    in, out));
    for (int64_t n : {34, 69}) {
      const Inputs inputs = inputs_for(module, n, static_cast<uint64_t>(n));
      const Run want = interpret_as_recorded(module, inputs, n);
      for (const std::string& cpu : processors()) {
        for (int threads : {1, 2}) {
          INFO(fmt::format("{} -> {}, n = {}, {} threads, cpu {}", in, out, n, threads, cpu));
          const auto code =
              compile(module, "f",
                      {.max_batch = 69, .threads = threads, .oversubscribe = true, .cpu = cpu});
          const Run got = run_compiled(*code, module.funcs[0], module.globals, inputs, n);
          CHECK(difference(got, want, 1e-5) == "");
        }
      }
    }
  }
}

// Great depth, along and across the weights, of few rows and of more; and so many rows of a weight
// gradient that they go by groups.
TEST_CASE("products block by block along their depth") {
  for (const std::string& cpu : processors()) {
    const int64_t deep = 4147;
    compare(deep, 70, "f32", cpu, 17);
    compare(70, deep, "f32", cpu, 17);
    compare(deep, 41, "f32", cpu, 69);
    compare(41, deep, "f32", cpu, 69);
  }
}

TEST_CASE("a wide layer whose products run on all threads") { compare(259, 130, "f32", ""); }

// Kernels that differ in their buffers only have one body between them.
TEST_CASE("equal layers are compiled once") {
  std::string text, before = "%x";
  for (int i = 0; i < 6; ++i) text += fmt::format("global @w{} : f32[24, 24]\n", i);
  text += "func @f(%x: f32[n, 24]) {\n";
  for (int i = 0; i < 6; ++i) {
    text += fmt::format(
        "  %y{0} = contraction {1}, @w{0} {{a = [1], b = [1]}} : f32[n, 24]\n"
        "  %h{0} = relu %y{0} : f32[n, 24]\n",
        i, before);
    before = fmt::format("%h{}", i);
  }
  text += fmt::format("  return %h3, {}\n}}\n", before);
  const ir::Module module = ir::parse(text);
  const auto code = compile(module, "f", {.max_batch = 40, .threads = 1, .keep_code_text = true});
  CHECK(code->kernels().size() == 6);
  const std::string llvm_ir = code->llvm_ir();
  size_t bodies = 0;
  for (size_t at = 0; (at = llvm_ir.find("define void @f.k", at)) != std::string::npos; ++at)
    ++bodies;
  // From the argument, from the arena to the arena, and to a result (the fourth is one, too).
  CHECK(bodies >= 1);
  CHECK(bodies <= 4);
  for (int64_t n : {1, 17, 40}) {
    const Inputs inputs = inputs_for(module, n, static_cast<uint64_t>(n));
    const Run want = interpret_as_recorded(module, inputs, n);
    const Run got = run_compiled(*code, module.funcs[0], module.globals, inputs, n);
    CHECK(difference(got, want, 1e-5) == "");
  }
}

}  // namespace sinter::compiler
