// Names of compiled code for tools outside the process's own symbol table.
#pragma once

#include <llvm/ExecutionEngine/Orc/LLJIT.h>

namespace sinter::compiler {

// Code that `jit` links from here on is registered with GDB's JIT interface, and if `perf_map`
// appended to /tmp/perf-PID.map, where perf looks functions up.
void show_symbols(llvm::orc::LLJIT& jit, bool perf_map);

}  // namespace sinter::compiler
