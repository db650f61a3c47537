// Files for people: one numbered file for each stage of a compilation, and reproducers.
#pragma once

#include <string>
#include <string_view>

#include "ir/graph.h"

namespace sinter::compiler {

// What a module is called in file names: after its function, or after the first of several.
std::string dump_prefix(const ir::Module& module);

// Writes `directory`/`prefix`.NN.`stage`.`extension`, making the directory first; Error where that
// cannot be.
void write_dump(const std::string& directory, std::string_view prefix, size_t number,
                std::string_view stage, std::string_view extension, std::string_view text);

// Writes a module and the command that runs `pass` on it; returns the path, or nothing where no
// file can be written: this is called while an error is on its way.
std::string write_reproducer(const std::string& directory, const ir::Module& before,
                             std::string_view pass);

}  // namespace sinter::compiler
