// Loss curves against stored ones: a program that computes something else may not be timed.
#pragma once

#include <string>

namespace sinter::bench {

// Trains every run of `folder` (laid out as tests/fixtures, with its weights and data) and prints
// how far losses and final weights are from the stored ones, with `losses` the first 20 losses too,
// as JSON in the form of jax_peer.py --weights. False if a run differs.
bool check_curves(const std::string& folder, bool losses, int threads);

}  // namespace sinter::bench
