// Whether threads share the columns of a kernel, as they do unless told otherwise, or its rows.
#pragma once

#include <cstdint>

#include "compiler/forms/buffers.h"
#include "ir/graph.h"

namespace sinter::compiler {

// Sets `by_rows` on the gradients of weights for which it lets fewer bytes cross between cores, for
// n rows of a batch. `parallel` and `parts` of all kernels are known.
void choose_thread_shares(const ir::Module& module, ir::Func& func, const StoredValues& values,
                          int64_t n);

}  // namespace sinter::compiler
