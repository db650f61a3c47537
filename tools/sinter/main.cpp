// The `sinter` command: looks into compilation stage by stage, runs programs, and checks results.
#include <cstdio>
#include <exception>
#include <functional>
#include <new>
#include <optional>

#include <fmt/core.h>

#include <sinter/error.h>

#include "tools/sinter/command.h"

namespace {

constexpr const char* footer =
    R"(Files are .sir text, "-" is stdin or stdout; inspect reads files of tensors and nets.

Example:
  sinter dump step.sir --stage=fused

Environment:
  SINTER_DUMP=dir    write every stage of every compilation into dir
  SINTER_JIT=0       run the reference interpreter instead of compiled code
  SINTER_THREADS=k   threads to use, 0 for what is quickest (results do not depend on it)
  SINTER_TIME=1      print the time of every pass to stderr
  SINTER_OFF=a,b     leave passes out
  SINTER_PERF=1      list compiled code in /tmp/perf-PID.map, for perf

Exit status: 0 good, 1 the answer is no or the input is bad, 2 usage, 70 a bug of sinter.)";

int run_command(const std::function<int()>& run) {
  using namespace sinter::command;
  try {
    return run();
  } catch (const sinter::Error& e) {
    fmt::print(stderr, "{}\n", e.what());
    return exit_no;
  } catch (const std::bad_alloc&) {
    const sinter::Error e =
        sinter::Error("not enough memory").help("use smaller shapes or batches");
    fmt::print(stderr, "{}\n", e.what());
    return exit_no;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return exit_bug;
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace sinter::command;
  CommandLine program("sinter",
                      "Compiles the training step of a neural network to one native function.");
  program.footer(footer);
  add_dump(program);
  add_opt(program);
  add_check(program);
  add_inspect(program);
  add_bench(program);
  add_run(program);
  add_diff(program);
  add_fuzz(program);
  add_reduce(program);
  add_ulp(program);
  if (const std::optional<int> status = program.parse(argc, argv)) return *status;
  return run_command(program.action());
}
