#pragma once

#include <source_location>
#include <string>

#include <sinter/nn.h>
#include <sinter/tensor.h>
#include <sinter/trainer.h>

namespace sinter {

/// Writes a whole net into one file, by convention *.sinter: a safetensors file with the IR of the
/// net in its metadata. It loads without any C++ class, and other tools read its weights. This form
/// holds everything that training goes on with: the step, the optimizer's state and
/// hyper-parameters. A crash leaves the old file or the new one. Error before the first step.
void save_net(const Trainer& trainer, const std::string& path);
/// The same without a training step: what it takes to predict for rows like those of x.
void save_net(nn::Module& net, const Tensor& x, const std::string& path,
              const std::source_location& at = std::source_location::current());

/// The net in a file that save_net() or Trainer::save_checkpoint() wrote. predict() gives bit for
/// bit what the saved net gave; if the file holds a step, step(), fit() and the rest go on from
/// there. Metrics are those of the file. Nothing in the file is a program, and everything is
/// checked; Error with the byte, or the line of the IR, of what does not fit.
Trainer load_net(const std::string& path, TrainerOptions options = {},
                 const std::source_location& at = std::source_location::current());

}  // namespace sinter
