// What a Trainer is made of. The path of a step does not allocate and looks nothing up.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sinter/error.h>
#include <sinter/trainer.h>

#include "compiler/pipeline.h"
#include "frontend/program.h"
#include "frontend/train/input.h"
#include "frontend/train/step_recorder.h"
#include "frontend/train/trainer_file.h"

namespace sinter {

namespace detail {

inline compiler::Options merged(const TrainerOptions& mine) {
  compiler::Options out = compiler::Options::from_environment();
  if (mine.threads > 0) out.threads = mine.threads;
  if (mine.oversubscribe) out.oversubscribe = true;
  if (mine.interpret) out.interpret = true;
  if (!mine.dump_dir.empty()) {
    out.dump_dir = mine.dump_dir;
    out.keep_code_text = true;
  }
  out.off.insert(out.off.end(), mine.off.begin(), mine.off.end());
  return out;
}

// A loss or metric.
inline double read(const Tensor& buffer, int64_t i) {
  return buffer.dtype() == DType::f64 ? static_cast<const double*>(buffer.raw())[i]
                                      : static_cast<const float*>(buffer.raw())[i];
}

}  // namespace detail

struct Trainer::Impl {
  std::shared_ptr<nn::Module* const> net;
  Objective loss;
  optim::Optimizer optimizer;
  TrainerOptions options;
  std::source_location site;
  compiler::Options compiler;

  std::vector<detail::Hyper> hypers;
  std::vector<Tensor> hyper_buffers;  // once recorded
  std::vector<std::pair<std::string, Tensor>> states;
  detail::Input x_input, y_input;
  std::optional<detail::Recorded> recorded;
  std::optional<detail::Recorded> recorded_predict, recorded_evaluate;
  std::optional<detail::Program> train, predict, evaluate;
  int64_t train_batch = 0, predict_batch = 0;
  int64_t recorded_rows = 1;
  int compiles = 0;
  int64_t steps = 0;

  Tensor staged_x, staged_y;    // mini-batches of a loader that one call trains with
  std::vector<Tensor> results;  // one element for each mini-batch of a call
  std::vector<float> losses;
  std::vector<double> metrics;

  Impl(nn::Module& module, Objective l, optim::Optimizer o, TrainerOptions t,
       const std::source_location& at)
      : net(module.track()),
        loss(std::move(l)),
        optimizer(std::move(o)),
        options(std::move(t)),
        site(at),
        compiler(detail::merged(options)),
        hypers(detail::hypers_of(optimizer, module, SourceLoc::from(at))) {
    if (options.max_batch < 0) {
      throw Error("max_batch is {}", options.max_batch)
          .at(SourceLoc::from(at))
          .help("give the largest number of rows of a batch, or 0 for those of the first step");
    }
    metrics.resize(options.metrics.size());
    losses.reserve(1);
  }

  // Of what a file holds: everything is recorded, and there is no net to record again.
  Impl(detail::TrainerParts parts, TrainerOptions t)
      : net(std::make_shared<nn::Module*>(nullptr)),
        loss([](const Value& prediction, const Value&) { return prediction; }),
        optimizer(detail::SavedRule{}),
        options(std::move(t)),
        compiler(detail::merged(options)),
        hypers(std::move(parts.hypers)),
        recorded_predict(std::move(parts.predict)),
        recorded_evaluate(std::move(parts.evaluate)),
        steps(parts.steps) {
    metrics.resize(options.metrics.size());
    losses.reserve(1);
    if (options.max_batch == 0) options.max_batch = parts.max_batch;
    if (!parts.step) return;
    const std::vector<ir::Global>& globals = parts.step->module.globals;
    for (size_t i = recorded_predict->globals.size(); i < globals.size(); ++i) {
      states.emplace_back(globals[i].name, parts.step->globals[i].tensor);
    }
    adopt(std::move(*parts.step));
  }

