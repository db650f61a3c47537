// Gradients whose rows threads share, each going through all columns: which ones those are, and
// that they are right for any number of rows and threads.
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "compiler/compile.h"
#include "compiler/pipeline.h"
#include "ir/op.h"
#include "ir/text/text.h"
#include "tests/unit/module_run.h"

namespace sinter::compiler {

namespace {

// Two layers in which the gradient of the inputs of the second is computed, of the first not.
std::string two_layers(int64_t in, int64_t width, int64_t out) {
  return fmt::format(R"(global @w1 : f32[{1}, {0}]
global @w2 : f32[{2}, {1}]
func @f(%x: f32[n, {0}], %y: f32[n, {2}], %lr: f32[]) {{
  %z1 = contraction %x, @w1 {{a = [1], b = [1]}} : f32[n, {1}]
  %h1 = relu %z1 : f32[n, {1}]
  %z2 = contraction %h1, @w2 {{a = [1], b = [1]}} : f32[n, {2}]
  %loss = mse_loss %z2, %y : f32[]
  %g1 = gradient %loss, @w1 : f32[{1}, {0}]
  %g2 = gradient %loss, @w2 : f32[{2}, {1}]
  %u1 = mul %lr, %g1 : f32[{1}, {0}]
  %v1 = sub @w1, %u1 : f32[{1}, {0}]
  assign @w1, %v1
  %u2 = mul %lr, %g2 : f32[{2}, {1}]
  %v2 = sub @w2, %u2 : f32[{2}, {1}]
  assign @w2, %v2
  return %loss
}}
)",
                     in, width, out);
}

// The globals that kernels with `by_rows` assign.
std::vector<std::string> shared_by_rows(const std::string& text, int64_t max_batch) {
  ir::Module module = ir::parse(text);
  run_pipeline(module, {.max_batch = max_batch});
  const ir::Func& func = module.funcs[0];
  std::vector<std::string> out;
  for (const ir::Op& kernel : func.body) {
    if (kernel.kind != ir::OpKind::kernel || !kernel.attrs.flag("by_rows")) continue;
    for (const ir::Op& op : kernel.body) {
      if (op.kind == ir::OpKind::assign)
        out.push_back(module.globals[static_cast<size_t>(func[op.operands[0]].index)].name);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("threads share the rows of the first layer's gradient, whose weight then stays theirs") {
  CHECK(shared_by_rows(two_layers(200, 150, 140), 40) == std::vector<std::string>{"w1"});
}

TEST_CASE("must not share rows where packing all inputs on every thread costs more") {
  // Large inputs beside few outputs: little of the weight crosses.
  CHECK(shared_by_rows(two_layers(3000, 8, 200), 1000).empty());
}

TEST_CASE("a gradient shared by rows is that of one thread, for any number of rows and threads") {
  // 520: a group of rows is less than all of them.
  for (const auto& [in, width, max_batch] : {std::tuple{200, 150, 40}, {600, 520, 600}}) {
    const std::string text = two_layers(in, width, 90);
    REQUIRE(shared_by_rows(text, max_batch) == std::vector<std::string>{"w1"});
    const ir::Module module = ir::parse(text);
    for (int64_t n : {1, 9}) {
      INFO(fmt::format("{} -> {}", in, width));
      CHECK(difference_on_threads(module, max_batch, n, {2, 5}) == "");
    }
  }
}

}  // namespace sinter::compiler
