#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include <sinter/finite_check.h>
#include <sinter/npy.h>

#include "compiler/pipeline.h"
#include "frontend/recording.h"
#include "frontend/train/step_search.h"
#include "ir/text/text.h"

namespace sinter {

namespace {

using detail::Argument;
using detail::Recorded;

template <class T>
bool finite(const Tensor& t) {
  const std::span<const T> values = t.span<T>();
  return std::all_of(values.begin(), values.end(), [](T v) { return std::isfinite(v); });
}

bool finite(const Tensor& t) {
  if (t.dtype() == DType::f32) return finite<float>(t);
  if (t.dtype() == DType::f64) return finite<double>(t);
  return true;
}

// What the arguments of the step were, in order.
std::vector<Tensor> arguments_of(const Recorded& step, const Trainer& trainer, const Tensor& x,
                                 const Tensor& y) {
  std::vector<Tensor> out;
  size_t inputs = 0;
  for (size_t i = 0; i < step.arguments.size(); ++i) {
    const ir::ValueInfo& info = step.func()[step.func().args[i]];
    switch (step.arguments[i].kind) {
      case Argument::Kind::input:
        out.push_back(inputs++ == 0 ? x : y);
        break;
      case Argument::Kind::hyper:
        out.push_back(full({}, trainer.get(info.name), info.type.dtype));
        break;
      case Argument::Kind::captured:
        out.push_back(step.arguments[i].tensor);
        break;
    }
  }
  return out;
}

// Writes the step and what it read; returns the command that runs it again.
std::string write_replay(const std::string& folder, const Recorded& step,
                         const std::vector<Tensor>& arguments, const std::vector<Tensor>& globals) {
  std::filesystem::create_directories(folder);
  const std::string path = folder + "/step.sir";
  std::string command = fmt::format("sinter run {} --inputs", path);
  {
    const std::string text = ir::print(step.module);
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (file == nullptr || std::fwrite(text.data(), 1, text.size(), file) != text.size()) {
      if (file != nullptr) std::fclose(file);
      throw Error("cannot write {}", path).help("choose another replay_dir");
    }
    std::fclose(file);
  }
  const auto write = [&](const std::string& name, const Tensor& value) {
    const std::string file = fmt::format("{}/{}.npy", folder, name);
    save_npy(file, value);
    command += fmt::format(" {}={}", name, file);
  };
  for (size_t i = 0; i < arguments.size(); ++i) {
    write(step.func()[step.func().args[i]].name, arguments[i]);
  }
  for (size_t i = 0; i < globals.size(); ++i) write(step.module.globals[i].name, globals[i]);
  return command;
}

// The step with its gradients spelled out: what the interpreter can walk.
ir::Module differentiated(const Recorded& step, int64_t rows) {
  compiler::Options options;
  options.max_batch = rows;
  ir::Module work = step.module, out;
  compiler::run_pipeline(work, options, [&](std::string_view stage, const ir::Module& now, bool) {
    if (stage == "differentiate") out = now;
  });
  return out;
}

// Without the sign that a NaN may have.
std::string number(double x) { return std::isnan(x) ? "nan" : fmt::format("{}", x); }

Error message(const NonFinite& found, bool known, float loss) {
  const std::string what =
      std::isfinite(loss) ? "a weight" : fmt::format("the loss ({})", number(loss));
  if (!known) {
    return Error("{} is not finite at step {}, but the interpreter finds only finite numbers", what,
                 found.step)
        .note("compiled code and the interpreter round differently, or one of them is wrong")
        .help(found.replay.empty() ? "give replay_dir to have the step written to files"
                                   : "replay it with: " + found.replay);
  }
  const std::string where = found.row < 0 ? "" : fmt::format(" in row {}", found.row);
  Error error = found.op.empty()
                    ? Error("{} is not finite at step {}: {} held {}{} when the step began", what,
                            found.step, found.value, number(found.element), where)
                    : Error("{} is not finite at step {}: {} gives {}{}", what, found.step,
                            found.op, number(found.element), where);
  if (found.at.known()) error.at(found.at);
  if (!found.index.empty()) {
    error.note("first in {} at [{}]{}", found.value, fmt::join(found.index, ", "),
               found.scope.empty() ? "" : ", module " + found.scope);
  } else {
    error.note("in {}{}", found.value, found.scope.empty() ? "" : ", module " + found.scope);
  }
  for (const NonFinite::Operand& o : found.operands) {
    error.note("{} : {} from {} to {}", o.value, o.type, o.low, o.high);
  }
  error.help(!found.replay.empty() ? "replay it with: " + found.replay
             : found.op.empty()    ? "clean the data before training"
                                   : "keep the operands where the op is defined, or train with a "
                                     "smaller lr");
  return error;
}

}  // namespace

FiniteCheck::FiniteCheck(FiniteCheckOptions options) : options_(std::move(options)) {}

float FiniteCheck::step(Trainer& trainer, const Tensor& x, const Tensor& y,
                        const std::source_location& at) {
  keep(trainer, x, y, at);
  const float loss = trainer.step(x, y, at);
  look(trainer, x, y, loss);
  return loss;
}

void FiniteCheck::on_batch_begin(Fit& fit) {
  keep(fit.trainer, *fit.x, *fit.y, std::source_location::current());
}

void FiniteCheck::on_batch_end(Fit& fit) { look(fit.trainer, *fit.x, *fit.y, fit.loss); }

void FiniteCheck::keep(Trainer& trainer, const Tensor& x, const Tensor& y,
                       const std::source_location& at) {
  trainer.record(x, y, at);
  const std::vector<detail::GlobalBinding>& globals = trainer.recorded().globals;
  const bool same =
      before_.size() == globals.size() &&
      std::equal(globals.begin(), globals.end(), before_.begin(),
                 [](const detail::GlobalBinding& g, const Tensor& kept) {
                   return g.tensor.dtype() == kept.dtype() && g.tensor.shape() == kept.shape();
                 });
  if (!same) {
    before_.clear();
    for (const detail::GlobalBinding& g : globals) before_.push_back(g.tensor.clone());
    return;
  }
  for (size_t i = 0; i < globals.size(); ++i) before_[i].copy_from(globals[i].tensor);
}

void FiniteCheck::look(Trainer& trainer, const Tensor& x, const Tensor& y, float loss) {
  const Recorded& step = trainer.recorded();
  const bool good = std::isfinite(loss) &&
                    std::all_of(step.globals.begin(), step.globals.end(),
                                [](const detail::GlobalBinding& g) { return finite(g.tensor); });
  if (good) {
    ++steps_;
    return;
  }
  const std::vector<Tensor> arguments = arguments_of(step, trainer, x, y);
  const int64_t rows = x.shape()[0];
  const std::optional<NonFinite> found =
      detail::find_non_finite(differentiated(step, rows), arguments, before_, rows);
  NonFinite report = found.value_or(NonFinite{});
  report.step = steps_;
  if (!options_.replay_dir.empty()) {
    report.replay = write_replay(options_.replay_dir, step, arguments, before_);
  }
  for (size_t i = 0; i < before_.size(); ++i) {
    Tensor target = step.globals[i].tensor;
    target.copy_from(before_[i]);
  }
  throw NonFiniteError(message(report, found.has_value(), loss), report);
}

}  // namespace sinter
