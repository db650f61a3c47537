// The `sinter` command: looks into compilation stage by stage, runs programs, and checks results.
#include <cstdio>
#include <exception>
#include <new>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <sinter/error.h>

#include "tools/sinter/command.h"

namespace {

constexpr const char* footer = R"(Files are .sir text, "-" is stdin or stdout; inspect reads files of tensors and nets.

Example:
  sinter dump step.sir --stage=fused

Environment:
  SINTER_DUMP=dir    write every stage of every compilation into dir
  SINTER_JIT=0       run the reference interpreter instead of compiled code
  SINTER_THREADS=k   threads to use, 0 for one a core (results do not depend on it)
  SINTER_TIME=1      print the time of every pass to stderr
  SINTER_OFF=a,b     leave passes out
  SINTER_PERF=1      list compiled code in /tmp/perf-PID.map, for perf

Exit status: 0 good, 1 the answer is no or the input is bad, 2 usage, 70 a bug of sinter.)";

int run_command(const sinter::command::Run& run) {
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
  CLI::App app("Compiles the training step of a neural network to one native function.", "sinter");
  app.footer(footer);
  app.require_subcommand(1);
  sinter::command::Run run;
  sinter::command::add_dump(app, run);
  sinter::command::add_opt(app, run);
  sinter::command::add_check(app, run);
  sinter::command::add_inspect(app, run);
  sinter::command::add_bench(app, run);
  sinter::command::add_run(app, run);
  sinter::command::add_diff(app, run);
  sinter::command::add_fuzz(app, run);
  sinter::command::add_reduce(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    // --help comes here too, as an error without a code.
    return app.exit(e) == 0 ? sinter::command::exit_good : sinter::command::exit_usage;
  }
  return run_command(run);
}
