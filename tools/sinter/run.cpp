// sinter run: runs a function on given or random inputs, and compares what comes out.
#include <cmath>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include <sinter/tensor.h>

#include "ir/text/print.h"
#include "tools/sinter/buffer.h"
#include "tools/sinter/command.h"
#include "tools/sinter/program_inputs.h"

namespace sinter::command {

namespace {

double element(const ir::Array<double>& a, size_t i) {
  return a.floats() ? a.f[i] : static_cast<double>(a.i[i]);
}

// Elements that a run may compute: some minutes of work. A text of three lines can ask for years.
constexpr double kMostElements = 1e12;

void refuse_endless(const ir::Func& f, int64_t n) {
  double elements = 0;
  ir::for_each_op(f.body, [&](const ir::Op& op) {
    if (!op.result.valid()) return;
    double of_result = 1;
    for (const ir::Dim& d : f.type(op.result).shape) of_result *= static_cast<double>(d.at(n));
    elements += of_result;
  });
  if (elements <= kMostElements) return;
  throw Error("func @{} computes {:.2g} elements, more than {:.0g}", f.name, elements,
              kMostElements)
      .help("run it on smaller shapes");
}

struct Output {
  std::string name;  // "result 0 %loss" or "global @w"
  std::string file;  // of --save, without folder and ending
  ir::Array<double> value;
};

struct RunCommand {
  std::string file, func, save;
  ProgramInputs inputs;
  std::vector<std::string> expect;
  double tolerance = 1e-5;
  bool quiet = false;
  PipelineSwitches switches;

  int run() const {
    const ir::Module module = read_module(file);
    if (module.funcs.empty()) throw Error("{} has no function", file).help("write one");
    const ir::Func& f = func.empty() ? module.funcs.front() : find_func(module, func);
    const Loaded loaded = load_inputs(inputs, module, f);
    refuse_endless(f, loaded.n);
    const std::vector<Output> outputs = execute(module, f, loaded);
    for (const Output& out : outputs) {
      if (!save.empty()) save_array(fmt::format("{}/{}.npy", save, out.file), out.value);
      if (!quiet) fmt::print("{} = {}\n", out.name, to_tensor(out.value).to_string());
    }
    bool good = true;
    if (expect.size() > f.results.size()) {
      throw Error("func @{} has {} results but {} are expected", f.name, f.results.size(),
                  expect.size())
          .help("give --expect one file for each result, in order");
    }
    for (size_t i = 0; i < expect.size(); ++i) good = agrees(outputs[i], expect[i]) && good;
    return good ? exit_good : exit_no;
  }

  std::vector<Output> execute(const ir::Module& module, const ir::Func& f,
                              const Loaded& loaded) const {
    compiler::Options options = switches.options();
    if (!is_planned(module)) options.max_batch = std::max(options.max_batch, loaded.n);
    const auto executable = options.interpret ? compiler::compile(module, f.name, options)
                                              : compile_native(module, f.name, options);
    if (loaded.n > executable->max_batch()) {
      throw Error("{} rows but the plan is for {}", loaded.n, executable->max_batch())
          .help("plan for more with --max-batch");
    }
    std::vector<Buffer> buffers;
    for (size_t i = 0; i < loaded.args.size(); ++i) {
      buffers.emplace_back(f.type(f.args[i]), loaded.n).write(loaded.args[i]);
    }
    for (size_t i = 0; i < loaded.globals.size(); ++i) {
      buffers.emplace_back(module.globals[i].type, loaded.n).write(loaded.globals[i]);
    }
    for (ir::ValueId v : f.results) buffers.emplace_back(f.type(v), loaded.n);
    std::vector<void*> pointers;
    for (const Buffer& b : buffers) pointers.push_back(b.data());
    executable->run(pointers.data(), loaded.n);
    std::vector<Output> out;
    const ir::Printer printer(module, f);
    const size_t first = loaded.args.size() + loaded.globals.size();
    for (size_t i = 0; i < f.results.size(); ++i) {
      out.push_back({fmt::format("result {} {}", i, printer.value(f.results[i])),
                     fmt::format("result{}", i), buffers[first + i].read()});
    }
    std::vector<bool> assigned(module.globals.size(), false);
    ir::for_each_op(f.body, [&](const ir::Op& op) {
      if (op.kind == ir::OpKind::assign)
        assigned[static_cast<size_t>(f[op.operands[0]].index)] = true;
    });
    for (size_t i = 0; i < module.globals.size(); ++i) {
      if (!assigned[i]) continue;
      const std::string& name = module.globals[i].name;
      out.push_back({"global @" + name, name, buffers[loaded.args.size() + i].read()});
    }
    return out;
  }

  bool agrees(const Output& out, const std::string& path) const {
    const ir::Array<double> expected = load_array(path);
    if (expected.dims != out.value.dims) {
      throw Error("{} is [{}] but {} holds [{}]", out.name, fmt::join(out.value.dims, ", "), path,
                  fmt::join(expected.dims, ", "))
          .help("expect an array of the same shape");
    }
    size_t worst = 0, wrong = 0;
    double largest = -1;
    for (size_t i = 0; i < expected.size(); ++i) {
      const double a = element(out.value, i), e = element(expected, i);
      double off = std::abs(a - e);
      if (a == e || (std::isnan(a) && std::isnan(e))) off = 0;
      if (std::isnan(off)) off = std::numeric_limits<double>::infinity();
      const bool close = off <= tolerance * (1 + std::abs(e));
      wrong += !close;
      if (off > largest) {
        largest = off;
        worst = i;
      }
    }
    if (expected.size() == 0) return true;
    fmt::print("{} {} {}: {} of {} elements differ, most at {}: {} where {} is expected\n",
               out.name, wrong ? "differs from" : "agrees with", path, wrong, expected.size(),
               index_text(worst, expected.dims), element(out.value, worst),
               element(expected, worst));
    return wrong == 0;
  }
};

}  // namespace

void add_run(CommandLine& program) {
  const auto command = std::make_shared<RunCommand>();
  CommandLine line = program.subcommand("run", "Run a function and compare its results");
  line.option("FILE", command->file, "Module as .sir text, or - for stdin").required();
  line.option("--func", command->func, "Function to run (default: the first)");
  command->inputs.add_to(line);
  line.option("--expect", command->expect, "FILE.npy that each result must equal, in order");
  line.option("--tolerance", command->tolerance,
              "Largest |actual - expected| / (1 + |expected|) (default 1e-5)")
      .non_negative();
  line.option("--save", command->save, "Folder for result0.npy, ..., and updated globals")
      .existing_folder();
  line.flag("--quiet", command->quiet, "Do not print results");
  command->switches.add_to(line);
  line.footer(
      "Exit status 1 where a result differs. SINTER_JIT=0 runs the interpreter.\n\n"
      "Example:\n  sinter run step.sir --inputs x.npy y.npy w=w.npy --expect loss.npy "
      "--tolerance 1e-6");
  line.runs([command] { return command->run(); });
}

}  // namespace sinter::command
