// Parts of products that were compiled when Sinter was: linked where a step needs them, and the
// same, bit for bit, as those that are compiled with it.
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "compiler/compile.h"
#include "ir/text/text.h"
#include "tests/unit/module_run.h"

namespace sinter::compiler {

namespace {

// A layer, the gradients of its inputs and its weight, and an update.
const char* const layer = R"(global @w : f32[100, 70]
func @f(%x: f32[n, 70], %dy: f32[n, 100]) {
  %z = contraction %x, @w {a = [1], b = [1]} : f32[n, 100]
  %y = relu %z : f32[n, 100]
  %dx = contraction %dy, @w {a = [1], b = [0]} : f32[n, 70]
  %dw = contraction %dy, %x {a = [0], b = [0]} : f32[100, 70]
  %w.next = sub @w, %dw : f32[100, 70]
  assign @w, %w.next
  return %y, %dx
}
)";
constexpr int64_t max_batch = 61;

// Functions that were compiled with `text` for this processor, by the list for `perf`.
std::string listed(const char* text, const std::string& cpu) {
  const std::string path = fmt::format("/tmp/perf-{}.map", getpid());
  std::remove(path.c_str());
  const auto code =
      compile(ir::parse(text), "f", {.max_batch = max_batch, .cpu = cpu, .perf_map = true});
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  std::remove(path.c_str());
  return out.str();
}

}  // namespace

TEST_CASE("what every layer has is ready, and compiled for a processor that is named", "[native]") {
  CHECK(listed(layer, "").find("f.k0_contraction_relu") != std::string::npos);
#if defined(__x86_64__)
  CHECK(listed(layer, "").find(" tile_") == std::string::npos);
  CHECK(listed(layer, "").find(" pack_across_") == std::string::npos);
  CHECK(listed(layer, "x86-64-v2").find(" tile_") != std::string::npos);
#endif
}

TEST_CASE("ready parts give the same bits as those that are compiled with a step", "[native]") {
  const ir::Module module = ir::parse(layer);
  const auto run = [&](bool keep_text, int64_t n) {
    const auto code =
        compile(module, "f", {.max_batch = max_batch, .threads = 1, .keep_code_text = keep_text});
    CHECK(code->assembly().empty() == !keep_text);
    return run_compiled(*code, module.funcs[0], module.globals,
                        inputs_for(module, n, static_cast<uint64_t>(n)), n);
  };
  // Whole tiles, every smaller one, and a row alone.
  for (int64_t n : {61, 48, 23, 1}) {
    INFO("n = " << n);
    CHECK(difference(run(false, n), run(true, n), 0) == "");
  }
}

}  // namespace sinter::compiler
