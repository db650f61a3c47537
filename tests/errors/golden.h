// Compares the message of a user's mistake with golden/<name>.txt. SINTER_UPDATE_GOLDENS=1 writes
// the file instead; the diff is what gets reviewed.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>

#include <catch2/catch.hpp>

#include <sinter/error.h>

namespace errors {

// Line numbers and folders change with every edit; what stays is that there is a line.
inline std::string normalized(std::string text) {
  text = std::regex_replace(text, std::regex(R"((\w+\.cpp):\d+)"), "$1:LINE");
  const std::string folder = std::filesystem::temp_directory_path().string();
  for (size_t at = text.find(folder); at != std::string::npos; at = text.find(folder, at)) {
    text.replace(at, folder.size(), "TMP");
  }
  return text + "\n";
}

inline void compare(const std::string& name, const std::string& message) {
  const std::string path = std::string(SINTER_GOLDEN_DIR) + "/" + name + ".txt";
  const std::string got = normalized(message);
  const char* update = std::getenv("SINTER_UPDATE_GOLDENS");
  if (update != nullptr && std::string(update) == "1") {
    std::ofstream(path) << got;
    return;
  }
  std::ifstream file(path);
  INFO("golden/" << name << ".txt; SINTER_UPDATE_GOLDENS=1 rewrites it");
  REQUIRE(file);
  std::stringstream expected;
  expected << file.rdbuf();
  CHECK(got == expected.str());
}

// Runs the mistake. It must throw Error, with one fix, and with the user's line if `has_line`.
template <class F>
void check(const std::string& name, bool has_line, F mistake) {
  INFO(name);
  try {
    mistake();
  } catch (const sinter::Error& error) {
    CHECK(!error.help_text().empty());
    CHECK(error.message().back() != '.');
    if (has_line) {
      REQUIRE(error.loc());
      CHECK(error.loc()->base_name().ends_with("mistakes_test.cpp"));
    }
    compare(name, error.what());
    return;
  }
  FAIL("no error: " << name);
}

}  // namespace errors
