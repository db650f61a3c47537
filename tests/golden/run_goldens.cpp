// Runs golden files: text that the compiler's output must equal.
//
// A file is the module, then a line `// ----`, then the expected output or error. Its first line
// says what to do:
//
//   // RUN: --parse                       parses (and so verifies) and prints
//   // RUN: --verify                      parses without the verifier, then runs it
//   // RUN: --passes=simplify,dce         runs these passes
//   // RUN: --stage=fuse                  runs the pipeline up to and including this pass
//
// with --max-batch=B (16 if not given) and --off=pass,pass after it. Every module that comes out
// must also parse back to an equal one.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include <fmt/core.h>
#include <fmt/format.h>

#include <sinter/error.h>

#include "compiler/pipeline.h"
#include "ir/text/parse.h"
#include "ir/text/text.h"
#include "ir/verify.h"
#include "tests/golden/line_diff.h"

namespace sinter::golden {

namespace fs = std::filesystem;

constexpr std::string_view separator = "// ----\n";

struct Golden {
  std::string input;  // with the RUN line, so that line numbers are those of the file
  std::string expected;
  bool has_expected = false;
};

struct Request {
  enum class Mode { parse, verify, passes } mode = Mode::parse;
  std::vector<const compiler::Pass*> passes;
  compiler::Options options;
};

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error("cannot read {}", path.string()).help("check the path");
  return {std::istreambuf_iterator<char>(in), {}};
}

Golden split(std::string text) {
  size_t at = text.find(separator);
  while (at != std::string::npos && at > 0 && text[at - 1] != '\n') {
    at = text.find(separator, at + 1);
  }
  if (at == std::string::npos) {
    if (!text.empty() && text.back() != '\n') text += '\n';
    return {std::move(text), "", false};
  }
  return {text.substr(0, at), text.substr(at + separator.size()), true};
}

std::vector<std::string> split_names(std::string_view list) {
  std::vector<std::string> names;
  std::istringstream in{std::string(list)};
  for (std::string name; std::getline(in, name, ',');) names.push_back(name);
  return names;
}

const compiler::Pass* pass_named(const std::string& name) {
  const compiler::Pass* pass = compiler::find_pass(name);
  if (!pass) throw Error("no pass is named \"{}\"", name).help("correct the RUN line");
  return pass;
}

Request request_of(const std::string& input) {
  constexpr std::string_view opening = "// RUN: ";
  if (input.rfind(opening, 0) != 0) {
    throw Error("the file does not begin with \"{}\"", opening)
        .help("say what to do, as in // RUN: --passes=fuse");
  }
  Request request;
  request.options.max_batch = 16;
  std::istringstream words(input.substr(opening.size(), input.find('\n') - opening.size()));
  std::string stage;
  for (std::string word; words >> word;) {
    const size_t equals = std::min(word.find('='), word.size());
    const std::string name = word.substr(0, equals);
    const std::string value = equals < word.size() ? word.substr(equals + 1) : "";
    if (name == "--parse") {
      request.mode = Request::Mode::parse;
    } else if (name == "--verify") {
      request.mode = Request::Mode::verify;
    } else if (name == "--passes") {
      request.mode = Request::Mode::passes;
      for (const std::string& pass : split_names(value)) request.passes.push_back(pass_named(pass));
    } else if (name == "--stage") {
      request.mode = Request::Mode::passes;
      stage = pass_named(value)->name;
    } else if (name == "--max-batch") {
      request.options.max_batch = std::stoll(value);
    } else if (name == "--off") {
      request.options.off = split_names(value);
    } else {
      throw Error("unknown option {} in the RUN line", word).help("see the top of run_goldens.cpp");
    }
  }
  for (const compiler::Pass& pass : compiler::passes()) {
    if (stage.empty()) break;
    const auto& off = request.options.off;
    const bool skipped = std::find(off.begin(), off.end(), pass.name) != off.end();
    if (pass.required || !skipped) request.passes.push_back(&pass);
    if (pass.name == stage) break;
  }
  return request;
}

std::string output_of(const fs::path& path, const std::string& input) {
  const Request request = request_of(input);
  const std::string file = path.filename().string();
  ir::Module module;
  try {
    if (request.mode == Request::Mode::verify) {
      module = ir::parse_unverified(input, file);
      ir::verify(module);
    } else {
      module = ir::parse(input, file);
      compiler::run_passes(module, request.passes, request.options);
    }
  } catch (const Error& e) {
    return fmt::format("{}\n", e.what());
  }
  const std::string text = ir::print(module);
  if (!ir::equal(module, ir::parse(text, file))) {
    throw Error("the output does not parse back to an equal module")
        .note(text)
        .help("look for what printer and parser treat differently");
  }
  return text;
}

// Whether the file passes; with `update` its expected part is rewritten.
bool run(const fs::path& path, bool update) {
  const Golden golden = split(read(path));
  const std::string actual = output_of(path, golden.input);
  if (golden.has_expected && actual == golden.expected) return true;
  if (update) {
    std::ofstream out(path, std::ios::binary);
    out << golden.input << separator << actual;
    out.close();
    if (!out) throw Error("cannot write {}", path.string()).help("check its permissions");
    fmt::print("{}: updated\n", path.string());
    return true;
  }
  fmt::print("{}: {} (- expected, + actual)\n{}\n", path.string(),
             golden.has_expected ? "the output differs" : "no expected part",
             line_diff(golden.expected, actual));
  return false;
}

std::vector<fs::path> files_of(const std::vector<std::string>& places) {
  std::vector<fs::path> files;
  for (const std::string& place : places) {
    if (!fs::is_directory(place)) {
      files.emplace_back(place);
      continue;
    }
    for (const auto& entry : fs::recursive_directory_iterator(place)) {
      if (entry.path().extension() == ".sir") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

int main(const std::vector<std::string>& arguments) {
  const char* variable = std::getenv("SINTER_UPDATE_GOLDENS");
  bool update = variable && std::string_view(variable) == "1";
  std::vector<std::string> places;
  for (const std::string& argument : arguments) {
    if (argument == "--update") {
      update = true;
    } else {
      places.push_back(argument);
    }
  }
  const std::vector<fs::path> files = files_of(places);
  if (files.empty()) {
    fmt::print(stderr,
               "usage: run_goldens [--update] FOLDER_OR_FILE...\n"
               "no golden files found; SINTER_UPDATE_GOLDENS=1 means --update\n");
    return 2;
  }
  size_t failed = 0;
  for (const fs::path& file : files) {
    try {
      if (!run(file, update)) ++failed;
    } catch (const std::exception& e) {
      fmt::print("{}: {}\n\n", file.string(), e.what());
      ++failed;
    }
  }
  fmt::print("{} golden files, {} failed\n", files.size(), failed);
  if (failed > 0) fmt::print("if the change is meant, run again with SINTER_UPDATE_GOLDENS=1\n");
  return failed == 0 ? 0 : 1;
}

}  // namespace sinter::golden

int main(int argc, char** argv) {
  return sinter::golden::main(std::vector<std::string>(argv + 1, argv + argc));
}
