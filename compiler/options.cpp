#include "compiler/options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>

#include <sinter/error.h>

#include "compiler/pipeline.h"

namespace sinter::compiler {

namespace {

constexpr int kMaxThreads = 4096;

// The value of an environment variable; empty where it is not set.
std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? std::string_view(value) : std::string_view();
}

Error meaningless(const char* name, std::string_view value, std::string help) {
  return Error(fmt::format("{}={} has no meaning", name, value)).help(std::move(help));
}

bool flag(const char* name, bool otherwise) {
  const std::string_view value = variable(name);
  if (value.empty()) return otherwise;
  if (value == "0") return false;
  if (value == "1") return true;
  throw meaningless(name, value, fmt::format("set {} to 0 or 1", name));
}

int thread_count(const char* name) {
  const std::string_view value = variable(name);
  if (value.empty()) return 0;
  int count = -1;
  const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), count);
  if (failure != std::errc() || end != value.data() + value.size() || count < 0 ||
      count > kMaxThreads) {
    throw meaningless(name, value,
                      fmt::format("set {} to a number of threads from 1 to {}, or to 0 "
                                  "for what is quickest",
                                  name, kMaxThreads));
  }
  return count;
}

std::vector<std::string> passes_off(const char* name) {
  std::vector<std::string> out;
  std::vector<std::string_view> possible;
  for (const Pass& pass : passes()) {
    if (!pass.required) possible.push_back(pass.name);
  }
  std::string_view rest = variable(name);
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view one = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    if (one.empty()) continue;
    if (std::find(possible.begin(), possible.end(), one) == possible.end()) {
      throw meaningless(
          name, variable(name),
          fmt::format("{} lists passes that can be left out: {}", name, fmt::join(possible, ", ")))
          .note(find_pass(one) ? fmt::format("the pass {} is always needed", one)
                               : fmt::format("no pass is named {}", one));
    }
    out.emplace_back(one);
  }
  return out;
}

}  // namespace

Options Options::from_environment() {
  Options options;
  options.dump_dir = variable("SINTER_DUMP");
  options.keep_code_text = !options.dump_dir.empty();
  options.interpret = !flag("SINTER_JIT", true);
  options.threads = thread_count("SINTER_THREADS");
  options.time = flag("SINTER_TIME", false);
  options.off = passes_off("SINTER_OFF");
  options.perf_map = flag("SINTER_PERF", false);
  return options;
}

}  // namespace sinter::compiler
