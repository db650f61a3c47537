// Which threads run a kernel, and in which order kernels run: the first half of `plan_memory`.
#pragma once

#include <cstdint>

#include "compiler/forms/buffers.h"
#include "ir/graph.h"

namespace sinter::compiler {

// What a kernel touches, and who runs it.
struct KernelTouch : TouchedValues {
  bool parallel = false;
  int64_t thread = 0;  // that runs it, if it is not parallel
  int64_t parts = 1;
};
KernelTouch kernel_touch(const ir::Func& func, const StoredValues& values, const ir::Op& kernel);

// Whether two kernels follow each other by themselves.
bool run_by_one_thread(const KernelTouch& a, const KernelTouch& b);

// Into how many parts sums cut the batch, if they agree.
int64_t parts_of_batch(const ir::Func& func);

// Decides which kernels all threads share and which thread runs each of the others, puts kernels in
// an order that needs few barriers, and a barrier between those that depend on each other across
// threads, for n rows of a batch. Ops move.
void order_kernels(const ir::Module& module, ir::Func& func, int64_t n);

}  // namespace sinter::compiler
