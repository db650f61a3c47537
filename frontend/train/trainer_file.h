// What of a trainer goes into a file, and a trainer made of what a file holds; saved_net.cpp writes
// and reads it.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include <sinter/optim.h>
#include <sinter/trainer.h>

#include "frontend/recording.h"
#include "frontend/train/step_recorder.h"

namespace sinter::detail {

// Globals of `step` begin with those of `predict` and `evaluate`, the parameters of the net; its
// optimizer state follows. The first arguments of `step` are x, y, then one for each of `hypers`.
struct TrainerParts {
  std::optional<Recorded> step, evaluate;  // none for a net that cannot be trained
  Recorded predict;
  std::vector<Hyper> hypers;
  int64_t max_batch = 0;  // rows that the step was compiled for
  int64_t steps = 0;      // mini-batches trained
};

// @train_step, @evaluate and @predict, as far as there are, in one module.
ir::Module module_of(const TrainerParts& parts, bool with_evaluate);

// The optimizer of a trainer that was made from a file: its rule is in the IR already.
struct SavedRule {
  static constexpr std::string_view name = "the saved step";
  void update(optim::Step&) const {}
};

// The door into Trainer for files.
struct TrainerFile {
  // Error before the first step of a trainer with a net.
  static TrainerParts parts(const Trainer& trainer);
  static Trainer make(TrainerParts parts, TrainerOptions options);
  // Null if it is gone, or never was.
  static nn::Module* net(const Trainer& trainer);
  static bool is_recorded(const Trainer& trainer);
  static void resume(Trainer& trainer, int64_t steps, int64_t max_batch);
};

}  // namespace sinter::detail
