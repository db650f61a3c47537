// Every switch of the compiler, in one struct that is passed down. The environment is read once,
// by from_environment(); nothing else in the project reads it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sinter::compiler {

struct Options {
  // Largest number of rows that one call may have (B); memory is planned for it.
  int64_t max_batch = 1;
  // Threads to use; 0 for one a core or one alone, whichever is quicker
  // (runtime/threads/thread_choice.h). Results do not depend on it.
  int threads = 0;
  // Allows more threads than cores, for tests of P5.
  bool oversubscribe = false;
  // Runs the reference interpreter instead of compiled code.
  bool interpret = false;
  // Passes to leave out, by name; required passes stay.
  std::vector<std::string> off{};
  // Where to write one numbered file for each stage; empty for nowhere.
  std::string dump_dir{};
  // Prints the time of every pass to stderr.
  bool time = false;
  // Verifies the module after every pass.
  bool verify = true;
  // CPU to compile for, as LLVM names it; empty for the one at hand.
  std::string cpu{};
  // Architecture and system to compile for, as LLVM names them: "aarch64-linux-gnu"; empty for
  // those at hand. Code for others can be read (compile.h, code_text), not run.
  std::string triple{};
  // Keeps the LLVM IR and the assembly of the compiled code, for dumps.
  bool keep_code_text = false;
  // Lists compiled code in /tmp/perf-PID.map, where `perf` looks for the names of kernels.
  bool perf_map = false;

  // SINTER_DUMP=dir, SINTER_JIT=0, SINTER_THREADS=k, SINTER_TIME=1, SINTER_OFF=pass,pass,
  // SINTER_PERF=1.
  // Throws Error where a variable has no meaning, naming it and what it may be.
  static Options from_environment();
};

}  // namespace sinter::compiler
