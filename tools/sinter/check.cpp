// sinter check: compares compiled code with the interpreter and gradients with dual numbers.
#include "tools/sinter/check.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include <fmt/format.h>

#include "tools/sinter/command.h"
#include "tools/sinter/fuzz/judge.h"

namespace sinter::command {

Inputs random_inputs(const ir::Module& module, const ir::Func& func, int64_t n,
                     const InputRange& range, std::mt19937_64& random) {
  const auto draw = [&](const ir::Type& type) {
    ir::Array<double> out(type.dtype, type.dims(n));
    // 24 random bits, so that every value is exact in f32 for ranges that are.
    const double step = (range.high - range.low) * 0x1p-24;
    for (double& v : out.f) {
      v = static_cast<float>(range.low + step * static_cast<double>(random() >> 40));
    }
    const auto end = static_cast<uint64_t>(
        type.dtype == DType::boolean ? std::min<int64_t>(range.integers, 2) : range.integers);
    for (int64_t& v : out.i) v = static_cast<int64_t>(random() % end);
    return out;
  };
  Inputs inputs;
  for (ir::ValueId v : func.args) inputs.args.push_back(draw(func.type(v)));
  for (const ir::Global& g : module.globals) inputs.globals.push_back(draw(g.type));
  return inputs;
}

void Finding::add(double relative_error, int64_t n) {
  if (relative_error < error) return;
  error = relative_error;
  worst_n = n;
}

namespace {

struct Check {
  std::string file, func;
  std::vector<int64_t> n{1, 7, 16};
  uint64_t seed = 1;
  int iters = 3;
  InputRange range;
  bool rounding = false;
  int64_t grid = 0;
  std::vector<std::string> passes;
  PipelineSwitches switches;

  int run() const {
    const ir::Module module = read_module(file);
    if (!func.empty()) find_func(module, func);
    if (rounding) return run_rounding(module);
    compiler::Options options = switches.options();
    options.max_batch = std::max(options.max_batch, *std::max_element(n.begin(), n.end()));
    bool good = true;
    for (const ir::Func& f : module.funcs) {
      if (func.empty() || f.name == func) good = check_func(module, f, options) && good;
    }
    return good ? exit_good : exit_no;
  }

  // One run of steps with these numbers of rows, judged by what rounding allows.
  int run_rounding(const ir::Module& module) const {
    if (is_planned(module)) {
      throw Error("the module is planned already").help("check it as it was recorded");
    }
    bool good = true;
    for (const ir::Func& f : module.funcs) {
      if (!func.empty() && f.name != func) continue;
      fuzz::Trial trial;
      trial.module = module;
      trial.func = f.name;
      trial.rows = n;
      trial.inputs = {seed, range.integers, grid};
      trial.options = switches.options();
      trial.options.max_batch =
          std::max(trial.options.max_batch, *std::max_element(n.begin(), n.end()));
      trial.options.oversubscribe = true;
      for (const std::string& name : passes) trial.passes.emplace_back(find_pass(name)->name);
      const fuzz::Verdict verdict = fuzz::judge_apart(trial);
      fmt::print("func @{} (n = {}): {}{}{}\n", f.name, fmt::join(n, ", "), kind_name(verdict.kind),
                 verdict.message.empty() ? "" : ": ", verdict.message);
      good = good && !fuzz::is_failure(verdict.kind);
    }
    return good ? exit_good : exit_no;
  }

  bool check_func(const ir::Module& module, const ir::Func& f,
                  const compiler::Options& options) const {
    std::mt19937_64 random(seed);
    const int64_t most = *std::max_element(n.begin(), n.end());
    if (f.planned() && most > f.max_batch) {
      throw Error("func @{} is planned for {} rows, not for {}", f.name, f.max_batch, most)
          .help("choose smaller numbers with --n");
    }
    CodeCheck code(module, f.name, options);
    GradientCheck gradients(module, f.name);
    // Logarithms and roots of negative numbers compare NaN with NaN: then positive inputs say more.
    InputRange used = range;
    for (int64_t rows : n) {
      for (int i = 0; i < iters; ++i) {
        Inputs inputs = random_inputs(module, f, rows, used, random);
        if (used.low < 0 && !code.is_defined(inputs, rows)) {
          used.low = 0.125;
          inputs = random_inputs(module, f, rows, used, random);
        }
        code.run(inputs, rows);
        gradients.run(inputs, rows, random);
      }
    }
    fmt::print("func @{} (n = {}; floats in [{}, {}))\n", f.name, fmt::join(n, ", "), used.low,
               used.high);
    const bool code_good = report(code.findings());
    return report(gradients.findings()) && code_good;
  }

  static bool report(const std::vector<Finding>& findings) {
    bool good = true;
    for (const Finding& found : findings) {
      fmt::print("  {:<56} error {:.2e} (at most {:.0e}){}\n", found.what, found.error,
                 found.tolerance,
                 found.good() ? "" : fmt::format("  DIFFERS, most for n = {}", found.worst_n));
      good = good && found.good();
    }
    return good;
  }
};

}  // namespace

void add_check(CommandLine& program) {
  const auto check = std::make_shared<Check>();
  CommandLine line = program.subcommand(
      "check", "Compare compiled code with the interpreter, and gradients with dual numbers");
  line.option("FILE", check->file, "Module as .sir text, or - for stdin").required();
  line.option("--func", check->func, "Check this function only");
  line.option("--n", check->n, "Numbers of rows to run (default 1 7 16)").positive();
  line.option("--iters", check->iters, "Random inputs for each n (default 3)").positive();
  line.option("--seed", check->seed, "Seed of the inputs (default 1)");
  line.option("--integers", check->range.integers,
              "Integer inputs go from 0 to one less (default 2)")
      .positive();
  const Argument rounding = line.flag(
      "--rounding", check->rounding,
      "Run steps with these n, one after the other, and hold each element to what rounding allows");
  line.option("--grid", check->grid, "Float inputs are multiples of 1/GRID")
      .positive()
      .needs(rounding);
  line.option("--passes", check->passes, "Passes to run, comma-separated (default all)")
      .comma_separated()
      .needs(rounding);
  check->switches.add_to(line);
  line.footer(
      "Errors are relative to the largest element. Exit status 1 where something differs.\n\n"
      "Example:\n  sinter check step.sir --n 1 32 100 --seed 7");
  line.runs([check] { return check->run(); });
}

}  // namespace sinter::command
