// sinter fuzz: random training programs, compiled and compared with the interpreter.
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "ir/op.h"
#include "tools/sinter/command.h"
#include "tools/sinter/fuzz/isolate.h"
#include "tools/sinter/fuzz/judge.h"
#include "tools/sinter/fuzz/make_graph.h"
#include "tools/sinter/fuzz/reduce_trial.h"

namespace sinter::command {

namespace {

using Clock = std::chrono::steady_clock;

struct Fuzz {
  uint64_t seed = 1;
  int64_t count = 500, max_failures = 20;
  double time_limit = 0;
  std::string output = ".";
  bool list_ops = false, reduce = true;

  int run() const {
    // Each trial has a seed of its own: trial i of seed s is the first of seed s + i.
    const auto start = Clock::now();
    const auto seconds = [&] {
      return std::chrono::duration<double>(Clock::now() - start).count();
    };
    std::map<fuzz::Kind, int64_t> kinds;
    std::map<std::string, int64_t> ops;  // in how many programs
    int64_t elements = 0, tight = 0, done = 0, failures = 0;
    while (done < count && failures < max_failures && (time_limit == 0 || seconds() < time_limit)) {
      const int64_t chunk = std::min<int64_t>(kChunk, count - done);
      int64_t answered = 0;
      const auto take = [&](const fuzz::Verdict& verdict) {
        const uint64_t at = seed + static_cast<uint64_t>(done + answered);
        ++answered;
        ++kinds[verdict.kind];
        elements += verdict.elements;
        tight += verdict.tight;
        if (fuzz::is_failure(verdict.kind) && failures++ < max_failures) report(at, verdict);
      };
      const fuzz::Ending ending = fuzz::run_apart(
          [&](const fuzz::Emit& emit) {
            for (int64_t i = 0; i < chunk; ++i) {
              const fuzz::Trial trial = fuzz::make_trial(seed + static_cast<uint64_t>(done + i));
              emit(fuzz::to_line(fuzz::judge(trial)));
              emit(kOps + op_names(trial.module));
            }
          },
          [&](std::string_view line) {
            if (!line.starts_with(kOps)) return take(fuzz::verdict_from_line(line));
            std::istringstream names{std::string(line.substr(1))};
            for (std::string name; names >> name;) ++ops[name];
          },
          kPatience);
      // The trial that took the child down is the one after the last answer.
      if (ending.how == fuzz::Ending::How::crashed) take({fuzz::Kind::crashed, ending.text});
      if (ending.how == fuzz::Ending::How::hung) take({fuzz::Kind::hung, ending.text});
      done += answered;
    }
    std::string by_kind;
    bool good = true;
    for (const auto& [kind, number] : kinds) {
      by_kind += fmt::format("{}{} {}", by_kind.empty() ? "" : ", ", number, kind_name(kind));
      good = good && !is_failure(kind);
    }
    fmt::print("{} programs in {:.1f} s (seeds {} to {}): {}\n", done, seconds(), seed,
               seed + static_cast<uint64_t>(done) - 1, by_kind);
    fmt::print("{} elements compared, {:.1f} % of them within 1 % of what rounding allows\n",
               elements,
               elements > 0 ? 100.0 * static_cast<double>(tight) / static_cast<double>(elements) : 0);
    if (list_ops) {
      for (ir::OpKind kind : fuzz::growable_ops()) {
        const std::string name(ir::def(kind).name);
        fmt::print("{:<16} in {} programs\n", name, ops[name]);
      }
    }
    return good ? exit_good : exit_no;
  }

  static std::string shortened(const std::string& text) {
    constexpr size_t kMost = 300;
    return text.size() <= kMost ? text : text.substr(0, kMost) + " ...";
  }

  // Reduces a failure and writes it as a file.
  void report(uint64_t at, fuzz::Verdict verdict) const {
    fuzz::Trial trial = fuzz::make_trial(at);
    fmt::print("seed {} {}: {}\n", at, kind_name(verdict.kind), shortened(verdict.message));
    std::fflush(stdout);
    if (reduce) {
      fuzz::Reduction small = fuzz::reduce_trial(trial, verdict, fuzz::judge_apart, {});
      trial = std::move(small.trial);
      verdict = std::move(small.verdict);
    }
    const std::string path = fmt::format("{}/fuzz-{}.sir", output, at);
    write_text(path, fuzz::failure_text(trial, verdict, path));
    fmt::print("  {} ops: {}\n  {}\n", trial.module.funcs[0].body.size(),
               shortened(verdict.message),
               fuzz::replay_command(trial, path));
    std::fflush(stdout);
  }

  // The names of all ops of a program as recorded, each once.
  static std::string op_names(const ir::Module& module) {
    std::set<std::string_view> names;
    for (const ir::Op& op : module.funcs[0].body) names.insert(ir::def(op).name);
    return fmt::format("{}", fmt::join(names, " "));
  }

  static constexpr char kOps[] = "+";
  static constexpr int64_t kChunk = 200;
  static constexpr double kPatience = 60;
};

}  // namespace

void add_fuzz(CLI::App& app, Run& run) {
  const auto fuzz = std::make_shared<Fuzz>();
  CLI::App* sub = app.add_subcommand("fuzz", "Compile and check random training programs");
  sub->add_option("--seed", fuzz->seed, "Seed of the first program (default 1)");
  sub->add_option("--count", fuzz->count, "How many programs (default 500)")
      ->check(CLI::PositiveNumber);
  sub->add_option("--time-limit", fuzz->time_limit, "Stop after so many seconds")
      ->check(CLI::PositiveNumber);
  sub->add_option("--max-failures", fuzz->max_failures, "Stop after so many failures (default 20)")
      ->check(CLI::PositiveNumber);
  sub->add_option("--output", fuzz->output, "Folder for the programs that fail (default .)")
      ->check(CLI::ExistingDirectory);
  sub->add_flag("!--no-reduce", fuzz->reduce, "Write failing programs as they are");
  sub->add_flag("--list-ops", fuzz->list_ops, "Print in how many programs each op took part");
  sub->footer("Example:\n  sinter fuzz --seed 1 --count 1000 --time-limit 60");
  sub->callback([&run, fuzz] { run = [fuzz] { return fuzz->run(); }; });
}

}  // namespace sinter::command
