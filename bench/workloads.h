// The nets that are timed, and how.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sinter/sinter.h>

#include "bench/machine/floor.h"
#include "bench/timing.h"

namespace sinter::bench {

enum class Activation { relu, tanh };

// Fully connected layers with an activation between them, as in every workload.
class Mlp : public nn::Module {
 public:
  // One name for each layer: names.size() + 1 == sizes.size().
  Mlp(const std::vector<int64_t>& sizes, const std::vector<std::string>& names,
      Activation activation = Activation::relu);
  Value forward(Value x) override;

 private:
  std::vector<std::unique_ptr<nn::Linear>> layers_;
  Activation activation_;
};

struct Workload {
  std::string name;
  std::vector<int64_t> sizes;
  int64_t batch;
  bool classes;      // cross-entropy over labels; else mean squared error
  int64_t per_call;  // mini-batches in one call of Trainer::steps
  int64_t rows = 0;  // of the data set that those go through; 0 for one batch, again and again
  Activation activation = Activation::relu;
  std::vector<std::string> optimizers;
};

// All of bench/workloads.json, which the peers read as well.
const std::vector<Workload>& workloads();
// Error with the names there are.
const Workload& find_workload(std::string_view name);

Objective loss_of(bool classes);
// So small that no weight moves: every step does the same work, and nothing becomes denormal.
optim::Optimizer make_optimizer(std::string_view name, double lr = 1e-9);

struct Data {
  Tensor x, y;
};
Data make_data(const Workload& workload);
Mlp make_net(const Workload& workload);

struct Timed {
  std::string key;  // "W1/sgd/step"
  Timing timing;
  Work work;
};

// `step`: one call for each step, its loss read. `steps`: many steps in one call. A block of either
// lasts at least 20 ms; one more before them is not counted.
std::vector<Timed> time_workload(const Workload& workload, int blocks, int threads);

}  // namespace sinter::bench