  nn::Module& live_net() const {
    if (*net != nullptr) return **net;
    throw Error("the net of this trainer is gone")
        .at(SourceLoc::from(site))
        .help("keep the net alive as long as its trainer");
  }

  detail::StepSource source() {
    return {live_net(), loss, options.metrics, SourceLoc::from(site), site};
  }

  void record(const Tensor& x, const Tensor& y, const std::source_location& at) {
    if (recorded_predict && *net == nullptr) {
      throw Error("the file of this net holds no training step")
          .at(SourceLoc::from(at))
          .help("write it with save_net(trainer, path)");
    }
    detail::Input::check_batch("x", x, at);
    detail::Input::check_batch("y", y, at);
    check_rows(x, y, at);
    detail::RecordedStep step = detail::record_step(source(), optimizer, x, y);
    states = std::move(step.states);
    // Numbers that were set before stay.
    for (detail::Hyper& hyper : step.hypers) {
      for (const detail::Hyper& known : hypers) {
        if (known.name == hyper.name) hyper.value = known.value;
      }
    }
    hypers = std::move(step.hypers);
    adopt(std::move(step.recorded));
    recorded_rows = x.shape()[0];
  }

  // Makes `step` the step: buffers for its numbers and results, and what its inputs look like.
  void adopt(detail::Recorded step) {
    const ir::Func& func = step.func();
    for (size_t i = 0; i < func.args.size(); ++i) {
      if (step.arguments[i].kind != detail::Argument::Kind::hyper) continue;
      const double value = hypers.at(hyper_buffers.size()).value;
      hyper_buffers.push_back(full({}, value, func.type(func.args[i]).dtype));
    }
    SINTER_CHECK(hyper_buffers.size() == hypers.size());
    for (ir::ValueId id : func.results) {
      results.push_back(Tensor::empty({1}, func.type(id).dtype));
    }
    x_input = detail::Input("x", func.type(func.args[0]));
    y_input = detail::Input("y", func.type(func.args[1]));
    recorded = std::move(step);
  }

  void compile(int64_t batch) {
    train_batch = std::max(batch, options.max_batch);
    compiler::Options o = compiler;
    o.max_batch = train_batch;
    if (train) {
      train->recompile(o);
    } else {
      train.emplace(*recorded, o);
      for (size_t i = 0; i < hyper_buffers.size(); ++i) {
        train->set_argument(2 + i, hyper_buffers[i].raw());
      }
    }
    ++compiles;
    bind_results(*train);
  }

  // Makes room for several mini-batches, a near cache full of them or all; returns how many.
  int64_t stage(int64_t batch, int64_t total) {
    constexpr int64_t near_bytes = int64_t{1} << 19;
    const int64_t row = x_input.row_bytes() + y_input.row_bytes();
    const int64_t room = std::clamp<int64_t>(near_bytes / (batch * row), 1, total);
    x_input.reserve(staged_x, room * batch);
    y_input.reserve(staged_y, room * batch);
    train->set_argument(0, staged_x.raw());
    train->set_argument(1, staged_y.raw());
    train->set_argument_stride(0, batch * x_input.row_bytes());
    train->set_argument_stride(1, batch * y_input.row_bytes());
    return room;
  }

  void bind_results(detail::Program& program) {
    for (size_t i = 0; i < results.size(); ++i) program.set_result(i, results[i].raw());
  }

  void reserve_results(int64_t count) {
    if (results[0].numel() >= count) return;
    for (Tensor& t : results) t = Tensor::empty({count}, t.dtype());
    losses.reserve(static_cast<size_t>(count));
  }

  // `count` mini-batches in one call; their results come behind those of the `done` before them.
  void run_steps(int64_t done, int64_t count, int64_t batch, int64_t last_rows) {
    for (size_t i = 0; i < results.size(); ++i) {
      const auto size = static_cast<int64_t>(dtype_size(results[i].dtype()));
      train->set_result(i, static_cast<char*>(results[i].raw()) + done * size);
      train->set_result_stride(i, size);
    }
    train->run_steps(count, batch, last_rows);
  }

