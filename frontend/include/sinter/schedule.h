#pragma once

#include <cstdint>
#include <functional>

namespace sinter {

/// A learning rate that changes with time: a function of the initial rate and of t, the number of
/// epochs (or batches) that are over. The values reach the step as an argument, so that a schedule
/// never recompiles. Any callable is one; these are PyTorch's, by its names and formulas.
using Schedule = std::function<double(double initial, int64_t t)>;

/// initial * gamma^floor(t / step_size).
struct StepLR {
  int64_t step_size = 30;
  double gamma = 0.1;
  double operator()(double initial, int64_t t) const;
};

/// initial * gamma^t.
struct ExponentialLR {
  double gamma = 0.95;
  double operator()(double initial, int64_t t) const;
};

/// eta_min + (initial - eta_min) (1 + cos(pi t / t_max)) / 2, and eta_min after t_max. Source:
/// Loshchilov and Hutter 2017, without restarts.
struct CosineAnnealingLR {
  int64_t t_max = 1;
  double eta_min = 0;
  double operator()(double initial, int64_t t) const;
};

/// Rises by half a cosine from max_lr / div_factor to max_lr in the first pct_start of the steps,
/// then falls likewise to max_lr / (div_factor final_div_factor). Does not depend on the initial
/// rate; meant for one value each batch. Source: Smith and Topin 2018, in PyTorch's form.
struct OneCycleLR {
  double max_lr = 0.1;
  int64_t total_steps = 1;
  double pct_start = 0.3;
  double div_factor = 25;
  double final_div_factor = 1e4;
  double operator()(double initial, int64_t t) const;
};

/// Rises linearly from start_factor times the initial rate during the first `steps`, then does what
/// `then` says with t counted from there; by default the rate stays.
struct Warmup {
  int64_t steps = 1;
  Schedule then{};
  double start_factor = 0.1;
  double operator()(double initial, int64_t t) const;
};

}  // namespace sinter
