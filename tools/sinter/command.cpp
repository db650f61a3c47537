#include "tools/sinter/command.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

#include <fmt/format.h>

#include <sinter/error.h>

#include "ir/text/lex.h"
#include "ir/text/text.h"

namespace sinter::command {

void PipelineSwitches::add_to(CommandLine& line) {
  line.option("--max-batch", max_batch, "Rows to plan memory for (default 1)").positive();
  line.option("--threads", threads, "Threads to use, 0 for what is quickest").between(0, 4096);
  line.option("--cpu", cpu, "Processor to compile for, as LLVM names it (default: this one)");
  line.option("--off", off, "Passes to leave out, comma-separated; required passes stay")
      .comma_separated();
}

compiler::Options PipelineSwitches::options() const {
  compiler::Options options = compiler::Options::from_environment();
  if (max_batch) options.max_batch = *max_batch;
  if (threads) options.threads = *threads;
  if (cpu) options.cpu = *cpu;
  for (const std::string& name : off) options.off.emplace_back(find_pass(name)->name);
  return options;
}

ir::Module read_module(const std::string& path) {
  if (path != "-") return ir::parse_file(path);
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  return ir::parse(text, "<stdin>");
}

void write_text(const std::string& path, const std::string& text) {
  if (path == "-") {
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (std::fflush(stdout) == 0) return;
    throw Error("cannot write to stdout").help("check where it leads");
  }
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) throw Error("cannot write {}", path).help("check the folder and its permissions");
}

const ir::Func& find_func(const ir::Module& module, const std::string& name) {
  if (const ir::Func* func = module.find(name)) return *func;
  std::vector<std::string_view> names;
  for (const ir::Func& func : module.funcs) names.push_back(func.name);
  const std::string near = ir::closest(name, names);
  throw Error("the module has no function @{}", name)
      .help(!near.empty()   ? fmt::format("did you mean {}?", near)
            : names.empty() ? "it has none at all"
                            : fmt::format("it has {}", fmt::join(names, ", ")));
}

const compiler::Pass* find_pass(const std::string& name) {
  if (const compiler::Pass* pass = compiler::find_pass(name)) return pass;
  std::vector<std::string_view> names;
  for (const compiler::Pass& pass : compiler::passes()) names.push_back(pass.name);
  const std::string near = ir::closest(name, names);
  throw Error("no pass is named \"{}\"", name)
      .help(near.empty() ? fmt::format("the passes are {}", fmt::join(names, ", "))
                         : fmt::format("did you mean {}?", near));
}

std::vector<const compiler::Pass*> passes_until(std::string_view last,
                                                const compiler::Options& options) {
  std::vector<const compiler::Pass*> list;
  for (const compiler::Pass& pass : compiler::passes()) {
    const bool off = std::count(options.off.begin(), options.off.end(), pass.name) > 0;
    if (pass.required || !off) list.push_back(&pass);
    if (pass.name == last) break;
  }
  return list;
}

bool is_planned(const ir::Module& module) {
  bool planned = !module.funcs.empty(), lowered = false;
  for (const ir::Func& func : module.funcs) {
    planned = planned && func.planned();
    lowered = lowered || func.planned();
    for (const ir::Op& op : func.body) {
      lowered = lowered || op.kind == ir::OpKind::kernel || op.kind == ir::OpKind::barrier;
    }
  }
  if (lowered && !planned) {
    throw Error("the module has kernels or barriers but not every function has a plan")
        .help("start from the module as recorded, or run sinter opt --passes=plan_memory first");
  }
  return planned;
}

std::unique_ptr<compiler::Executable> compile_native(const ir::Module& module,
                                                     const std::string& func,
                                                     compiler::Options options) {
  options.interpret = false;
  if (!is_planned(module)) return compiler::compile(module, func, options);
  options.max_batch = find_func(module, func).max_batch;
  return compiler::make_native(module, func, options);
}

}  // namespace sinter::command
