// What a kernel is expected to take, from its shapes alone. Threads are chosen by it, `sinter dump
// --stage=plan` prints it and `sinter bench --kernels` puts it beside what was measured, so that a
// wrong guess is seen.
#pragma once

#include <string>
#include <string_view>

#include "compiler/forms/buffers.h"
#include "ir/graph.h"

namespace sinter::compiler {

struct KernelCost {
  double multiply_adds = 0;  // of contractions; columns are rounded up to whole vectors
  double operations = 0;     // other vector operations, counted in elements
  double bytes = 0;          // read and written, each buffer once
  double us = 0;             // on one core of the processor described in cost.cpp
  bool serial = false;       // one thread must run it
  std::string_view bound;    // what takes that long: multiply-adds, operations or memory
  static constexpr std::string_view by_multiply_adds = "multiply-adds";
};

// A kernel op of `func`, for n rows.
KernelCost kernel_cost(const ir::Module& module, const ir::Func& func, const StoredValues& values,
                       const ir::Op& kernel, int64_t n);
std::string to_string(const KernelCost& cost);

// Vector operations for one element of an elementwise op.
double element_operations(const ir::Func& func, const ir::Op& op);

}  // namespace sinter::compiler
