// Whole nets and checkpoints: what goes into the file, and what a trainer takes from it.
#include <sinter/error.h>
#include <sinter/random.h>
#include <sinter/saved_net.h>

#include "frontend/nn/net_file.h"
#include "frontend/nn/state_difference.h"

namespace sinter {

namespace {

using detail::NetFile;
using detail::StateDifference;
using detail::TrainerFile;
using detail::TrainerParts;

// Rows of inputs that a trainer is recorded with are made up here, within reason.
constexpr int64_t most_row_bytes = int64_t{1} << 25;

Tensor rows_like(const std::string& path, const ir::Type& type) {
  if (type.bytes(1) > most_row_bytes) {
    throw Error("a row in {} is {}, too large to be recorded from the file", path,
                ir::to_string(type))
        .help("call trainer.record(x, y) before load_checkpoint()");
  }
  return Tensor::empty(type.dims(1), type.dtype);
}

StateDict hypers_of(const TrainerParts& parts) {
  StateDict out;
  for (const detail::Hyper& hyper : parts.hypers) {
    out.add("hyper-parameter " + hyper.name, Tensor::scalar<double>(hyper.value));
  }
  return out;
}

}  // namespace

void save_net(const Trainer& trainer, const std::string& path) {
  detail::write_net_file(path, {TrainerFile::parts(trainer), {}, {}});
}

void save_net(nn::Module& net, const Tensor& x, const std::string& path,
              const std::source_location& at) {
  if (x.dim() == 0) {
    throw Error("x has no rows: it is {}", x.type_string())
        .at(SourceLoc::from(at))
        .help("give rows like those that it will predict for, as zeros({1, 784})");
  }
  const Objective no_loss([](const Value& prediction, const Value&) { return prediction; });
  const std::vector<Metric> no_metrics;
  TrainerParts parts;
  parts.predict = detail::record_predict({net, no_loss, no_metrics, SourceLoc::from(at), at}, x);
  detail::write_net_file(path, {std::move(parts), {}, {}});
}

Trainer load_net(const std::string& path, TrainerOptions options, const std::source_location& at) {
  if (!options.metrics.empty()) {
    throw Error("a saved net has the metrics that it was saved with")
        .at(SourceLoc::from(at))
        .help("leave out .metrics");
  }
  TrainerParts parts = std::move(detail::read_net_file(path).parts);
  if (parts.step) {
    const ir::Func& step = parts.step->func();
    const Objective in_the_ir([](const Value& prediction, const Value&) { return prediction; });
    for (size_t i = 1; i < step.results.size(); ++i) {
      options.metrics.push_back({step[step.results[i]].name, in_the_ir});
    }
  }
  return TrainerFile::make(std::move(parts), std::move(options));
}

StateDict Trainer::parameters() const {
  if (const nn::Module* net = TrainerFile::net(*this)) return net->state_dict();
  return detail::globals_of(TrainerFile::parts(*this).predict);
}

void Trainer::save_checkpoint(const std::string& path, const LoaderPosition& loader) const {
  TrainerParts parts = TrainerFile::parts(*this);
  if (!parts.step) {
    throw Error("{} was loaded without a training step", path)
        .help("write it with save_net(trainer, path)");
  }
  const Generator& generator = default_generator();
  detail::write_net_file(path, {std::move(parts), {{generator.seed(), generator.step()}}, loader});
}

LoaderPosition Trainer::load_checkpoint(const std::string& path, const std::source_location& at) {
  const NetFile file = detail::read_net_file(path);
  const auto refuse = [&](const StateDifference& difference, std::string_view what) {
    if (difference.none()) return;
    throw difference.explain(Error("{} does not fit {}", path, what))
        .at(SourceLoc::from(at))
        .help("make the net, the loss and the optimizer as they were when it was saved");
  };
  if (!file.parts.step || !file.generator) {
    throw Error("{} holds a net but no checkpoint", path)
        .at(SourceLoc::from(at))
        .help("load it with load_net(), or write it with Trainer::save_checkpoint()");
  }
  // Before anything is recorded, whose messages would be about shapes.
  refuse(StateDifference(parameters(), detail::globals_of(file.parts.predict)), "this net");
  const ir::Func& saved = file.parts.step->func();
  const ir::Type &x = saved.type(saved.args[0]), &y = saved.type(saved.args[1]);
  if (!TrainerFile::is_recorded(*this)) record(rows_like(path, x), rows_like(path, y), at);

  const TrainerParts mine = TrainerFile::parts(*this);
  const StateDict globals = detail::globals_of(*mine.step);
  const StateDict its = detail::globals_of(*file.parts.step);
  refuse(StateDifference(globals, its), "this net and optimizer");
  refuse(StateDifference(hypers_of(mine), hypers_of(file.parts)), "this optimizer");
  const ir::Func& step = mine.step->func();
  if (step.type(step.args[0]) != x || step.type(step.args[1]) != y) {
    throw Error("{} was saved for x : {} and y : {}", path, ir::to_string(x), ir::to_string(y))
        .at(SourceLoc::from(at))
        .note("this trainer has x : {}", ir::to_string(step.type(step.args[0])))
        .note("this trainer has y : {}", ir::to_string(step.type(step.args[1])))
        .help("train on rows of the same shape");
  }
  for (const auto& [name, tensor] : globals) {
    Tensor buffer = tensor;
    buffer.copy_from(its.at(name));
  }
  for (const detail::Hyper& hyper : file.parts.hypers) set(hyper.name, hyper.value);
  TrainerFile::resume(*this, file.parts.steps, file.parts.max_batch);
  manual_seed(file.generator->seed);
  default_generator().set_step(file.generator->step);
  return file.loader.value_or(LoaderPosition{});
}

}  // namespace sinter
