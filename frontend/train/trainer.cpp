// The trainer: records and compiles at the first step, then only swaps pointers.
#include <algorithm>

#include <fmt/format.h>

#include <sinter/error.h>
#include <sinter/trainer.h>

#include "frontend/train/trainer_impl.h"
#include "ir/text/text.h"

namespace sinter {

namespace {

using detail::Argument;
using detail::Input;
using detail::Program;
using detail::read;
using detail::Recorded;

// Pieces in which predict and evaluate run when no batch size is known.
constexpr int64_t kDefaultPiece = 1024;

}  // namespace

Trainer::Trainer(nn::Module& net, Objective loss, optim::Optimizer optimizer,
                 TrainerOptions options, const std::source_location& at)
    : impl_(std::make_unique<Impl>(net, std::move(loss), std::move(optimizer), std::move(options),
                                   at)) {}
Trainer::Trainer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

void Trainer::record(const Tensor& x, const Tensor& y, const std::source_location& at) {
  if (!impl_->recorded) impl_->record(x, y, at);
}

float Trainer::step(const Tensor& x, const Tensor& y, const std::source_location& at) {
  Impl& m = *impl_;
  m.prepare(x, y, 0, at);
  m.train->set_argument(0, x.raw());
  m.train->set_argument(1, y.raw());
  m.train->run(x.shape()[0]);
  ++m.steps;
  return m.collect(1, x.shape()[0], x.shape()[0], 1);
}

float Trainer::steps(const Tensor& x, const Tensor& y, StepsOptions options,
                     const std::source_location& at) {
  Impl& m = *impl_;
  if (options.batch_size < 0 || options.count < 0) {
    throw Error("batch_size is {} and count is {}", options.batch_size, options.count)
        .at(SourceLoc::from(at))
        .help("leave out what should follow from the rows");
  }
  Input::check_batch("x", x, at);
  const int64_t rows = x.shape()[0];
  int64_t batch = options.batch_size;
  if (batch == 0) batch = m.train_batch > 0 ? m.train_batch : m.options.max_batch;
  if (batch == 0 || batch > rows) batch = rows;
  m.prepare(x, y, batch, at);

  const int64_t per_pass = (rows + batch - 1) / batch;
  const int64_t total = options.count > 0 ? options.count : per_pass;
  const int64_t last_rows = rows - (per_pass - 1) * batch;
  m.reserve_results(total);
  Program& program = *m.train;
  program.set_argument(0, x.raw());
  program.set_argument(1, y.raw());
  // A batch of all rows repeats in place; a smaller one moves on, and starts again each pass.
  const bool repeats = per_pass == 1;
  program.set_argument_stride(0, repeats ? 0 : batch * m.x_input.row_bytes());
  program.set_argument_stride(1, repeats ? 0 : batch * m.y_input.row_bytes());
  for (int64_t done = 0; done < total;) {
    const int64_t count = repeats ? total : std::min(per_pass, total - done);
    m.run_steps(done, count, batch, count == per_pass || repeats ? last_rows : batch);
    done += count;
  }
  m.steps += total;
  m.bind_results(program);
  return m.collect(total, batch, last_rows, per_pass);
}

std::span<const float> Trainer::losses() const { return impl_->losses; }

double Trainer::metric(const std::string& name) const {
  const std::vector<Metric>& list = impl_->options.metrics;
  std::string names;
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].name == name) return impl_->metrics[i];
    names += (names.empty() ? "" : ", ") + list[i].name;
  }
  Error error("this trainer has no metric named {}", name);
  if (names.empty()) throw error.help("list it: {{.metrics = {{{{\"{}\", {}}}}}}}", name, name);
  throw error.help("it has {}", names);
}

double Trainer::metric(size_t index, size_t batch) const {
  SINTER_CHECK(index < impl_->metrics.size() && batch < impl_->losses.size());
  return read(impl_->results[index + 1], static_cast<int64_t>(batch));
}

