// sinter_bench: times training steps, beside what this machine can do at most.
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <sinter/sinter.h>
#include <sinter/thread_team.h>

#include "bench/curves.h"
#include "bench/denormals.h"
#include "bench/first_step.h"
#include "bench/machine/limits.h"
#include "bench/report.h"
#include "bench/sweep.h"
#include "bench/workloads.h"

namespace {

using namespace sinter::bench;

constexpr const char* kFooter =
    "A block is 20 ms or more of steps; figures are the median and the least of all blocks.\n"
    "The floor is the time below which this machine cannot go, from rates measured in this run;\n"
    "bench/README.md says how. Exit status: 0 good, 1 a curve differs, a step seems faster than\n"
    "the floor or the input is bad, 2 usage.\n\n"
    "Example:\n  sinter_bench --workloads W1 --blocks 9 --json w1.json";

struct Arguments {
  std::vector<std::string> workloads;
  int blocks = 7;
  int threads = 0;
  std::string json, weights, child, sweep;
  int64_t up_to = 300;
  bool losses = false, first_step = false, limits_only = false, denormals = false;
  int repeats = 10;
};

int run(const Arguments& args) {
  if (!args.child.empty()) return first_step_child(find_workload(args.child));
  if (!args.weights.empty()) return check_curves(args.weights, args.losses, args.threads) ? 0 : 1;

  if (args.denormals) {
    print_denormals(args.threads);
    return 0;
  }
  if (!args.sweep.empty()) {
    const Sweep sweep = args.sweep == "widths" ? Sweep::widths : Sweep::batches;
    constexpr int rounds = 8;  // the machine is not at its best in each
    print_sweep(sweep, time_sweep(sweep, args.up_to, rounds, args.threads));
    return 0;
  }

  std::vector<Workload> chosen;
  if (args.workloads.empty()) chosen = workloads();
  for (const std::string& name : args.workloads) chosen.push_back(find_workload(name));

  const int cores = sinter::ThreadTeam::available_cores();
  Report report;
  report.blocks = args.blocks;
  report.threads = args.threads;
  report.limits = measure_limits(cores);
  if (!args.limits_only) {
    for (const Workload& workload : chosen) {
      for (Timed& t : time_workload(workload, args.blocks, args.threads)) {
        report.timed.push_back(std::move(t));
      }
      if (args.first_step) {
        report.first_step[fmt::format("{}/first_step_ms", workload.name)] = {
            time_first_step(workload, args.repeats)};
      }
    }
    // Again, as another program may have slowed down the first; a single block is no measurement.
    if (args.blocks > 1) report.limits = best_of(report.limits, measure_limits(cores));
  }
  report.print();
  if (!args.json.empty()) report.write_json(args.json);
  return report.impossible().empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments args;
  CLI::App app("Times training steps, beside what this machine can do at most.", "sinter_bench");
  app.footer(kFooter);
  app.add_option("--workloads", args.workloads, "W1,W5-32,... of bench/workloads.json (all)")
      ->delimiter(',');
  app.add_option("--blocks", args.blocks, "timed blocks (7)")->check(CLI::PositiveNumber);
  app.add_option("--threads", args.threads, "threads of the training step; 0: SINTER_THREADS")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--json", args.json, "write the figures to this file as well")->type_name("FILE");
  app.add_flag("--first-step", args.first_step, "time a new process to its first step, too");
  app.add_option("--repeats", args.repeats, "new processes for --first-step (10)")
      ->check(CLI::PositiveNumber);
  app.add_option("--sweep", args.sweep, "time every width or batch and show where one is a cliff")
      ->check(CLI::IsMember({"widths", "batches"}));
  app.add_option("--up-to", args.up_to, "largest width or batch of --sweep (300)")
      ->check(CLI::Range(1, 4096));
  app.add_flag("--denormals", args.denormals, "time steps while numbers fade away to nothing");
  app.add_flag("--limits", args.limits_only, "measure the machine only");
  app.add_option("--weights", args.weights, "check the loss curves of this training, no timing")
      ->type_name("DIR");
  app.add_flag("--losses", args.losses, "with --weights: print the first 20 losses");
  app.add_option("--first-step-child", args.child)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    return run(args);
  } catch (const std::exception& e) {
    std::fflush(stdout);
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
