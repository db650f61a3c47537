// Parses 2000 broken variants of the golden files: each must end in a module that prints and parses
// back, or in an Error with a place and a fix; never in a crash or an InternalError.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/core.h>

#include <sinter/error.h>

#include "ir/text.h"
#include "tests/golden/mutate.h"

namespace {

// What is wrong with the parser's answer to `text`; empty if nothing is.
std::string complaint(const std::string& text) {
  try {
    const std::string printed = sinter::ir::print(sinter::ir::parse(text));
    return sinter::ir::print(sinter::ir::parse(printed)) == printed ? "" : "prints unstably";
  } catch (const sinter::Error& e) {
    if (!e.loc() || !e.loc()->known()) return fmt::format("no place in: {}", e.what());
    if (e.help_text().empty()) return fmt::format("no fix in: {}", e.what());
    return "";
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: mutate_goldens FOLDER\n");
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
  sinter::golden::Mutator mutator(std::move(seeds), 1);
  for (int i = 0; i < 2000; ++i) {
    const std::string text = mutator.next();
    const std::string found = complaint(text);
    if (found.empty()) continue;
    fmt::print("variant {}: {}\n----\n{}\n", i, found, text);
    return 1;
  }
  return 0;
}
