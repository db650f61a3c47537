#pragma once

#include <sinter/random.h>
#include <sinter/value.h>

namespace sinter {

/// In a training step each element becomes 0 with probability p, else x / (1 - p); anywhere else,
/// as in predict, evaluate and eval, the result is x. 0 <= p < 1; floats. Source: Srivastava et
/// al., "Dropout", JMLR 15 (2014), in the form that scales while training.
///
/// Which elements, is a function of the seed of the generator (the default one unless given), the
/// path of the module, the number of the step, and the place of the element: the same for any
/// number of threads. The step counts by itself, in the trainer's state.
Value dropout(const Operand& x, double p = 0.5);
Value dropout(const Operand& x, double p, const Generator& generator);

}  // namespace sinter
