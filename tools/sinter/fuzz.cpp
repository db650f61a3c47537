// sinter fuzz: random training programs, compiled and compared with the interpreter.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "ir/op.h"
#include "tools/sinter/command.h"
#include "tools/sinter/fuzz/emit.h"
#include "tools/sinter/fuzz/equivalences.h"
#include "tools/sinter/fuzz/isolate.h"
#include "tools/sinter/fuzz/judge.h"
#include "tools/sinter/fuzz/make_graph.h"
#include "tools/sinter/fuzz/reduce_trial.h"

namespace sinter::command {

namespace {

using Clock = std::chrono::steady_clock;

// What a campaign has seen so far.
struct Tally {
  std::map<fuzz::Kind, int64_t> kinds;
  std::map<std::string, int64_t> parts;  // ops, or laws: in how many programs
  int64_t done = 0, elements = 0, tight = 0, failures = 0;

  void add(const fuzz::Verdict& verdict) {
    ++done;
    ++kinds[verdict.kind];
    elements += verdict.elements;
    tight += verdict.tight;
    failures += fuzz::is_failure(verdict.kind);
  }

  std::string summary() const {
    std::string out;
    for (const auto& [kind, number] : kinds) {
      out += fmt::format("{}{} {}", out.empty() ? "" : ", ", number, kind_name(kind));
    }
    const double share =
        elements > 0 ? static_cast<double>(tight) / static_cast<double>(elements) : 0;
    return out + fmt::format(
                     "\n{} elements compared, {:.1f} % of them with a bound below 1 % of the "
                     "largest",
                     elements, 100 * share);
  }
};

struct Fuzz {
  uint64_t seed = 1;
  int64_t count = 500, max_failures = 20;
  double time_limit = 0;
  std::string output = ".", emit;
  bool list_ops = false, reduce = true, equivalences = false;

  int run() const {
    if (!emit.empty()) return run_emit();
    const auto start = Clock::now();
    const auto seconds = [&] {
      return std::chrono::duration<double>(Clock::now() - start).count();
    };
    Tally tally;
    while (tally.done < count && tally.failures < max_failures &&
           (time_limit == 0 || seconds() < time_limit)) {
      run_chunk(tally, std::min<int64_t>(kChunk, count - tally.done));
    }
    fmt::print("{} programs in {:.1f} s (seeds {} to {}): {}\n", tally.done, seconds(), seed,
               at(tally.done) - 1, tally.summary());
    if (list_ops) print_parts(tally);
    return tally.failures == 0 ? exit_good : exit_no;
  }

 private:
  // Each program has a seed of its own, so that any one of them can be made again alone.
  uint64_t at(int64_t i) const { return seed + static_cast<uint64_t>(i); }

  // Some programs in one child process.
  void run_chunk(Tally& tally, int64_t size) const {
    const int64_t first = tally.done;
    const auto take = [&](const fuzz::Verdict& verdict) {
      const uint64_t current = at(tally.done);
      tally.add(verdict);
      if (!fuzz::is_failure(verdict.kind) || tally.failures > max_failures) return;
      equivalences ? report_twins(current, verdict) : report(current, verdict);
    };
    const fuzz::Ending ending = fuzz::run_apart(
        [&](const fuzz::Emit& send) {
          for (int64_t i = 0; i < size; ++i) try_one(at(first + i), send);
        },
        [&](std::string_view line) {
          if (!line.starts_with(kPart)) return take(fuzz::verdict_from_line(line));
          ++tally.parts[std::string(line.substr(1))];
        },
        kPatience);
    // The program that took the child down is the one after the last answer.
    if (ending.how == fuzz::Ending::How::crashed) take({fuzz::Kind::crashed, ending.text});
    if (ending.how == fuzz::Ending::How::hung) take({fuzz::Kind::hung, ending.text});
  }

  void try_one(uint64_t current, const fuzz::Emit& send) const {
    if (equivalences) {
      const std::optional<fuzz::Twins> twins = fuzz::make_twins(current);
      if (twins) send(kPart + std::string(twins->law));
      send(fuzz::to_line(twins ? fuzz::judge_twins(*twins)
                               : fuzz::Verdict{fuzz::Kind::undefined, "the law does not fit"}));
      return;
    }
    const fuzz::Trial trial = fuzz::make_trial(current);
    std::set<std::string_view> names;
    for (const ir::Op& op : trial.module.funcs[0].body) names.insert(ir::def(op).name);
    for (std::string_view name : names) send(kPart + std::string(name));
    send(fuzz::to_line(fuzz::judge(trial)));
  }

  static std::string shortened(const std::string& text) {
    constexpr size_t kMost = 300;
    return text.size() <= kMost ? text : text.substr(0, kMost) + " ...";
  }

