// Parses broken variants of the golden files, 2000 or as many as asked for: each must end in a
// module that prints and parses back, or in an Error with line, column and a fix; never in a crash
// or an InternalError.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include <fmt/core.h>

#include <sinter/error.h>

#include "ir/text/text.h"
#include "tests/golden/mutate.h"

namespace {

// What is wrong with the parser's answer to `text`; empty if nothing is. Counts texts that it
// takes.
std::string complaint(const std::string& text, int& modules) {
  try {
    const std::string printed = sinter::ir::print(sinter::ir::parse(text));
    ++modules;
    return sinter::ir::print(sinter::ir::parse(printed)) == printed ? "" : "prints unstably";
  } catch (const sinter::Error& e) {
    if (!e.loc() || !e.loc()->known()) return fmt::format("no place in: {}", e.what());
    if (std::string_view(e.what()).find("^ column ") == std::string_view::npos) {
      return fmt::format("no column in: {}", e.what());
    }
    if (e.help_text().empty()) return fmt::format("no fix in: {}", e.what());
    return "";
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    fmt::print(stderr, "usage: mutate_goldens FOLDER [COUNT] [SEED]\n");
    return 2;
  }
  const int count = argc > 2 ? std::atoi(argv[2]) : 2000;
  const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  if (count < 1) {
    fmt::print(stderr, "COUNT is {}, not a positive number\n", argv[2]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[1])) {
    if (entry.path().extension() == ".sir") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> seeds;
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    seeds.push_back(text.substr(0, text.find("// ----\n")));
  }
  if (seeds.empty()) {
    fmt::print(stderr, "{} holds no .sir files\n", argv[1]);
    return 2;
  }
  sinter::golden::Mutator mutator(std::move(seeds), seed);
  int modules = 0;
  for (int i = 0; i < count; ++i) {
    const std::string text = mutator.next();
    const std::string found = complaint(text, modules);
    if (found.empty()) continue;
    fmt::print("variant {} of seed {}: {}\n----\n{}\n", i, seed, found, text);
    return 1;
  }
  fmt::print("{} variants, {} of them modules, the others refused with a place and a fix\n", count,
             modules);
  return 0;
}
