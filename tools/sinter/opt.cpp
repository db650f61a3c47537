// sinter opt: runs passes on a module and prints the result.
#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "ir/text/text.h"
#include "tools/sinter/command.h"

namespace sinter::command {

namespace {

struct Opt {
  std::string file, output = "-";
  std::vector<std::string> passes;
  bool list_passes = false, verify = false, print_after_all = false;
  PipelineSwitches switches;

  int run() const {
    if (list_passes) {
      std::string text;
      size_t width = 0;
      for (const compiler::Pass& pass : compiler::passes()) {
        width = std::max(width, std::string_view(pass.name).size());
      }
      for (const compiler::Pass& pass : compiler::passes()) {
        text += fmt::format("{:<{}} {}{}\n", pass.name, width, pass.summary,
                            pass.required ? " (required)" : "");
      }
      write_text("-", text);
      return exit_good;
    }
    ir::Module module = read_module(file);
    // Reading verifies.
    if (verify) return exit_good;
    const compiler::Options options = switches.options();
    std::vector<const compiler::Pass*> list;
    for (const std::string& name : passes) list.push_back(find_pass(name));
    if (passes.empty() && is_planned(module)) {
      throw Error("the module is planned already").help("name the passes to run with --passes");
    }
    if (passes.empty()) list = passes_until(compiler::passes().back().name, options);
    compiler::Observer observer;
    if (print_after_all) {
      observer = [](std::string_view stage, const ir::Module& at, bool changed) {
        fmt::print(stderr, "// ---- {}{}\n{}\n", stage, changed ? "" : " (no change)",
                   changed ? ir::print(at) : "");
      };
    }
    compiler::run_passes(module, list, options, observer);
    write_text(output, ir::print(module));
    return exit_good;
  }
};

}  // namespace

void add_opt(CommandLine& program) {
  const auto opt = std::make_shared<Opt>();
  CommandLine line = program.subcommand("opt", "Run passes on a module and print the result");
  Argument file = line.option("FILE", opt->file, "Module as .sir text, or - for stdin");
  line.option("--passes", opt->passes, "Passes to run, comma-separated (default all)")
      .comma_separated();
  const Argument list = line.flag("--list-passes", opt->list_passes, "Print all passes and stop");
  file.required_unless(list);
  line.flag("--verify", opt->verify, "Only check that the module is valid; print nothing");
  line.flag("--print-after-all", opt->print_after_all, "Print every stage to stderr");
  opt->switches.add_to(line);
  line.option("-o,--output", opt->output, "Where to write the module (default stdout)");
  line.footer("Example:\n  sinter opt step.sir --passes=simplify,cse,dce -o smaller.sir");
  line.runs([opt] { return opt->run(); });
}

}  // namespace sinter::command
