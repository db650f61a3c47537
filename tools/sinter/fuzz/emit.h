// Programs for checkers outside of this project: text, inputs, and what rounding allows.
#pragma once

#include <cstdint>
#include <string>

namespace sinter::fuzz {

// Writes the program of a seed into `folder`: SEED.sir, SEED.in/NAME.npy for each argument and
// global, and SEED.bound/ with one array for each result (result0.npy, ...) and each updated
// global: how far an element may be from the exact one. False if it is undefined on its inputs.
bool emit_program(uint64_t seed, const std::string& folder);

}  // namespace sinter::fuzz