  // Reduces a failure and writes it as a file.
  void report(uint64_t current, const fuzz::Verdict& verdict) const {
    fmt::print("seed {} {}: {}\n", current, kind_name(verdict.kind), shortened(verdict.message));
    std::fflush(stdout);
    write_small(fuzz::make_trial(current), verdict, fmt::format("{}/fuzz-{}.sir", output, current));
  }

  void write_small(fuzz::Trial trial, fuzz::Verdict verdict, const std::string& path) const {
    if (reduce) {
      fuzz::Reduction small = fuzz::reduce_trial(trial, verdict, fuzz::judge_apart, {});
      trial = std::move(small.trial);
      verdict = std::move(small.verdict);
    }
    write_text(path, fuzz::failure_text(trial, verdict, path));
    fmt::print("  {} ops: {}\n  {}\n", trial.module.funcs[0].body.size(),
               shortened(verdict.message), fuzz::replay_command(trial, path));
    std::fflush(stdout);
  }

  // A side that fails alone is reduced; sides that differ are written both.
  void report_twins(uint64_t current, const fuzz::Verdict& verdict) const {
    fmt::print("seed {} {}: {}\n", current, kind_name(verdict.kind), shortened(verdict.message));
    std::fflush(stdout);
    const std::optional<fuzz::Twins> twins = fuzz::make_twins(current);
    if (!twins) return;
    const auto path = [&](std::string_view side) {
      return fmt::format("{}/fuzz-{}.{}.sir", output, current, side);
    };
    bool alone = false;
    for (const auto& [trial, side] : {std::pair(&twins->left, "left"), {&twins->right, "right"}}) {
      const fuzz::Verdict own = fuzz::judge_apart(*trial);
      if (!fuzz::is_failure(own.kind)) continue;
      write_small(*trial, own, path(side));
      alone = true;
    }
    if (alone) return;
    write_text(path("left"), fuzz::failure_text(twins->left, verdict, path("left")));
    write_text(path("right"), fuzz::failure_text(twins->right, verdict, path("right")));
    fmt::print("  sinter fuzz --equivalences --seed {} --count 1\n  sinter diff {} {} --n {}\n",
               current, path("left"), path("right"), twins->left.rows[0]);
  }

  void print_parts(const Tally& tally) const {
    std::vector<std::string> names;
    for (std::string_view law : fuzz::laws()) names.emplace_back(law);
    if (!equivalences) {
      names.clear();
      for (ir::OpKind kind : fuzz::growable_ops()) names.emplace_back(ir::def(kind).name);
    }
    for (const std::string& name : names) {
      const auto it = tally.parts.find(name);
      fmt::print("{:<16} in {} programs\n", name, it == tally.parts.end() ? 0 : it->second);
    }
  }

  int run_emit() const {
    int64_t written = 0;
    for (int64_t i = 0; i < count; ++i) written += fuzz::emit_program(at(i), emit);
    fmt::print("{} programs written to {}\n", written, emit);
    return exit_good;
  }

  static constexpr char kPart[] = "+";
  static constexpr int64_t kChunk = 50;
  static constexpr double kPatience = 60;
};

}  // namespace

void add_fuzz(CommandLine& program) {
  const auto fuzz = std::make_shared<Fuzz>();
  CommandLine line = program.subcommand("fuzz", "Compile and check random training programs");
  line.option("--seed", fuzz->seed, "Seed of the first program (default 1)");
  line.option("--count", fuzz->count, "How many programs (default 500)").positive();
  line.option("--time-limit", fuzz->time_limit, "Stop after so many seconds").positive();
  line.flag("--equivalences", fuzz->equivalences,
            "Pairs of programs that differ by a law, such as x + y = y + x, and must agree");
  line.option("--max-failures", fuzz->max_failures, "Stop after so many failures (default 20)")
      .positive();
  line.option("--output", fuzz->output, "Folder for the programs that fail (default .)")
      .existing_folder();
  line.flag("!--no-reduce", fuzz->reduce, "Write failing programs as they are");
  line.flag("--list-ops", fuzz->list_ops,
            "Print in how many programs each op, or each law, took part");
  line.option("--emit", fuzz->emit,
              "Check nothing; write programs, inputs and bounds into this folder")
      .existing_folder();
  line.footer(
      "Failures are reduced and written as .sir files with the command that replays them.\n\n"
      "Examples:\n  sinter fuzz --seed 1 --count 1000 --time-limit 60\n"
      "  sinter fuzz --equivalences --seed 1 --count 1000");
  line.runs([fuzz] { return fuzz->run(); });
}

}  // namespace sinter::command