  static void check_rows(const Tensor& x, const Tensor& y, const std::source_location& at) {
    if (x.shape()[0] == y.shape()[0]) [[likely]] {
      return;
    }
    throw Error("x and y have {} and {} rows", x.shape()[0], y.shape()[0])
        .at(SourceLoc::from(at))
        .note("x : {}", x.type_string())
        .note("y : {}", y.type_string())
        .help("give one row of y for each row of x");
  }

  // Records and compiles if need be for batches of `n` rows; checks the inputs.
  void prepare(const Tensor& x, const Tensor& y, int64_t wanted, const std::source_location& at) {
    if (!recorded) [[unlikely]] {
      record(x, y, at);
    }
    x_input.check(x, at);
    y_input.check(y, at);
    check_rows(x, y, at);
    const int64_t n = wanted > 0 ? wanted : x.shape()[0];
    if (n > train_batch) [[unlikely]] {
      const int64_t limit = train ? train_batch : options.max_batch;
      if (options.fixed_batch && limit > 0 && n > limit) {
        throw Error("a batch of {} rows is larger than max_batch = {}", n, limit)
            .at(SourceLoc::from(at))
            .help("set .max_batch = {}, or leave out .fixed_batch to recompile once", n);
      }
      compile(n);
    }
    check_labels(*recorded, x, &y, at);
  }

  static void check_labels(const detail::Recorded& function, const Tensor& x, const Tensor* y,
                           const std::source_location& at) {
    for (const detail::LabelCheck& check : function.checks) {
      const auto look = [&](const Tensor& labels, const char* name) {
        const int64_t row = detail::first_bad_label(check, labels);
        if (row < 0) [[likely]] {
          return;
        }
        detail::refuse_label(check, labels, row, name, SourceLoc::from(at));
      };
      if (check.argument == 0) {
        look(x, "x");
      } else if (check.argument == 1 && y != nullptr) {
        look(*y, "y");
      } else {
        look(function.arguments[check.argument].tensor.contiguous(), "a captured tensor");
      }
    }
  }

  // Copies results out; row counts weigh the means.
  float collect(int64_t count, int64_t batch, int64_t last_rows, int64_t batches_per_pass) {
    losses.resize(static_cast<size_t>(count));
    double total = 0, rows = 0;
    std::fill(metrics.begin(), metrics.end(), 0.0);
    for (int64_t i = 0; i < count; ++i) {
      const bool last = (i + 1) % batches_per_pass == 0;
      const auto weight = static_cast<double>(last ? last_rows : batch);
      const double value = detail::read(results[0], i);
      losses[static_cast<size_t>(i)] = static_cast<float>(value);
      total += weight * value;
      rows += weight;
      for (size_t m = 0; m < metrics.size(); ++m)
        metrics[m] += weight * detail::read(results[m + 1], i);
    }
    for (double& m : metrics) m /= rows;
    return static_cast<float>(total / rows);
  }

  std::string names_of_hypers() const {
    std::string out;
    for (const detail::Hyper& h : hypers) out += (out.empty() ? "" : ", ") + h.name;
    return out;
  }

  size_t hyper_index(const std::string& name) const {
    for (size_t i = 0; i < hypers.size(); ++i) {
      if (hypers[i].name == name) return i;
    }
    throw Error("{} has no hyper-parameter named {}", optimizer.name(), name)
        .help("it has {}; others were 0 when it was made and are not in the step",
              names_of_hypers());
  }

  const detail::Recorded& predict_function(const Tensor& x) {
    if (!recorded_predict) recorded_predict = detail::record_predict(source(), x);
    return *recorded_predict;
  }

  const detail::Recorded& evaluate_function(const Tensor& x, const Tensor& y) {
    if (!recorded_evaluate) recorded_evaluate = detail::record_evaluate(source(), x, y);
    return *recorded_evaluate;
  }
};

}  // namespace sinter
