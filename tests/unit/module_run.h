// Runs a function of a module compiled and interpreted on random inputs, and compares.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "compiler/compile.h"
#include "ir/eval.h"
#include "ir/graph.h"

namespace sinter::compiler {

using Values = std::vector<ir::Array<double>>;

struct Inputs {
  Values args, globals;
};
// For the first function: multiples of 1/64 in [-1, 1], which are the same in f32 and f64, and
// integers from 0 to 2.
Inputs inputs_for(const ir::Module& module, int64_t n, uint64_t seed);

struct Run {
  Values results, globals;
};
Run run_compiled(Executable& executable, const ir::Func& func,
                 const std::vector<ir::Global>& globals, const Inputs& in, int64_t n);
// Kernel by kernel, each on all threads one after the other: the first takes over what it can from
// its partner. For functions whose kernels have features in lanes.
Run run_one_after_the_other(const Executable& executable, const ir::Func& func,
                            const std::vector<ir::Global>& globals, const Inputs& in, int64_t n,
                            int threads);
// As recorded, in f64.
Run interpret_as_recorded(ir::Module module, const Inputs& in, int64_t n);

// The first difference, in words; empty if there is none. `tolerance` is relative to the largest
// element of each value, or to 1.
std::string difference(const Run& got, const Run& want, double tolerance);

// The same for the first function, recorded, with `n` rows: for each processor, of one thread from
// the interpreter within 1e-5, then of so many threads from one exactly. Names where it is.
std::string difference_on_threads(const ir::Module& module, int64_t max_batch, int64_t n,
                                  std::initializer_list<int> threads);

// This processor, as an empty name, and its smaller kin with shorter vectors.
std::vector<std::string> processors();

}  // namespace sinter::compiler
