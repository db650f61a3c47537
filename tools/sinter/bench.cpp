// sinter bench: times a function on random inputs, whole and kernel by kernel.
#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include <fmt/format.h>

#include "compiler/forms/batch_form.h"
#include "compiler/forms/cost.h"
#include "compiler/forms/kernel.h"
#include "tools/sinter/buffer.h"
#include "tools/sinter/check.h"
#include "tools/sinter/command.h"

namespace sinter::command {

namespace {

using Clock = std::chrono::steady_clock;

// Memory for arguments, globals and results, in the order of Executable::run. Floats are random in
// [0.125, 1), integers and bools zero.
class Buffers {
 public:
  Buffers(const ir::Module& module, const ir::Func& func, int64_t n) {
    std::mt19937_64 random(1);
    const Inputs inputs =
        random_inputs(module, func, n, {.low = 0.125, .high = 1, .integers = 1}, random);
    for (size_t i = 0; i < inputs.args.size(); ++i)
      add(func.type(func.args[i]), n, &inputs.args[i]);
    for (size_t i = 0; i < inputs.globals.size(); ++i) {
      add(module.globals[i].type, n, &inputs.globals[i]);
    }
    for (ir::ValueId v : func.results) add(func.type(v), n, nullptr);
  }
  void* const* pointers() const { return pointers_.data(); }

 private:
  void add(const ir::Type& type, int64_t n, const ir::Array<double>* values) {
    buffers_.emplace_back(type, n);
    if (values) buffers_.back().write(*values);
    pointers_.push_back(buffers_.back().data());
  }

  std::vector<Buffer> buffers_;
  std::vector<void*> pointers_;
};

// The least time of one call, in microseconds, over `blocks` blocks of about 2 ms.
double least_us(int blocks, const std::function<void()>& call) {
  const auto time = [&](int64_t calls) {
    const Clock::time_point start = Clock::now();
    for (int64_t i = 0; i < calls; ++i) call();
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  };
  constexpr double block_us = 2000;
  const double first = std::max(time(1), 0.01);
  const auto calls = static_cast<int64_t>(std::clamp(block_us / first, 1.0, 1e5));
  double least = time(calls);
  for (int i = 1; i < blocks; ++i) least = std::min(least, time(calls));
  return least / static_cast<double>(calls);
}

struct Bench {
  std::string file, func;
  int64_t n = 0;
  int blocks = 15;
  bool kernels = false;
  PipelineSwitches switches;

  int run() const {
    const ir::Module module = read_module(file);
    if (!func.empty()) find_func(module, func);
    compiler::Options options = switches.options();
    options.max_batch = std::max(options.max_batch, n);
    for (const ir::Func& f : module.funcs) {
      if (func.empty() || f.name == func) time_func(module, f.name, options);
    }
    return exit_good;
  }

  // With the batch in lanes: the operations of each row, a fused multiply-add counted once.
  static double flops_of(const ir::Module& planned, const ir::Func& f, const ir::Op& kernel,
                         int64_t rows) {
    if (compiler::batch_in_lanes(kernel)) {
      return compiler::batch_form(f, kernel).row_ops * static_cast<double>(rows);
    }
    return compiler::kernel_flops(f, compiler::kernel_form(planned, f, kernel), rows);
  }

  void time_func(const ir::Module& module, const std::string& name,
                 const compiler::Options& options) const {
    const auto executable = compile_native(module, name, options);
    const ir::Module& planned = executable->module();
    const ir::Func& f = *planned.find(name);
    const int64_t rows = n > 0 ? n : f.max_batch;
    if (rows > f.max_batch) {
      throw Error("--n {} is more than the {} rows that @{} is planned for", rows, f.max_batch,
                  name)
          .help("plan it for more with --max-batch={}", rows);
    }
    const Buffers buffers(planned, f, rows);
    const double whole = least_us(blocks, [&] { executable->run(buffers.pointers(), rows); });
    fmt::print("func @{} (n = {}): {:.3f} us\n", name, rows, whole);
    if (!kernels) return;
    fmt::print("  {:>10} {:>6} {:>9} {:>10} {:>6}  {}\n", "us", "share", "GFLOP/s", "expected",
               "ratio", "kernel");
    const compiler::StoredValues values(f);
    double sum = 0, expected_sum = 0;
    for (const ir::Op& op : f.body) {
      if (op.kind != ir::OpKind::kernel) continue;
      const std::string& kernel = op.attrs.text("name");
      const double us =
          least_us(blocks, [&] { executable->run_kernel(kernel, buffers.pointers(), rows); });
      const double flops = flops_of(planned, f, op, rows);
      const bool parallel = op.attrs.flag("parallel");
      const compiler::KernelCost cost = compiler::kernel_cost(planned, f, values, op, rows);
      const double expected = cost.us / (parallel ? executable->threads() : 1);
      fmt::print("  {:>10.3f} {:>5.1f}% {:>9.2f} {:>10.3f} {:>6.2f}  {}{}\n", us, 100 * us / whole,
                 flops / us * 1e-3, expected, us / expected, kernel, parallel ? " (parallel)" : "");
      sum += us;
      expected_sum += expected;
    }
    fmt::print("  {:>10.3f} {:>5.1f}% {:>9} {:>10.3f} {:>6.2f}  all kernels, each run alone\n", sum,
               100 * sum / whole, "", expected_sum, sum / expected_sum);
    fmt::print(
        "expected: by the cost model (compiler/forms/cost.cpp), for a core of 3 GHz with vectors "
        "of 8 floats;\na kernel whose ratio is far above the others' runs worse than it "
        "should, or the model is wrong about it\n");
  }
};

}  // namespace

void add_bench(CommandLine& program) {
  const auto bench = std::make_shared<Bench>();
  CommandLine line = program.subcommand("bench", "Time a function on random inputs");
  line.option("FILE", bench->file, "Module as .sir text, or - for stdin").required();
  line.option("--func", bench->func, "Time this function only");
  line.option("--n", bench->n, "Rows of a call (default: all that are planned for)").positive();
  line.option("--blocks", bench->blocks, "Blocks of 2 ms, of which the best counts (default 15)")
      .positive();
  line.flag("--kernels", bench->kernels, "Time each kernel alone, too");
  bench->switches.add_to(line);
  line.footer("Example:\n  sinter bench step.sir --func=train_step --max-batch=128 --kernels");
  line.runs([bench] { return bench->run(); });
}

}  // namespace sinter::command
