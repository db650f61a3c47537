// Programs that must agree although they are written differently: a random program with one side of
// a law of arithmetic in its middle, and its twin with the other side. Forward values, gradients
// and updates of both must be the same up to rounding.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "tools/sinter/fuzz/judge.h"
#include "tools/sinter/fuzz/trial.h"

namespace sinter::fuzz {

struct Twins {
  std::string_view law;
  Trial left, right;
};

// The twins of a seed; nothing where its law does not fit its program.
std::optional<Twins> make_twins(uint64_t seed);

// Both compiled programs against their references, then the references against each other.
Verdict judge_twins(const Twins& twins);

// The names of all laws.
std::vector<std::string_view> laws();

}  // namespace sinter::fuzz
