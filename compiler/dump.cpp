#include "compiler/dump.h"

#include <cctype>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include <sinter/fnv.h>

#include "ir/text/text.h"

namespace sinter::compiler {

namespace {

bool write_text(const std::filesystem::path& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.close();
  return !out.fail();
}

}  // namespace

std::string dump_prefix(const ir::Module& module) {
  std::string prefix = module.funcs.empty() ? "module" : module.funcs.front().name;
  for (char& c : prefix) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  }
  return prefix;
}

void write_dump(const std::string& directory, std::string_view prefix, size_t number,
                std::string_view stage, std::string_view extension, std::string_view text) {
  std::error_code failure;
  std::filesystem::create_directories(directory, failure);
  const auto path = std::filesystem::path(directory) /
                    fmt::format("{}.{:02}.{}.{}", prefix, number, stage, extension);
  if (failure || !write_text(path, text)) {
    throw Error(fmt::format("cannot write the dump {}", path.string()))
        .note(failure ? failure.message() : std::string("the file cannot be opened for writing"))
        .help("name a directory that can be written, in SINTER_DUMP or options.dump_dir");
  }
}

std::string write_reproducer(const std::string& directory, const ir::Module& before,
                             std::string_view pass) {
  const std::string text = ir::print(before);
  const uint64_t hash = hash_bytes(text.data(), text.size(), hash_bytes(pass.data(), pass.size()));
  const std::string name = fmt::format("sinter-repro-{:08x}.sir", static_cast<uint32_t>(hash));
  std::error_code ignored;
  if (!directory.empty()) std::filesystem::create_directories(directory, ignored);
  const std::string path = (std::filesystem::path(directory) / name).string();
  const std::string head = fmt::format("// sinter opt {} --passes={}\n", path, pass);
  return write_text(path, head + text) ? path : std::string();
}

}  // namespace sinter::compiler
