#include "tools/sinter/fuzz/reference.h"

#include <sinter/error.h>

#include "compiler/pipeline.h"

namespace sinter::fuzz {

ir::Module lowered(const ir::Module& module) {
  ir::Module out = module;
  const compiler::Pass* const list[] = {compiler::find_pass("differentiate"),
                                        compiler::find_pass("expand")};
  compiler::run_passes(out, list, {});
  return out;
}

FirstStep::FirstStep(const Trial& trial)
    : module_(lowered(trial.module)), func_(module_.find(trial.func)), n_(trial.rows[0]) {
  SINTER_CHECK(func_ != nullptr, "no function @{}", trial.func);
  args_ = draw_arguments(trial.inputs, *func_, n_, 0);
  globals_ = draw_globals(trial.inputs, module_);
}

Outcome FirstStep::run() const { return run_reference(module_, *func_, args_, globals_, n_); }

Outcome FirstStep::run_perturbed(const Outcome& exact, Random& random) const {
  return fuzz::run_perturbed(module_, *func_, args_, globals_, n_, exact, random);
}

}  // namespace sinter::fuzz
