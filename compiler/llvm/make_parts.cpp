// Writes the parts that are compiled when Sinter is: an object file, and a source with the table of
// what it holds (product/ready_parts.h).
//
//   sinter_make_parts FOLDER    FOLDER/parts.o, FOLDER/part_table.cpp
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/raw_ostream.h>

#include <sinter/error.h>

#include "compiler/llvm/product/product_parts.h"
#include "compiler/llvm/product/ready_parts.h"
#include "compiler/llvm/target.h"

namespace sinter::compiler {

namespace {

void write_file(const std::string& path, llvm::StringRef bytes) {
  std::error_code error;
  llvm::raw_fd_ostream file(path, error);
  file << bytes;
  file.close();
  if (!error) error = file.error();
  if (error) throw Error(fmt::format("cannot write {}: {}", path, error.message()));
}

// Adds the parts of one level to a module and returns their names.
std::vector<std::string> add_parts(llvm::Module& out, const PartLevel& level) {
  const Target target = make_target(level.cpu, "");
  SINTER_CHECK(target.vector_bytes == level.vector_bytes && target.fma == level.fma,
               "{} is not what the table says", level.cpu);
  ProductParts parts(out, target, {});
  std::vector<llvm::Function*> functions;
  for (const ProductTile& tile : usual_tiles(target)) functions.push_back(parts.get(tile));
  for (const PanelPacker& packer : usual_packers(target)) functions.push_back(parts.get(packer));
  std::vector<std::string> names;
  for (llvm::Function* f : functions) {
    names.push_back(f->getName().str());
    f->setName("sinter_" + names.back());
    f->setLinkage(llvm::GlobalValue::ExternalLinkage);
    f->addFnAttr("target-cpu", level.cpu);
    use_whole_vectors(*f, target);
  }
  return names;
}

void write_all(const std::string& folder) {
  // A machine with no features of this processor: functions name the level that they are for.
  const std::span<const PartLevel> levels = part_levels();
  const Target plain = make_target(levels.empty() ? "" : levels.back().cpu, "");
  llvm::LLVMContext context;
  const auto module = make_module("parts", context, plain);
  std::string declarations, rows;
  size_t count = 0;
  for (size_t i = 0; i < levels.size(); ++i) {
    for (const std::string& name : add_parts(*module, levels[i])) {
      declarations += fmt::format("void sinter_{}();\n", name);
      rows += fmt::format("    {{\"{0}\", {1}, sinter_{0}}},\n", name, i);
      ++count;
    }
  }
  const auto object = compiled(plain, *module, llvm::CodeGenFileType::ObjectFile);
  write_file(folder + "/parts.o", {object.data(), object.size()});
  write_file(folder + "/part_table.cpp", fmt::format(R"(// Written by sinter_make_parts.
#include <array>

#include "compiler/llvm/product/ready_parts.h"

extern "C" {{
{}}}

namespace sinter::compiler {{

std::span<const ReadyPart> ready_parts() {{
  static constexpr std::array<ReadyPart, {}> parts{{{{
{}  }}}};
  return parts;
}}

}}  // namespace sinter::compiler
)",
                                                     declarations, count, rows));
}

}  // namespace

}  // namespace sinter::compiler

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: sinter_make_parts FOLDER\n", stderr);
    return 2;
  }
  try {
    sinter::compiler::write_all(argv[1]);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
