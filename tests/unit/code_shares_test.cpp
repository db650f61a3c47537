// The code of a function is compiled in shares, by a thread each: together they have every function
// once, whichever share it falls to, and kernels that are alike have one body.
#include <map>
#include <sstream>
#include <string>

#include <catch2/catch.hpp>

#include "compiler/compile.h"
#include "ir/text/text.h"
#include "tests/unit/module_run.h"

namespace sinter::compiler {

namespace {

// Three equal layers, one of another width and a head: kernels with twins and without, which use
// the same tiles.
constexpr const char* net = R"(global @w : f32[96, 96]
global @v : f32[96, 96]
global @u : f32[96, 96]
global @wide : f32[160, 96]
global @head : f32[10, 160]
func @f(%x: f32[n, 96]) {
  %a = contraction %x, @w {a = [1], b = [1]} : f32[n, 96]
  %b = relu %a : f32[n, 96]
  %c = contraction %b, @v {a = [1], b = [1]} : f32[n, 96]
  %d = relu %c : f32[n, 96]
  %e = contraction %d, @u {a = [1], b = [1]} : f32[n, 96]
  %g = relu %e : f32[n, 96]
  %h = contraction %g, @wide {a = [1], b = [1]} : f32[n, 160]
  %i = relu %h : f32[n, 160]
  %y = contraction %i, @head {a = [1], b = [1]} : f32[n, 10]
  return %y
}
)";

// How often each function, and each constant that others can see, is defined in LLVM's text.
std::map<std::string, int> definitions(const std::string& llvm_ir) {
  std::map<std::string, int> out;
  std::istringstream lines(llvm_ir);
  for (std::string line; std::getline(lines, line);) {
    const bool constant = line.starts_with("@") && line.find(" = constant") != std::string::npos;
    if (!line.starts_with("define ") && !constant) continue;
    const size_t at = line.find('@');
    ++out[line.substr(at, line.find(constant ? ' ' : '(', at) - at)];
  }
  return out;
}

}  // namespace

TEST_CASE("shares of code have every function once") {
  const ir::Module module = ir::parse(net);
  const auto code = compile(module, "f", {.max_batch = 64, .threads = 1, .keep_code_text = true});
  const std::map<std::string, int> defined = definitions(code->llvm_ir());
  int bodies = 0, kernels = 0, tiles = 0;
  for (const auto& [name, count] : defined) {
    INFO(name);
    CHECK(count == 1);
    const bool of_kernel = name.find("@f.k") == 0, description = name.ends_with(".kernel");
    bodies += of_kernel && !description ? 1 : 0;
    kernels += of_kernel && description ? 1 : 0;
    tiles += name.find("@tile_") == 0 ? 1 : 0;
  }
  CHECK(defined.count("@f") == 1);
  CHECK(kernels == 5);
  CHECK(bodies < kernels);
  CHECK(bodies >= 3);
  CHECK(tiles > 0);
}

TEST_CASE("code in shares computes what the interpreter does") {
  const ir::Module module = ir::parse(net);
  for (int64_t n : {64, 7}) CHECK(difference_on_threads(module, 64, n, {}) == "");
}

}  // namespace sinter::compiler
