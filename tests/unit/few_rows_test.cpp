// Products of few rows with a large weight, lanes along the depth: for any number of rows, columns
// that fill no panel, any number of threads and every width of vectors.
#include <string>
#include <tuple>
#include <utility>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "compiler/compile.h"
#include "ir/text/text.h"
#include "tests/unit/module_run.h"

namespace sinter::compiler {

namespace {

std::string layer(const std::string& dtype, int64_t in, int64_t out) {
  return fmt::format(R"(global @w : {0}[{2}, {1}]
global @b : {0}[{2}]
func @f(%x: {0}[n, {1}]) {{
  %z = linear %x, @w, @b : {0}[n, {2}]
  %h = relu %z : {0}[n, {2}]
  return %h, %z
}}
)",
                     dtype, in, out);
}

// What follows the last layer of a net: an error, and its sum over the batch for the bias.
std::string last_layer(const std::string& dtype, int64_t in, int64_t out) {
  return fmt::format(R"(global @w : {0}[{2}, {1}]
global @b : {0}[{2}]
func @f(%x: {0}[n, {1}], %y: {0}[n, {2}]) {{
  %z = linear %x, @w, @b : {0}[n, {2}]
  %d = sub %z, %y : {0}[n, {2}]
  %b.grad = sum %d {{axes = [0]}} : {0}[{2}]
  %b.next = sub @b, %b.grad : {0}[{2}]
  assign @b, %b.next
  return %d
}}
)",
                     dtype, in, out);
}

bool lanes_along_depth(const std::string& text, int64_t max_batch) {
  const ir::Module module = ir::parse(text);
  const auto code =
      compile(module, "f", {.max_batch = max_batch, .threads = 1, .keep_code_text = true});
  return code->assembly().find("dots_") != std::string::npos;
}

}  // namespace

TEST_CASE("few rows with a large weight are summed with lanes along the depth, and others not") {
  CHECK(lanes_along_depth(layer("f32", 1024, 256), 16));
  CHECK(lanes_along_depth(last_layer("f32", 1024, 256), 16));
  CHECK_FALSE(lanes_along_depth(layer("f32", 1024, 256), 17));
  CHECK_FALSE(lanes_along_depth(layer("f32", 512, 256), 16));
  CHECK_FALSE(lanes_along_depth(layer("f32", 1000, 300), 16));
}

TEST_CASE("a product of few rows is right, and the same for any number of threads") {
  // 264 and 328 columns: no whole number of panels, of 16, 32 or 64.
  for (const auto& [dtype, in, out] :
       {std::tuple{"f32", 1024, 264}, {"f32", 2048, 328}, {"f64", 512, 264}}) {
    for (const std::string& text : {layer(dtype, in, out), last_layer(dtype, in, out)}) {
      const ir::Module module = ir::parse(text);
      for (const auto& [max_batch, n] : {std::pair{16, 16}, {16, 1}, {9, 7}}) {
        INFO(fmt::format("max batch {}\n{}", max_batch, text));
        CHECK(difference_on_threads(module, max_batch, n, {2, 3}) == "");
      }
    }
  }
}

}  // namespace sinter::compiler