Tensor Trainer::predict(const Tensor& input, const std::source_location& at) {
  Impl& m = *impl_;
  Input::check_batch("x", input, at);
  const Tensor x = input.contiguous();
  const int64_t rows = x.shape()[0];
  const Recorded& function = m.predict_function(x);
  const ir::Func& func = function.func();
  const ir::Type expected = func.type(func.args[0]);
  if (expected != detail::batch_type(x)) {
    throw Error("the net takes x : {} but receives {}", ir::to_string(expected), x.type_string())
        .at(SourceLoc::from(at))
        .help(x.dim() + 1 == expected.rank() ? "give it a feature axis: x.unsqueeze(1)"
                                             : "pass rows like those it was trained on");
  }
  const ir::Type& type = func.type(func.results[0]);
  if (type.rank() == 0 || !type.shape[0].batch) {
    throw Error("the net gives {} rather than one row for each row of x", ir::to_string(type))
        .at(SourceLoc::from(at))
        .help("keep axis 0 in forward() for the rows of the batch");
  }
  const int64_t piece = m.train_batch > 0         ? m.train_batch
                        : m.options.max_batch > 0 ? m.options.max_batch
                                                  : std::min(rows, kDefaultPiece);
  if (!m.predict || piece > m.predict_batch) {
    compiler::Options o = m.compiler;
    o.max_batch = m.predict_batch = piece;
    m.predict ? m.predict->recompile(o) : (void)m.predict.emplace(function, o);
  }
  Impl::check_labels(function, x, nullptr, at);
  Tensor out = Tensor::empty(type.dims(rows), type.dtype);
  const int64_t in_bytes = expected.bytes(1), out_bytes = type.bytes(1);
  for (int64_t row = 0; row < rows; row += m.predict_batch) {
    m.predict->set_argument(0, static_cast<const char*>(x.raw()) + row * in_bytes);
    m.predict->set_result(0, static_cast<char*>(out.raw()) + row * out_bytes);
    m.predict->run(std::min(m.predict_batch, rows - row));
  }
  return out;
}

float Trainer::evaluate(const Tensor& x_rows, const Tensor& y_rows,
                        const std::source_location& at) {
  Impl& m = *impl_;
  const Tensor x = x_rows.contiguous(), y = y_rows.contiguous();
  record(x, y, at);
  m.x_input.check(x, at);
  m.y_input.check(y, at);
  Impl::check_rows(x, y, at);
  const int64_t rows = x.shape()[0];
  if (!m.evaluate) {
    compiler::Options o = m.compiler;
    o.max_batch = m.train_batch > 0         ? m.train_batch
                  : m.options.max_batch > 0 ? m.options.max_batch
                                            : std::min(rows, kDefaultPiece);
    m.evaluate.emplace(m.evaluate_function(x, y), o);
  }
  Impl::check_labels(m.evaluate->recorded(), x, &y, at);
  m.bind_results(*m.evaluate);
  const int64_t piece = m.evaluate->executable().max_batch();
  double total = 0;
  std::vector<double> metrics(m.metrics.size());
  for (int64_t row = 0; row < rows; row += piece) {
    const int64_t n = std::min(piece, rows - row);
    m.evaluate->set_argument(0, static_cast<const char*>(x.raw()) + row * m.x_input.row_bytes());
    m.evaluate->set_argument(1, static_cast<const char*>(y.raw()) + row * m.y_input.row_bytes());
    m.evaluate->run(n);
    total += static_cast<double>(n) * read(m.results[0], 0);
    for (size_t i = 0; i < metrics.size(); ++i) {
      metrics[i] += static_cast<double>(n) * read(m.results[i + 1], 0);
    }
  }
  for (size_t i = 0; i < metrics.size(); ++i) {
    m.metrics[i] = metrics[i] / static_cast<double>(rows);
  }
  return static_cast<float>(total / static_cast<double>(rows));
}

double Trainer::get(const std::string& name) const {
  return impl_->hypers[impl_->hyper_index(name)].value;
}

