#include "tools/sinter/fuzz/emit.h"

#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include <sinter/error.h>

#include "ir/text/text.h"
#include "tools/sinter/command.h"
#include "tools/sinter/fuzz/make_graph.h"
#include "tools/sinter/fuzz/reference.h"
#include "tools/sinter/program_inputs.h"

namespace sinter::fuzz {

bool emit_program(uint64_t seed, const std::string& folder) {
  const Trial trial = make_trial(seed);
  const FirstStep step(trial);
  const ir::Func& func = step.func();
  Outcome exact;
  std::optional<Bound> bound;
  try {
    exact = step.run();
    bound.emplace(exact);
    Random random(seed, "emit");
    constexpr int kRuns = 20;
    for (int i = 0; i < kRuns; ++i) bound->widen(step.run_perturbed(exact, random));
  } catch (const Error&) {
    return false;
  }
  const std::string base = fmt::format("{}/{}", folder, seed);
  std::filesystem::create_directories(base + ".in");
  std::filesystem::create_directories(base + ".bound");
  command::write_text(base + ".sir", ir::print(trial.module));
  const auto save_input = [&](const std::string& name, const ir::Array<double>& array) {
    command::save_array(fmt::format("{}.in/{}.npy", base, name), array);
  };
  for (size_t i = 0; i < func.args.size(); ++i) save_input(func[func.args[i]].name, step.args()[i]);
  for (size_t i = 0; i < step.globals().size(); ++i) {
    save_input(step.module().globals[i].name, step.globals()[i]);
  }
  for (size_t k = 0; k < exact.values.size(); ++k) {
    const bool is_result = k < func.results.size();
    ir::Array<double> allowed(DType::f64, exact.values[k].dims);
    for (size_t i = 0; i < allowed.f.size(); ++i) allowed.f[i] = bound->tolerance(k, i);
    const std::string name = is_result ? fmt::format("result{}", k)
                                       : step.module().globals[k - func.results.size()].name;
    command::save_array(fmt::format("{}.bound/{}.npy", base, name), allowed);
  }
  return true;
}

}  // namespace sinter::fuzz
