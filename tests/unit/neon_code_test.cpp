// Code for AArch64, which no other test sees on a machine of another architecture: inner loops are
// judged by their instructions. `fmla v0.4s, v1.4s, v2.s[1]` multiplies by an element of v2; `dup`
// and `ld1r` fill a vector with it first and take the place of a product.
#include <algorithm>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <sinter/error.h>

#include "compiler/compile.h"
#include "compiler/pipeline.h"
#include "ir/text/text.h"

namespace sinter::compiler {

namespace {

struct Loop {
  std::string function;
  std::vector<std::string> lines;

  std::string text() const { return fmt::format("{}:\n{}\n", function, fmt::join(lines, "\n")); }
  static std::string instruction(const std::string& line) { return line.substr(0, line.find(' ')); }
  template <class Is>
  int count(const Is& is) const {
    return static_cast<int>(std::count_if(lines.begin(), lines.end(), is));
  }
  int of(const std::string& name) const {
    return count([&](const std::string& line) { return instruction(line) == name; });
  }
  int with(const std::string& part) const {
    return count([&](const std::string& line) { return line.find(part) != std::string::npos; });
  }
  // Registers that are loaded.
  int loads() const {
    return count([](const auto& line) { return line[0] == 'l' && line[1] == 'd'; }) + of("ldp");
  }
  int by_element() const {
    return count([](const std::string& line) {
      return instruction(line) == "fmla" && line.find('[') != std::string::npos;
    });
  }
};

// Blocks that branch back to their own label.
std::vector<Loop> loops_of(const std::string& assembly) {
  std::vector<Loop> out;
  Loop block;
  std::string label;
  std::istringstream in(assembly);
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (line[0] != '\t') {
      label = line.substr(0, line.find(':'));
      if (label[0] != '.') block.function = label;
      block.lines.clear();
      continue;
    }
    line.erase(0, 1);
    if (line[0] == '.') continue;
    std::replace(line.begin(), line.end(), '\t', ' ');
    block.lines.push_back(line);
    if (line[0] == 'b' && line.substr(line.rfind(' ') + 1) == label) out.push_back(block);
  }
  return out;
}

// Inner loops of @f; none where this LLVM cannot generate them.
std::optional<std::vector<Loop>> neon_loops(const std::string& text, int64_t max_batch) {
  ir::Module module = ir::parse(text);
  const Options options{
      .max_batch = max_batch, .cpu = "neoverse-n1", .triple = "aarch64-linux-gnu"};
  run_pipeline(module, options);
  try {
    return loops_of(code_text(module, "f", options).assembly);
  } catch (const Error& e) {
    if (e.message().find("no code generator") == std::string::npos) throw;
    WARN("skipped: " << e.message());
    return std::nullopt;
  }
}

// The longest loop of the function whose name begins so.
Loop longest(const std::vector<Loop>& loops, const std::string& name) {
  Loop out;
  for (const Loop& loop : loops) {
    const bool named = loop.function.compare(0, name.size(), name) == 0;
    if (named && loop.lines.size() > out.lines.size()) out = loop;
  }
  INFO("no loop of " << name);
  REQUIRE_FALSE(out.lines.empty());
  return out;
}

// x W^T, dY W, and dY^T X with the update of W.
std::string products(int64_t in, int64_t out, const char* dtype) {
  return fmt::format(R"(global @w : {2}[{1}, {0}]
func @f(%x: {2}[n, {0}], %dy: {2}[n, {1}], %lr: {2}[]) {{
  %y = contraction %x, @w {{a = [1], b = [1]}} : {2}[n, {1}]
  %dx = contraction %dy, @w {{a = [1], b = [0]}} : {2}[n, {0}]
  %dw = contraction %dy, %x {{a = [0], b = [0]}} : {2}[{1}, {0}]
  %u = mul %lr, %dw : {2}[{1}, {0}]
  %next = sub @w, %u : {2}[{1}, {0}]
  assign @w, %next
  return %y, %dx
}}
)",
                     in, out, dtype);
}

void check_tile(const Loop& tile, double loads_per_product) {
  INFO(tile.text());
  // Two steps along the depth of 24 products each.
  CHECK(tile.of("fmla") == 48);
  CHECK(tile.by_element() == 48);
  CHECK(tile.loads() <= loads_per_product * 48);
  // What is not a product or a load: the counter, the pointers and the branch.
  CHECK(tile.lines.size() <= 48 + static_cast<size_t>(tile.loads()) + 8);
}

}  // namespace

TEST_CASE("neon tiles multiply by elements, from registers alone") {
  for (const char* dtype : {"f32", "f64"}) {
    const auto loops = neon_loops(products(256, 256, dtype), 128);
    if (!loops) return;
    int tiles = 0;
    for (const Loop& loop : *loops) {
      if (loop.function.compare(0, 5, "tile_") != 0) continue;
      ++tiles;
      INFO(loop.text());
      CHECK(loop.of("fmla") > 0);
      CHECK(loop.by_element() == loop.of("fmla"));
      CHECK(loop.with("[sp") == 0);
      CHECK(loop.of("dup") == 0);
      CHECK(loop.of("ld1r") == 0);
    }
    CHECK(tiles >= 6);
  }
}

TEST_CASE("full neon tiles have 24 sums and few loads") {
  const auto near = neon_loops(products(256, 256, "f32"), 128);
  if (!near) return;
  // 4 vectors of the panel, and 6 factors alone or as two vectors of rows.
  check_tile(longest(*near, "tile_6x4x4_f32_any_1"), 10.0 / 24);
  check_tile(longest(*near, "tile_6x4x4_f32_1_any"), 6.0 / 24);
  // 2 vectors of the panel, and 12 factors alone or as three vectors.
  const auto far = neon_loops(products(1024, 1024, "f32"), 1024);
  check_tile(longest(*far, "tile_12x2x4_f32_any_1"), 14.0 / 24);
  check_tile(longest(*far, "tile_12x2x4_f32_1_any"), 5.0 / 24);
}

TEST_CASE("a neon update of Adam keeps to registers") {
  const auto loops = neon_loops(R"(global @w : f32[4096]
global @m : f32[4096]
global @v : f32[4096]
func @f(%g: f32[4096], %lr: f32[], %beta1: f32[], %beta2: f32[], %epsilon: f32[]) {
  %m1 = sub %g, @m : f32[4096]
  %m2 = mul %beta1, %m1 : f32[4096]
  %m3 = add @m, %m2 : f32[4096]
  %g2 = mul %g, %g : f32[4096]
  %v1 = sub %g2, @v : f32[4096]
  %v2 = mul %beta2, %v1 : f32[4096]
  %v3 = add @v, %v2 : f32[4096]
  %root = sqrt %v3 : f32[4096]
  %below = add %root, %epsilon : f32[4096]
  %ratio = div %m3, %below : f32[4096]
  %change = mul %lr, %ratio : f32[4096]
  %next = sub @w, %change : f32[4096]
  assign @w, %next
  assign @m, %m3
  assign @v, %v3
  return
}
)",
                                1);
  if (!loops) return;
  const Loop update = longest(*loops, "f.k0");
  INFO(update.text());
  const int vectors = update.of("fsqrt");
  CHECK(vectors == 4);
  CHECK(update.of("fdiv") == vectors);
  CHECK(update.loads() == 4 * vectors);
  CHECK(update.with("[sp") == 0);
  CHECK(update.of("dup") + update.of("ld1r") == 0);
}

}  // namespace sinter::compiler
