#include "bench/curves.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <vector>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <sinter/sinter.h>

#include "bench/workloads.h"

namespace sinter::bench {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

optim::Optimizer optimizer_of(const json& run) {
  if (run.at("optimizer") == "sgd")
    return optim::SGD{.lr = run.at("lr"), .momentum = run.at("momentum")};
  const json& betas = run.at("betas");
  return optim::Adam{
      .lr = run.at("lr"), .beta1 = betas.at(0), .beta2 = betas.at(1), .eps = run.at("eps")};
}

double largest_difference(const Tensor& a, const Tensor& b) {
  const Tensor wide_a = a.to(DType::f64), wide_b = b.to(DType::f64);
  if (wide_a.shape() != wide_b.shape()) {
    throw Error("trained {} against stored {}", a.type_string(), b.type_string())
        .help("name a training whose stored results belong to its training.json");
  }
  double out = 0;
  for (size_t i = 0; i < wide_a.span<double>().size(); ++i) {
    const double d = std::abs(wide_a.span<double>()[i] - wide_b.span<double>()[i]);
    if (!(d <= out)) out = d;
  }
  return out;
}

}  // namespace

bool check_curves(const std::string& folder, bool print_losses, int threads) {
  std::ifstream file(folder + "/training.json");
  if (!file) {
    throw Error("there is no {}/training.json", folder).help("name a folder of tests/fixtures");
  }
  const json spec = json::parse(file);
  const Tensor x = load_npy(folder + "/x.npy"), y = load_npy(folder + "/y.npy");
  Mlp net(spec.at("sizes"), spec.at("layers"));

  ordered_json result;
  bool good = true;
  for (const auto& [name, run] : spec.at("runs").items()) {
    for (nn::Parameter p : net.parameters())
      p.set_value(load_npy(folder + "/" + p.name() + ".npy"));
    const int64_t batch = run.at("batch");
    Trainer trainer(net, loss_of(spec.at("loss") == "cross_entropy"), optimizer_of(run),
                    {.max_batch = batch, .threads = threads});
    std::vector<double> losses;
    for (int64_t epoch = 0; epoch < run.at("epochs"); ++epoch) {
      for (int64_t at = 0; at < x.size(0); at += batch) {
        const int64_t end = std::min(at + batch, x.size(0));
        losses.push_back(trainer.step(x.rows(at, end), y.rows(at, end)));
      }
    }
    const std::string stored = folder + "/" + name;
    const double loss_difference =
        largest_difference(Tensor::from(losses), load_npy(stored + "/losses.npy"));
    double weight_difference = 0;
    for (const nn::Parameter& p : net.parameters()) {
      weight_difference =
          std::max(weight_difference,
                   largest_difference(p.value(), load_npy(stored + "/" + p.name() + ".npy")));
    }
    // As for the peer: Adam divides by near-zero roots, so single weights may part further.
    const bool agrees = loss_difference < 1e-5 && weight_difference < 1e-3;
    good = good && agrees;
    result[name] = {{"agrees", agrees},
                    {"loss_difference", loss_difference},
                    {"weight_difference", weight_difference}};
    if (print_losses) {
      losses.resize(std::min<size_t>(losses.size(), 20));
      result[name]["first_losses"] = losses;
    }
  }
  fmt::print("{}\n", result.dump(1));
  return good;
}

}  // namespace sinter::bench
