// Writes the parts that are compiled when Sinter is: an object file for each level, and a source
// with the table of what they hold (product/ready_parts.h).
//
//   sinter_make_parts FOLDER    FOLDER/parts_x86-64-v4.o, ..., FOLDER/part_table.cpp
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/raw_ostream.h>

#include <sinter/error.h>

#include "compiler/llvm/product/product_parts.h"
#include "compiler/llvm/product/ready_parts.h"
#include "compiler/llvm/target.h"

namespace sinter::compiler {

namespace {

void check(const std::error_code& error, const std::string& path) {
  if (error) throw Error(fmt::format("cannot write {}: {}", path, error.message()));
}

// Writes one object file and returns the names of the parts in it.
std::vector<std::string> write_object(const PartLevel& level, const std::string& path) {
  const Target target = make_target(level.cpu, "");
  SINTER_CHECK(target.vector_bytes == level.vector_bytes && target.fma == level.fma,
               "{} is not what the table says", level.cpu);
  llvm::LLVMContext context;
  llvm::Module module(level.cpu, context);
  module.setDataLayout(target.machine->createDataLayout());
  module.setTargetTriple(target.machine->getTargetTriple().str());
  ProductParts parts(module, target, {});
  std::vector<llvm::Function*> functions;
  for (const ProductTile& tile : usual_tiles(target)) functions.push_back(parts.get(tile));
  for (const PanelPacker& packer : usual_packers(target)) functions.push_back(parts.get(packer));
  std::vector<std::string> names;
  for (llvm::Function* f : functions) {
    names.push_back(f->getName().str());
    f->setName("sinter_" + names.back());
    f->setLinkage(llvm::GlobalValue::ExternalLinkage);
  }
  use_whole_vectors(module, target);

  std::error_code error;
  llvm::raw_fd_ostream file(path, error);
  check(error, path);
  llvm::legacy::PassManager passes;
  const bool refused =
      target.machine->addPassesToEmitFile(passes, file, nullptr, llvm::CodeGenFileType::ObjectFile);
  SINTER_CHECK(!refused, "the target cannot write object files");
  passes.run(module);
  file.close();
  check(file.error(), path);
  return names;
}

void write_all(const std::string& folder) {
  std::string declarations, rows;
  size_t count = 0;
  for (size_t i = 0; i < part_levels().size(); ++i) {
    const PartLevel& level = part_levels()[i];
    for (const std::string& name :
         write_object(level, fmt::format("{}/parts_{}.o", folder, level.cpu))) {
      declarations += fmt::format("void sinter_{}();\n", name);
      rows += fmt::format("    {{\"{0}\", {1}, sinter_{0}}},\n", name, i);
      ++count;
    }
  }
  const std::string path = folder + "/part_table.cpp";
  std::error_code error;
  llvm::raw_fd_ostream file(path, error);
  check(error, path);
  file << fmt::format(R"(// Written by sinter_make_parts.
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
                      declarations, count, rows);
  file.close();
  check(file.error(), path);
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
