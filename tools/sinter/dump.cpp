// sinter dump: prints a module at one stage of its compilation.
#include <memory>

#include <fmt/format.h>

#include "ir/text/text.h"
#include "tools/sinter/command.h"
#include "tools/sinter/dot.h"

namespace sinter::command {

namespace {

struct Stage {
  const char* name;
  const char* last_pass;  // null: code, not IR
};
constexpr Stage stages[] = {
    {"forward", ""},   {"backward", "differentiate"}, {"expanded", "expand"},
    {"fused", "fuse"}, {"plan", "plan_memory"},       {"llvm", nullptr},
    {"asm", nullptr},
};

struct Dump {
  std::string file, stage = "fused", func, triple;
  bool dot = false;
  PipelineSwitches switches;

  int run() const {
    ir::Module module = read_module(file);
    if (!func.empty()) find_func(module, func);
    compiler::Options options = switches.options();
    options.triple = triple;
    for (const Stage& s : stages) {
      if (stage != s.name) continue;
      if (!s.last_pass && dot) {
        throw Error("--dot draws modules, and the stage {} is code", stage)
            .help("draw an earlier stage, such as plan");
      }
      if (!s.last_pass) {
        write_text("-", code(module, options));
        continue;
      }
      if (s.last_pass[0] != '\0' && is_planned(module)) {
        throw Error("the module is planned already")
            .help("its stages are forward (as it is), llvm and asm");
      }
      if (s.last_pass[0] != '\0') {
        compiler::run_passes(module, passes_until(s.last_pass, options), options);
      }
      if (dot) {
        write_text("-", pictures(module));
        continue;
      }
      write_text("-",
                 func.empty() ? ir::print(module) : ir::print(module, find_func(module, func)));
    }
    return exit_good;
  }

  std::string pictures(const ir::Module& module) const {
    std::string out;
    for (const ir::Func& f : module.funcs) {
      if (func.empty() || f.name == func) out += to_dot(module, f);
    }
    return out;
  }

  // LLVM IR or assembly of one function, or of all, each below a comment with its name.
  std::string code(ir::Module module, const compiler::Options& options) const {
    if (!is_planned(module)) compiler::run_pipeline(module, options);
    std::string out;
    for (const ir::Func& f : module.funcs) {
      if (!func.empty() && f.name != func) continue;
      const compiler::CodeText text = compiler::code_text(module, f.name, options);
      const bool llvm = stage == "llvm";
      out += fmt::format("{} func @{}\n", llvm ? ";" : "#", f.name);
      out += llvm ? text.llvm_ir : text.assembly;
    }
    return out;
  }
};

}  // namespace

void add_dump(CommandLine& program) {
  const auto dump = std::make_shared<Dump>();
  CommandLine line = program.subcommand("dump", "Print a module at one stage of its compilation");
  line.option("FILE", dump->file, "Module as .sir text, or - for stdin").required();
  std::vector<std::string> names;
  for (const Stage& s : stages) names.emplace_back(s.name);
  line.option("--stage", dump->stage, "Where to stop (default fused)").one_of(names);
  line.option("--func", dump->func, "Print this function only");
  line.flag("--dot", dump->dot, "As a picture in Graphviz's language");
  dump->switches.add_to(line);
  line.option("--triple", dump->triple,
              "Architecture and system of the code, as LLVM names them (default: these)");
  line.footer(
      "Examples:\n  sinter dump step.sir --stage=asm --func=train_step --max-batch=128\n"
      "  sinter dump step.sir --stage=asm --triple=aarch64-linux-gnu --cpu=neoverse-n1\n"
      "  sinter dump step.sir --stage=fused --dot | dot -Tsvg -o step.svg");
  line.runs([dump] { return dump->run(); });
}

}  // namespace sinter::command
