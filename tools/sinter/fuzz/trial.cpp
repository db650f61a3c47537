#include "tools/sinter/fuzz/trial.h"

#include <algorithm>

#include <fmt/format.h>

#include <sinter/error.h>

#include "tools/sinter/fuzz/random.h"

namespace sinter::fuzz {

ir::Array<double> draw(const InputRule& rule, std::string_view name, const ir::Type& type,
                       int64_t n, int64_t step) {
  Random random(rule.seed, name, static_cast<uint64_t>(step));
  ir::Array<double> out(type.dtype, type.dims(n));
  for (double& v : out.f) {
    v = rule.grid > 0 ? static_cast<double>(random.pick(-rule.grid, rule.grid)) /
                            static_cast<double>(rule.grid)
                      : 2 * random.unit() - 1;
    v = static_cast<float>(v);
  }
  const int64_t last = type.dtype == DType::boolean ? 1 : std::max<int64_t>(rule.integers - 1, 0);
  for (int64_t& v : out.i) v = random.pick(0, last);
  return out;
}

std::vector<ir::Array<double>> draw_arguments(const InputRule& rule, const ir::Func& func,
                                              int64_t n, int64_t step) {
  std::vector<ir::Array<double>> out;
  for (size_t i = 0; i < func.args.size(); ++i) {
    const ir::ValueInfo& info = func[func.args[i]];
    const std::string name = info.name.empty() ? fmt::format("{}", i) : info.name;
    out.push_back(draw(rule, "%" + name, info.type, n, step));
  }
  return out;
}

std::vector<ir::Array<double>> draw_globals(const InputRule& rule, const ir::Module& module) {
  std::vector<ir::Array<double>> out;
  for (const ir::Global& g : module.globals) out.push_back(draw(rule, "@" + g.name, g.type, 1, 0));
  return out;
}

std::vector<const compiler::Pass*> pass_list(const Trial& trial) {
  std::vector<const compiler::Pass*> out;
  for (const std::string& name : trial.passes) {
    out.push_back(compiler::find_pass(name));
    SINTER_CHECK(out.back() != nullptr, "no pass {}", name);
  }
  if (!out.empty()) return out;
  const std::vector<std::string>& off = trial.options.off;
  for (const compiler::Pass& pass : compiler::passes()) {
    if (pass.required || std::count(off.begin(), off.end(), pass.name) == 0) out.push_back(&pass);
  }
  return out;
}

std::string replay_command(const Trial& trial, const std::string& file) {
  std::string out = fmt::format("sinter check {} --rounding --func {} --n {} --seed {}", file,
                                trial.func, fmt::join(trial.rows, " "), trial.inputs.seed);
  const InputRule usual;
  const compiler::Options& options = trial.options;
  if (trial.inputs.integers != usual.integers) {
    out += fmt::format(" --integers {}", trial.inputs.integers);
  }
  if (trial.inputs.grid != usual.grid) out += fmt::format(" --grid {}", trial.inputs.grid);
  out += fmt::format(" --max-batch {} --threads {}", options.max_batch, options.threads);
  if (!options.cpu.empty()) out += fmt::format(" --cpu {}", options.cpu);
  if (!options.off.empty()) out += fmt::format(" --off {}", fmt::join(options.off, ","));
  if (!trial.passes.empty()) out += fmt::format(" --passes {}", fmt::join(trial.passes, ","));
  return out;
}

}  // namespace sinter::fuzz
