// Random training programs: forward, loss, backward, optimizer.
#pragma once

#include <cstdint>
#include <functional>

#include "tools/sinter/fuzz/sample_op.h"
#include "tools/sinter/fuzz/trial.h"

namespace sinter::fuzz {

// Adds something to a program between its forward part and its loss; what it returns joins the
// loss.
using Extra = std::function<std::vector<ir::ValueId>(Growth&)>;

// The trial of a seed: program, inputs, options. The same seed gives the same trial on every
// machine that can run the same processors' code.
Trial make_trial(uint64_t seed);
// The same, with a part in the middle that the caller adds.
Trial make_trial(uint64_t seed, const Extra& extra);

}  // namespace sinter::fuzz
