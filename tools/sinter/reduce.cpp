// sinter reduce: makes a failing program small.
#include <cstdlib>
#include <memory>

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ir/text/text.h"
#include "tools/sinter/command.h"
#include "tools/sinter/fuzz/reduce_trial.h"

namespace sinter::command {

namespace {

// A word of a shell command, quoted.
std::string quoted(const std::string& word) {
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

struct Reduce {
  std::string file, func, output = "-";
  std::vector<int64_t> n{7};
  fuzz::InputRule inputs;
  std::vector<std::string> passes, command;
  fuzz::ReductionBudget budget{2000, 600};
  PipelineSwitches switches;

  int run() const {
    const ir::Module module = read_module(file);
    if (is_planned(module)) {
      throw Error("the module is planned already").help("reduce it as it was recorded");
    }
    if (module.funcs.empty()) throw Error("{} has no function", file).help("write one");
    fuzz::Trial trial;
    trial.func = func.empty() ? module.funcs.front().name : find_func(module, func).name;
    trial.module = module;
    trial.rows = n;
    trial.inputs = inputs;
    trial.options = switches.options();
    trial.options.max_batch =
        std::max(trial.options.max_batch, *std::max_element(n.begin(), n.end()));
    trial.options.oversubscribe = true;
    for (const std::string& name : passes) trial.passes.emplace_back(find_pass(name)->name);
    const fuzz::Judgement judgement = command.empty()
                                          ? fuzz::Judgement(fuzz::judge_apart)
                                          : [this](const fuzz::Trial& t) { return ask_command(t); };
    const fuzz::Verdict verdict = judgement(trial);
    if (!fuzz::is_failure(verdict.kind)) {
      throw Error("there is nothing to reduce: {} is {}{}{}", file, kind_name(verdict.kind),
                  verdict.message.empty() ? "" : ": ", verdict.message)
          .help(command.empty() ? "give it the n, seed and options with which it fails"
                                : "the command must exit with 0 for the file itself");
    }
    const fuzz::Reduction done = fuzz::reduce_trial(trial, verdict, judgement, budget);
    write_text(output, fuzz::failure_text(done.trial, done.verdict, output));
    fmt::print(stderr, "{} ops became {}, {} candidates tried\n", op_count(trial),
               op_count(done.trial), done.tried);
    return exit_good;
  }

  static size_t op_count(const fuzz::Trial& trial) {
    return trial.module.find(trial.func)->body.size();
  }

  // The command gets the candidate's file as its last word, and says with status 0 that it still
  // shows the problem.
  fuzz::Verdict ask_command(const fuzz::Trial& trial) const {
    char path[] = "/tmp/sinter-reduce-XXXXXX.sir";
    const int fd = mkstemps(path, 4);
    SINTER_CHECK(fd >= 0, "no temporary file");
    close(fd);
    write_text(path, ir::print(trial.module));
    std::string line;
    for (const std::string& word : command) line += quoted(word) + " ";
    line += std::string(path) + " >/dev/null 2>&1 </dev/null";
    const int status = std::system(line.c_str());
    std::remove(path);
    const bool shows = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return {shows ? fuzz::Kind::differs : fuzz::Kind::good, shows ? "the command says so" : ""};
  }
};

}  // namespace

void add_reduce(CommandLine& program) {
  const auto reduce = std::make_shared<Reduce>();
  CommandLine line = program.subcommand("reduce", "Make a program that fails small");
  line.option("FILE", reduce->file, "Module as .sir text, or - for stdin").required();
  line.option("COMMAND", reduce->command,
              "After --: gets a candidate file as its last argument and exits with 0 while that "
              "still shows the problem (default: compiled code differs from the interpreter, "
              "crashes, or is refused)");
  line.option("--func", reduce->func, "Function to keep (default: the first)");
  line.option("--n", reduce->n, "Rows of each step (default 7)").positive().comma_separated();
  line.option("--seed", reduce->inputs.seed, "Seed of the inputs (default 1)");
  line.option("--integers", reduce->inputs.integers,
              "Integer inputs go from 0 to one less (default 4)")
      .positive();
  line.option("--grid", reduce->inputs.grid, "Float inputs are multiples of 1/GRID").positive();
  line.option("--passes", reduce->passes, "Passes to run, comma-separated (default all)")
      .comma_separated();
  line.option("--candidates", reduce->budget.candidates, "Most candidates to try (default 2000)")
      .positive();
  line.option("--time-limit", reduce->budget.seconds, "Stop after so many seconds (default 600)")
      .positive();
  line.option("-o,--output", reduce->output, "Where to write the small program (default stdout)");
  reduce->switches.add_to(line);
  line.footer(
      "Examples:\n  sinter reduce step.sir --n 5 --threads 1 -o small.sir\n"
      "  sinter reduce step.sir -- sh -c '! sinter check \"$0\"'");
  line.runs([reduce] { return reduce->run(); });
}

}  // namespace sinter::command
