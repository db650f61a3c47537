#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include <sinter/error.h>
#include <sinter/fit.h>

#include "frontend/train/progress.h"
#include "runtime/files/file_io.h"

namespace sinter {

namespace {

Error no_value(std::string_view name, const std::vector<std::string>& names) {
  return Error("training has no value named {}", name)
      .help(names.empty() ? std::string("values exist after the first epoch")
            : name.starts_with("val_")
                ? fmt::format("it has {}; give rows with .validation for more",
                              fmt::join(names, ", "))
                : fmt::format("it has {}", fmt::join(names, ", ")));
}

}  // namespace

const std::vector<double>& History::operator[](std::string_view name) const {
  for (const auto& [known, values] : columns_) {
    if (known == name) return values;
  }
  throw no_value(name, names());
}

std::vector<std::string> History::names() const {
  std::vector<std::string> out;
  for (const auto& [name, values] : columns_) out.push_back(name);
  return out;
}

void History::save_csv(const std::string& path) const {
  std::string text = "epoch";
  for (const auto& [name, values] : columns_) text += "," + name;
  text += "\n";
  for (size_t i = 0; i < static_cast<size_t>(epochs_); ++i) {
    text += std::to_string(i + 1);
    for (const auto& [name, values] : columns_) text += fmt::format(",{}", values[i]);
    text += "\n";
  }
  const std::span<const std::byte> piece = std::as_bytes(std::span(text));
  detail::write_file(path, std::span(&piece, 1));
}

double Fit::value(std::string_view name) const {
  const std::vector<double>& values = history_[name];
  if (values.empty()) throw no_value(name, {});
  return values.back();
}

void Fit::stop(std::string reason) {
  history_.stopped_ = reason.empty() ? "a callback stopped it" : std::move(reason);
}

void Fit::add(const std::string& name, double value) {
  for (auto& [known, values] : history_.columns_) {
    if (known == name) {
      values.push_back(value);
      return;
    }
  }
  history_.columns_.emplace_back(name, std::vector<double>{value});
}

// Means over rows of what mini-batches gave.
class RowMeans {
 public:
  explicit RowMeans(size_t metrics) : metrics_(metrics) {}

  void add(const Tensor& x, double loss, const std::function<double(size_t)>& metric) {
    const auto rows = static_cast<double>(x.shape()[0]);
    rows_ += rows;
    loss_ += rows * loss;
    for (size_t i = 0; i < metrics_.size(); ++i) metrics_[i] += rows * metric(i);
  }
  double loss() const { return loss_ / rows_; }
  double metric(size_t i) const { return metrics_[i] / rows_; }

 private:
  double rows_ = 0, loss_ = 0;
  std::vector<double> metrics_;
};

// Runs the epochs.
class FitLoop {
 public:
  FitLoop(Trainer& trainer, DataLoader& loader, FitOptions options)
      : fit_(trainer, loader),
        options_(std::move(options)),
        metrics_(trainer.metric_names()),
        has_lr_(std::ranges::count(trainer.hyper_names(), "lr") > 0),
        progress_(options_.progress) {}

  History run() {
    const LoaderPosition start = fit_.loader.position();
    if (options_.resume) {
      fit_.epoch = start.epoch;
      fit_.step = start.epoch * fit_.loader.batches() + start.batch;
    }
    fit_.epochs = options_.epochs;
    fit_.trainer.reserve(fit_.loader.batch_size());
    each(&Callback::on_fit_begin);
    for (; fit_.epoch < fit_.epochs && !fit_.stopped(); ++fit_.epoch) epoch();
    each(&Callback::on_fit_end);
    return std::move(fit_.history_);
  }

 private:
  void each(void (Callback::*event)(Fit&)) {
    for (const AnyCallback& callback : options_.callbacks) (callback.operator->()->*event)(fit_);
  }

  void epoch() {
    each(&Callback::on_epoch_begin);
    if (fit_.stopped()) return;
    RowMeans means(metrics_.size());
    bool first = true;
    for (auto [step, x, y] : fit_.loader) {
      if (first) progress_.begin(fit_.epoch + 1, fit_.epochs, step, fit_.loader.batches());
      first = false;
      fit_.batch = step;
      fit_.x = &x;
      fit_.y = &y;
      each(&Callback::on_batch_begin);
      fit_.loss = fit_.trainer.step(x, y);
      means.add(x, fit_.loss, [&](size_t i) { return metric(i); });
      each(&Callback::on_batch_end);
      ++fit_.step;
      progress_.update(step + 1, means.loss());
      if (fit_.stopped()) break;
    }
    fit_.x = fit_.y = nullptr;
    fit_.add("loss", means.loss());
    for (size_t i = 0; i < metrics_.size(); ++i) fit_.add(metrics_[i], means.metric(i));
    validate();
    if (has_lr_) fit_.add("lr", fit_.trainer.lr());
    ++fit_.history_.epochs_;
    report();
    each(&Callback::on_epoch_end);
  }

  void validate() {
    const Validation& validation = options_.validation;
    RowMeans means(metrics_.size());
    if (validation.loader != nullptr) {
      for (auto [step, x, y] : *validation.loader) {
        means.add(x, fit_.trainer.evaluate(x, y), [&](size_t i) { return metric(i); });
      }
    } else if (validation.x.numel() > 0) {
      const float loss = fit_.trainer.evaluate(validation.x, validation.y);
      means.add(validation.x, loss, [&](size_t i) { return metric(i); });
    } else {
      return;
    }
    fit_.add("val_loss", means.loss());
    for (size_t i = 0; i < metrics_.size(); ++i) fit_.add("val_" + metrics_[i], means.metric(i));
  }

  double metric(size_t i) const { return fit_.trainer.metric(metrics_[i]); }

  void report() {
    std::string values;
    for (const std::string& name : fit_.history_.names()) {
      const char* separator = values.empty() ? "" : " - ";
      if (name == "lr") continue;
      values += fmt::format("{}{}: {:.4f}", separator, name, fit_.value(name));
    }
    progress_.end(values);
  }

  Fit fit_;
  FitOptions options_;
  std::vector<std::string> metrics_;
  bool has_lr_;
  detail::ProgressLine progress_;
};

History fit(Trainer& trainer, DataLoader& loader, FitOptions options,
            const std::source_location& at) {
  if (options.epochs < 1) {
    throw Error("fit got epochs = {}", options.epochs)
        .at(SourceLoc::from(at))
        .help("train for at least one epoch");
  }
  if (options.validation.loader == &loader) {
    throw Error("fit got one loader to train and to validate")
        .at(SourceLoc::from(at))
        .help("make a second DataLoader: a loop over this one would take an epoch of the training");
  }
  return FitLoop(trainer, loader, std::move(options)).run();
}

}  // namespace sinter
