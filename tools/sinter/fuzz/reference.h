// A trial in the interpreter: its first step, with the bound of what rounding may do.
#pragma once

#include "tools/sinter/fuzz/rounding.h"
#include "tools/sinter/fuzz/trial.h"

namespace sinter::fuzz {

// A module as the reference runs it: gradients and composites replaced. Throws Error where a
// gradient does not exist.
ir::Module lowered(const ir::Module& module);

// The first step of a trial.
class FirstStep {
 public:
  explicit FirstStep(const Trial& trial);
  FirstStep(const FirstStep&) = delete;

  // Throws Error where the program is undefined.
  Outcome run() const;
  Outcome run_perturbed(const Outcome& exact, Random& random) const;

  const ir::Func& func() const { return *func_; }
  const ir::Module& module() const { return module_; }
  const Arrays& args() const { return args_; }
  const Arrays& globals() const { return globals_; }
  int64_t n() const { return n_; }

 private:
  ir::Module module_;
  const ir::Func* func_;
  int64_t n_;
  Arrays args_, globals_;
};

}  // namespace sinter::fuzz
