// The reference interpreter: runs a function at any level of the IR (as recorded, differentiated,
// fused, planned), op by op, in f32, f64 or dual numbers. It is the oracle of the compiled code,
// the constant folder, and what runs under SINTER_JIT=0.
#pragma once

#include <vector>

#include "ir/eval.h"
#include "ir/graph.h"

namespace sinter::ir {

// Runs `func` for n rows on its arguments, in order; reads and updates `globals` (one array for
// each global of the module); returns the results. Throws Error where an argument does not fit
// its type, InternalError on an op that has no meaning of its own (`gradient`).
template <class T>
std::vector<Array<T>> interpret(const Module& module, const Func& func,
                                const std::vector<Array<T>>& args, std::vector<Array<T>>& globals,
                                int64_t n);

// Evaluates one op on the values of its operands.
template <class T>
Array<T> evaluate(const Op& op, const Type& result, const std::vector<const Array<T>*>& operands,
                  int64_t n);

}  // namespace sinter::ir
