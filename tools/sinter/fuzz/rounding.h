// How far apart two right answers may lie. The reference is the f64 interpreter. Its bound comes
// from running the program again with every result of every op moved at random by a few of the
// roundings that compiled code may make there (stochastic arithmetic: Vignes, "Discrete stochastic
// arithmetic for validating results of numerical software", Numerical Algorithms 37, 2004): what
// those runs disagree about is what rounding can change. Ill-conditioned programs get a wide bound
// where they are ill-conditioned and only there; a comparison that rounding may flip makes both of
// its branches acceptable; where all runs agree, so must compiled code, to a few units in the last
// place.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/eval.h"
#include "ir/graph.h"
#include "tools/sinter/fuzz/random.h"

namespace sinter::fuzz {

using Arrays = std::vector<ir::Array<double>>;

struct Outcome {
  Arrays values;  // results of the function, then all globals of the module as they are after it
  Arrays ops;     // what each op gave, by the index of its result
};

// Runs `func` of a module without gradients, composites, or kernels (differentiated and expanded).
// Throws Error where the program is undefined, as for an index outside a table.
Outcome run_reference(const ir::Module& module, const ir::Func& func, const Arrays& args,
                      const Arrays& globals, int64_t n);

// One of the perturbed runs, beside the exact one. In every second of them, numbers that rounding
// cannot tell from 0 become 0, and operands of `equal` that it cannot tell apart are equal.
Outcome run_perturbed(const ir::Module& module, const ir::Func& func, const Arrays& args,
                      const Arrays& globals, int64_t n, const Outcome& exact, Random& random);

// What may differ from the reference, element by element.
class Bound {
 public:
  explicit Bound(const Outcome& reference);
  // Takes a perturbed run into account.
  void widen(const Outcome& perturbed);

  // Whether `actual` is a right answer for element `at` of value `which`.
  bool allows(size_t which, size_t at, const ir::Array<double>& actual) const;
  // How far floats may be apart there; infinite where anything is right.
  double tolerance(size_t which, size_t at) const;
  // Whether it is narrow enough there for a wrong answer to show: within 1 % of the largest
  // element.
  bool is_tight(size_t which, size_t at) const;
  const ir::Array<double>& reference(size_t which) const { return reference_->values[which]; }

 private:
  const Outcome* reference_;
  std::vector<std::vector<double>> spread_;  // largest difference seen, by value and element
  std::vector<double> largest_;              // element of each value
};

// Roundings of one operation of this dtype, relative: half a unit in the last place.
double unit_roundoff(DType dtype);

}  // namespace sinter::fuzz
