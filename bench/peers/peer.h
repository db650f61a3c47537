// A training step built by hand, and the program that checks and times it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sinter/sinter.h>

#include "bench/workloads.h"

namespace sinter::bench {

struct Recipe {
  std::vector<int64_t> sizes;
  int64_t max_rows = 0;
  bool classes = false;
  std::string optimizer;  // "sgd" or "adam"; ReLU between the layers
  float lr = 0, beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f;
  int threads = 1;
};

class HandBuiltStep {
 public:
  virtual ~HandBuiltStep() = default;
  // Weights [out, in] and biases of a layer, in f32; both copied.
  virtual void set(size_t layer, const float* weight, const float* bias) = 0;
  // The loss before the update. x is [n, in]; y is [n, out] in f32, or [n] labels in i64.
  virtual float run(const Tensor& x, const Tensor& y) = 0;
};

struct Peer {
  std::string name;  // as in the table: "C++"
  std::string version;
  std::vector<int> threads;  // configurations to time
  // Null where the peer does not offer the recipe.
  std::function<std::unique_ptr<HandBuiltStep>(const Recipe&)> make;
};

// Runs the command line of a peer: --workloads, --blocks, --json as sinter_bench, and --weights DIR
// to compare loss curves. Returns the exit status.
int peer_main(int argc, char** argv, const Peer& peer);

}  // namespace sinter::bench
