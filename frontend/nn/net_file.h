// The contents of a .sinter file or a checkpoint. Both are safetensors with these tensors
//
//   NAME              each global of the module: parameters, then optimizer state
//   FUNC.%NAME        each tensor that a function captured; % is in no name of a global
//   hyper.%NAME       each hyper-parameter, as f64
//
// and these texts:
//
//   sinter.version    1
//   sinter.ir         @train_step, @evaluate and @predict as recorded
//   sinter.parameters how many of the globals are parameters
//   sinter.max_batch, sinter.steps      of the trainer, with a step
//   sinter.generator  seed and step of the default generator, in a checkpoint
//   sinter.loader     seed, epoch and batch, in a checkpoint
#pragma once

#include <optional>
#include <string>

#include <sinter/loader_position.h>
#include <sinter/state_dict.h>

#include "frontend/train/trainer_file.h"

namespace sinter::detail {

struct GeneratorPosition {
  uint64_t seed = 0, step = 0;
};

struct NetFile {
  TrainerParts parts;
  std::optional<GeneratorPosition> generator;
  std::optional<LoaderPosition> loader;
};

// Globals of a function by name; handles.
StateDict globals_of(const Recorded& recorded);

void write_net_file(const std::string& path, const NetFile& file);
// Checked: whatever the file says, what comes back can be compiled and run.
NetFile read_net_file(const std::string& path);

}  // namespace sinter::detail
