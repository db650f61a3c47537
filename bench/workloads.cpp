#include "bench/workloads.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "ir/text.h"

namespace sinter::bench {

namespace {

using Clock = std::chrono::steady_clock;
constexpr double kBlockSeconds = 0.02;

double seconds_of(const std::function<void()>& call, int64_t times) {
  const Clock::time_point start = Clock::now();
  for (int64_t i = 0; i < times; ++i) call();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Timing time_blocks(const std::function<void()>& call, int64_t steps_per_call, int blocks) {
  call();
  int64_t times = 1;
  // The last trial is as long as a block, and warms up for them.
  for (double s = 0; (s = seconds_of(call, times)) < kBlockSeconds;) {
    times =
        static_cast<int64_t>(double(times) * std::clamp(kBlockSeconds / s * 1.1, 1.2, 10.0)) + 1;
  }
  Timing out;
  for (int i = 0; i < blocks; ++i) {
    out.us.push_back(seconds_of(call, times) / double(times * steps_per_call) * 1e6);
  }
  return out;
}

}  // namespace

Mlp::Mlp(const std::vector<int64_t>& sizes, const std::vector<std::string>& names,
         Activation activation)
    : activation_(activation) {
  for (size_t i = 0; i < names.size(); ++i) {
    layers_.push_back(std::make_unique<nn::Linear>(sizes[i], sizes[i + 1]));
    add(names[i], *layers_.back());
  }
}

Value Mlp::forward(Value x) {
  for (size_t i = 0; i + 1 < layers_.size(); ++i) {
    x = (*layers_[i])(x);
    x = activation_ == Activation::relu ? relu(x) : tanh(x);
  }
  return (*layers_.back())(x);
}

const std::vector<Workload>& workloads() {
  static const std::vector<Workload> all = {
      {"W1", {1, 10, 1}, 100, false, 1000},
      {"W2", {2, 10, 2}, 200, true, 1000},
      {"W3", {1, 20, 1}, 32, false, 1024, 1000},
      {"W4", {4, 32, 16, 4}, 10000, false, 20, 0, Activation::tanh},
      {"W6", {784, 512, 256, 10}, 128, true, 50},
  };
  return all;
}

const Workload& find_workload(std::string_view name) {
  std::string names;
  for (const Workload& w : workloads()) {
    if (w.name == name) return w;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", w.name);
  }
  throw Error("no workload is named \"{}\"", name).help("the workloads are {}", names);
}

Objective loss_of(bool classes) {
  if (classes) return Objective([](const Value& p, const Value& y) { return cross_entropy(p, y); });
  return Objective([](const Value& p, const Value& y) { return mse_loss(p, y); });
}

optim::Optimizer make_optimizer(std::string_view name, double lr) {
  if (name == "adam") return optim::Adam{.lr = lr};
  return optim::SGD{.lr = lr};
}

Data make_data(const Workload& w) {
  Generator generator(1);
  if (!w.classes) {
    const int64_t rows = w.rows > 0 ? w.rows : w.batch;
    Data out{linspace(-1, 1, rows * w.sizes.front()).reshape({rows, w.sizes.front()}).contiguous(),
             rand({rows, w.sizes.back()}, generator)};
    const std::span<const float> x = out.x.span<float>();
    const std::span<float> y = out.y.span<float>();
    for (size_t i = 0; i < y.size(); ++i) {
      const float at = x[i * x.size() / y.size()];
      y[i] = at * at + 0.2f * y[i];
    }
    return out;
  }
  Data out{rand({w.batch, w.sizes.front()}, generator), Tensor::empty({w.batch}, DType::i64)};
  const Tensor draws = rand({w.batch}, generator);
  for (int64_t i = 0; i < w.batch; ++i) {
    out.y.data<int64_t>()[i] = static_cast<int64_t>(draws.at({i}) * double(w.sizes.back()));
  }
  return out;
}

Mlp make_net(const Workload& w) {
  manual_seed(1);
  std::vector<std::string> names;
  for (size_t i = 1; i < w.sizes.size(); ++i) names.push_back(fmt::format("fc{}", i));
  return {w.sizes, names, w.activation};
}

double Timing::median() const {
  std::vector<double> sorted = us;
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  return sorted.size() % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double Timing::min() const { return *std::min_element(us.begin(), us.end()); }

std::vector<Timed> time_workload(const Workload& w, int blocks, int threads) {
  std::vector<Timed> out;
  const Data data = make_data(w);
  for (std::string_view optimizer : kOptimizers) {
    Mlp net = make_net(w);
    Trainer trainer(net, loss_of(w.classes), make_optimizer(optimizer),
                    {.max_batch = w.batch, .threads = threads});
    float last = 0;
    const Tensor x = data.x.rows(0, w.batch), y = data.y.rows(0, w.batch);
    const auto one = [&] { last = trainer.step(x, y); };
    const auto many = [&] {
      last = trainer.steps(data.x, data.y, {.batch_size = w.batch, .count = w.per_call});
    };
    Timing step = time_blocks(one, 1, blocks), steps = time_blocks(many, w.per_call, blocks);
    if (!std::isfinite(last))
      throw Error("the loss of {} is {}", w.name, last)
          .help("run sinter_bench --weights tests/fixtures/regression to see what differs");

    // Gradients expanded, nothing fused: each product and each elementwise op once.
    const ir::Module module = ir::parse(trainer.dump("dce"));
    const Work work = count_work(module, *module.find("train_step"), w.batch);
    out.push_back({fmt::format("{}/{}/step", w.name, optimizer), std::move(step), work});
    out.push_back({fmt::format("{}/{}/steps", w.name, optimizer), std::move(steps), work});
  }
  return out;
}

}  // namespace sinter::bench
