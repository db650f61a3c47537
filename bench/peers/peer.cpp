#include "bench/peers/peer.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include <CLI/CLI.hpp>
#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace sinter::bench {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// False if a run of the training differs, or if the peer offers none of its runs.
bool curves_agree(const Peer& peer, const std::string& folder) {
  std::ifstream file(folder + "/training.json");
  if (!file) throw Error("there is no {}/training.json", folder).help("name one of tests/fixtures");
  const json spec = json::parse(file);
  const Tensor x = load_npy(folder + "/x.npy").to(DType::f32);
  const bool classes = spec.at("loss") == "cross_entropy";
  const Tensor y = load_npy(folder + "/y.npy").to(classes ? DType::i64 : DType::f32);
  int compared = 0;
  for (const auto& [name, run] : spec.at("runs").items()) {
    if (run.value("momentum", 0.0) != 0) continue;
    Recipe recipe{spec.at("sizes"), run.at("batch"), classes, run.at("optimizer"), run.at("lr")};
    recipe.threads = peer.threads.back();
    const std::unique_ptr<HandBuiltStep> step = peer.make(recipe);
    if (!step) continue;
    for (size_t i = 0; i < spec.at("layers").size(); ++i) {
      const std::string layer = folder + "/" + spec["layers"][i].get<std::string>();
      const Tensor weight = load_npy(layer + ".weight.npy").to(DType::f32).contiguous();
      const Tensor bias = load_npy(layer + ".bias.npy").to(DType::f32).contiguous();
      step->set(i, weight.data<float>(), bias.data<float>());
    }
    const Tensor stored = load_npy(folder + "/" + name + "/losses.npy").to(DType::f64);
    double difference = 0;
    size_t at_step = 0;
    for (int64_t epoch = 0; epoch < run.at("epochs"); ++epoch) {
      for (int64_t at = 0; at < x.size(0); at += recipe.max_rows) {
        const int64_t end = std::min(at + recipe.max_rows, x.size(0));
        const double loss = step->run(x.rows(at, end), y.rows(at, end));
        const double d = std::abs(loss - stored.span<double>()[at_step++]);
        if (!(d <= difference)) difference = d;
      }
    }
    fmt::print("{}: losses differ by {:.2g} at most\n", name, difference);
    if (!(difference < 1e-5)) return false;
    ++compared;
  }
  return compared > 0;
}

Timing time_recipe(const Peer& peer, const Workload& w, const Recipe& recipe, int blocks) {
  const std::unique_ptr<HandBuiltStep> step = peer.make(recipe);
  if (!step) return {};
  manual_seed(1);
  for (size_t i = 0; i + 1 < w.sizes.size(); ++i) {
    nn::Linear layer(w.sizes[i], w.sizes[i + 1]);
    const Tensor weight = layer.weight.value(), bias = layer.bias.value();
    step->set(i, weight.data<float>(), bias.data<float>());
  }
  const Data data = make_data(w);
  const Tensor x = data.x.rows(0, w.batch), y = data.y.rows(0, w.batch);
  float last = 0;
  Timing out = time_blocks([&] { last = step->run(x, y); }, 1, blocks);
  if (!std::isfinite(last)) throw Error("the loss of {} is {}", w.name, last);
  return out;
}

void time_all(const Peer& peer, const std::vector<std::string>& names, int blocks,
              const std::string& path) {
  ordered_json out = {{"peer", peer.name}, {"version", peer.version}, {"hand_built", true}};
  ordered_json& timed = out["workloads"] = ordered_json::object();
  for (const Workload& w : workloads()) {
    if (!names.empty() && std::find(names.begin(), names.end(), w.name) == names.end()) continue;
    if (w.activation != Activation::relu) continue;
    for (const std::string& optimizer : w.optimizers) {
      for (int threads : peer.threads) {
        Recipe recipe{w.sizes, w.batch, w.classes, optimizer, 1e-9f};
        recipe.threads = threads;
        const Timing t = time_recipe(peer, w, recipe, blocks);
        if (t.us.empty()) continue;
        timed[fmt::format("{}/{}/step", w.name, optimizer)]["configs"]
             [fmt::format("{}-thread", threads)] = {{"us_median", t.median()}, {"us_min", t.min()}};
      }
    }
  }
  fmt::print("{}\n", out.dump(1));
  if (path.empty()) return;
  std::ofstream file(path);
  file << out.dump(1) << "\n";
  if (!file.flush()) throw Error("cannot write {}", path).help("check the folder and its space");
}

}  // namespace

int peer_main(int argc, char** argv, const Peer& peer) {
  std::vector<std::string> names;
  int blocks = 7;
  std::string path, weights;
  CLI::App app("Times training steps of " + peer.name + " on the bench's workloads.");
  app.add_option("--workloads", names, "W1,W6,... of bench/workloads.json (all)")->delimiter(',');
  app.add_option("--blocks", blocks, "timed blocks (7)")->check(CLI::PositiveNumber);
  app.add_option("--json", path, "write the figures to this file as well")->type_name("FILE");
  app.add_option("--weights", weights, "check the loss curves of this training, no timing")
      ->type_name("DIR");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    if (!weights.empty()) return curves_agree(peer, weights) ? 0 : 1;
    time_all(peer, names, blocks, path);
    return 0;
  } catch (const std::exception& e) {
    std::fflush(stdout);
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}

}  // namespace sinter::bench