void Trainer::set(const std::string& name, double value) {
  const size_t i = impl_->hyper_index(name);
  impl_->hypers[i].value = value;
  if (impl_->hyper_buffers.empty()) return;
  Tensor& buffer = impl_->hyper_buffers[i];
  if (buffer.dtype() == DType::f64) {
    *buffer.data<double>() = value;
  } else {
    *buffer.data<float>() = static_cast<float>(value);
  }
}

int64_t Trainer::step_count() const { return impl_->steps; }
int Trainer::compile_count() const { return impl_->compiles; }
int64_t Trainer::max_batch() const { return impl_->train_batch; }

void Trainer::reserve(int64_t rows) {
  if (!impl_->train && !impl_->options.fixed_batch) {
    impl_->options.max_batch = std::max(impl_->options.max_batch, rows);
  }
}

nn::Module& Trainer::net() const { return impl_->live_net(); }

std::vector<std::string> Trainer::metric_names() const {
  std::vector<std::string> out;
  for (const Metric& metric : impl_->options.metrics) out.push_back(metric.name);
  return out;
}

std::vector<std::pair<std::string, Tensor>> Trainer::state() const { return impl_->states; }

namespace {
Error not_recorded() {
  return Error("the step has not been recorded yet").help("call record(x, y) or step(x, y) first");
}
}  // namespace

detail::TrainerParts detail::TrainerFile::parts(const Trainer& trainer) {
  Trainer::Impl& m = *trainer.impl_;
  if (!m.recorded && m.recorded_predict) return {{}, {}, *m.recorded_predict, {}, 0, 0};
  if (!m.recorded) throw not_recorded();
  const ir::Func& step = m.recorded->func();
  const auto like = [&](size_t i) {
    return Tensor::empty(step.type(step.args[i]).dims(1), step.type(step.args[i]).dtype);
  };
  const Tensor x = like(0), y = like(1);
  return {*m.recorded,
          m.evaluate_function(x, y),
          m.predict_function(x),
          m.hypers,
          std::max(m.train_batch, m.options.max_batch),
          m.steps};
}

Trainer detail::TrainerFile::make(TrainerParts parts, TrainerOptions options) {
  return Trainer(std::make_unique<Trainer::Impl>(std::move(parts), std::move(options)));
}

nn::Module* detail::TrainerFile::net(const Trainer& trainer) { return *trainer.impl_->net; }

bool detail::TrainerFile::is_recorded(const Trainer& trainer) {
  return trainer.impl_->recorded.has_value();
}

void detail::TrainerFile::resume(Trainer& trainer, int64_t steps, int64_t max_batch) {
  trainer.impl_->steps = steps;
  if (!trainer.impl_->train && !trainer.impl_->options.fixed_batch) {
    trainer.impl_->options.max_batch = std::max(trainer.impl_->options.max_batch, max_batch);
  }
}

std::string Trainer::ir() const {
  if (!impl_->recorded) throw not_recorded();
  return ir::print(detail::module_of(detail::TrainerFile::parts(*this), false));
}

std::vector<std::string> Trainer::hyper_names() const {
  std::vector<std::string> out;
  for (const detail::Hyper& hyper : impl_->hypers) out.push_back(hyper.name);
  return out;
}

const Recorded& Trainer::recorded() const {
  if (!impl_->recorded) throw not_recorded();
  return *impl_->recorded;
}

std::string Trainer::dump(const std::string& stage) const {
  Impl& m = *impl_;
  if (!m.recorded) throw not_recorded();
  std::string names = "forward";
  bool known = stage == "forward";
  for (const compiler::Pass& pass : compiler::passes()) {
    names += fmt::format(", {}", pass.name);
    known = known || stage == pass.name;
  }
  if (!known) throw Error("no stage is named {}", stage).help("the stages are {}", names);
  compiler::Options o = m.compiler;
  o.dump_dir.clear();
  o.max_batch = std::max({m.train_batch, m.options.max_batch, m.recorded_rows});
  std::string text;
  ir::Module module = m.recorded->module;
  compiler::run_pipeline(module, o, [&](std::string_view at, const ir::Module& now, bool) {
    if (at == stage) text = ir::print(now);
  });
  return text;
}

}  // namespace sinter
