// Compiled code as the system and its tools see it: pages, and names for debuggers and profilers.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>
#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include "compiler/compile.h"
#include "ir/text/text.h"

namespace sinter::compiler {

namespace {

std::unique_ptr<Executable> compiled(const std::string& name, bool perf_map = false) {
  const std::string text = "func @" + name + R"((%x: f32[n, 4]) {
  %0 = exp %x : f32[n, 4]
  %y = sum %0 {axes = [0]} : f32[4]
  return %y
})";
  return compile(ir::parse(text), name, {.max_batch = 8, .perf_map = perf_map});
}

}  // namespace

TEST_CASE("no page is both writable and executable", "[native]") {
  const auto executable = compiled("pages");
  const auto kernel = reinterpret_cast<uintptr_t>(executable->kernels().at(0).code->body);
  std::ifstream maps("/proc/self/maps");
  std::string line;
  bool found = false;
  while (std::getline(maps, line)) {
    unsigned long long from = 0, to = 0;
    char mode[5] = {};
    INFO(line);
    REQUIRE(std::sscanf(line.c_str(), "%llx-%llx %4s", &from, &to, mode) == 3);
    CHECK_FALSE((mode[1] == 'w' && mode[2] == 'x'));
    if (from <= kernel && kernel < to) {
      found = true;
      CHECK(std::string_view(mode, 3) == "r-x");
    }
  }
  CHECK(found);
}

TEST_CASE("perf finds the names of kernels", "[native]") {
  const std::string path = fmt::format("/tmp/perf-{}.map", getpid());
  std::remove(path.c_str());
  const auto unlisted = compiled("unlisted");
  CHECK_FALSE(std::ifstream(path).is_open());

  const auto executable = compiled("listed", true);
  const CompiledKernel kernel = executable->kernels().at(0);
  std::ifstream file(path);
  std::string line;
  bool kernel_found = false, step_found = false;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    uintptr_t address = 0;
    size_t size = 0;
    std::string name;
    REQUIRE(fields >> std::hex >> address >> size >> name);
    CHECK(size > 0);
    step_found |= name == "listed";
    if (name != kernel.symbol) continue;
    kernel_found = true;
    CHECK(address == reinterpret_cast<uintptr_t>(kernel.code->body));
  }
  CHECK(kernel_found);
  CHECK(step_found);
  std::remove(path.c_str());
}

TEST_CASE("GDB finds the names of kernels", "[native]") {
  // https://sourceware.org/gdb/current/onlinedocs/gdb.html/Declarations.html
  struct Entry {
    Entry *next, *previous;
    const char* symbol_file;
    uint64_t size;
  };
  struct Descriptor {
    uint32_t version, action;
    Entry *relevant, *first;
  };
  const auto* descriptor =
      static_cast<const Descriptor*>(dlsym(RTLD_DEFAULT, "__jit_debug_descriptor"));
  REQUIRE(descriptor);
  const auto listed = [&](const std::string& symbol) {
    for (const Entry* entry = descriptor->first; entry; entry = entry->next) {
      if (std::string_view(entry->symbol_file, entry->size).find(symbol) != std::string::npos) {
        return true;
      }
    }
    return false;
  };
  auto executable = compiled("debugged");
  const std::string symbol = executable->kernels().at(0).symbol;
  CHECK(symbol.find("debugged.k0_") == 0);
  CHECK(listed(symbol));
  executable.reset();
  CHECK_FALSE(listed(symbol));
}

}  // namespace sinter::compiler
