// Makes a failing trial small: fewer results and ops, values replaced by inputs, smaller shapes and
// batches, fewer steps, plain options, as long as it fails in the same way.
#pragma once

#include <functional>

#include "tools/sinter/fuzz/judge.h"
#include "tools/sinter/fuzz/trial.h"

namespace sinter::fuzz {

// Judges a candidate.
using Judgement = std::function<Verdict(const Trial&)>;

struct Reduction {
  Trial trial;
  Verdict verdict;
  int tried = 0;  // candidates judged
};

struct ReductionBudget {
  int candidates = 600;
  double seconds = 120;
};

// `verdict` is the failure of `trial` by `judgement`. What comes back fails by it too.
Reduction reduce_trial(Trial trial, Verdict verdict, const Judgement& judgement,
                       const ReductionBudget& budget);

}  // namespace sinter::fuzz
