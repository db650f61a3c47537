#include "bench/workloads.h"

#include <cmath>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ir/text/text.h"

namespace sinter::bench {

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
  static const std::vector<Workload> all = [] {
    std::ifstream file(SINTER_BENCH_WORKLOADS);
    if (!file)
      throw Error("there is no {}", SINTER_BENCH_WORKLOADS)
          .help("keep the sources where sinter_bench was built from");
    std::vector<Workload> out;
    for (const nlohmann::json& w : nlohmann::json::parse(file)) {
      std::vector<int64_t> sizes = w.at("sizes");
      if (w.contains("repeat")) sizes.resize(w["repeat"].get<size_t>() + 1, sizes.front());
      out.push_back({w.at("name"), std::move(sizes), w.at("batch"), w.at("loss") == "cross_entropy",
                     w.at("per_call"), w.value("rows", 0),
                     w.value("activation", "relu") == "tanh" ? Activation::tanh : Activation::relu,
                     w.at("optimizers")});
    }
    return out;
  }();
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

std::vector<Timed> time_workload(const Workload& w, int blocks, int threads) {
  std::vector<Timed> out;
  const Data data = make_data(w);
  for (const std::string& optimizer : w.optimizers) {
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
