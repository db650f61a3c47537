#include <algorithm>
#include <cmath>
#include <numbers>

#include <sinter/error.h>
#include <sinter/schedule.h>

namespace sinter {

namespace {

void require(bool good, const char* what, int64_t got) {
  if (!good) throw Error("{} is {}", what, got).help("give a number of at least 1");
}

// From a to b as x goes from 0 to 1, slow at both ends.
double cosine_between(double a, double b, double x) {
  return b + (a - b) * (1 + std::cos(std::numbers::pi * x)) / 2;
}

}  // namespace

double StepLR::operator()(double initial, int64_t t) const {
  require(step_size > 0, "step_size of StepLR", step_size);
  return initial * std::pow(gamma, static_cast<double>(t / step_size));
}

double ExponentialLR::operator()(double initial, int64_t t) const {
  return initial * std::pow(gamma, static_cast<double>(t));
}

double CosineAnnealingLR::operator()(double initial, int64_t t) const {
  require(t_max > 0, "t_max of CosineAnnealingLR", t_max);
  const double part = static_cast<double>(std::min(t, t_max)) / static_cast<double>(t_max);
  return cosine_between(initial, eta_min, part);
}

double OneCycleLR::operator()(double, int64_t t) const {
  require(total_steps > 0, "total_steps of OneCycleLR", total_steps);
  const double first = max_lr / div_factor, last = first / final_div_factor;
  // PyTorch counts the steps of both parts from 0: the last step has the last value.
  const double top = pct_start * static_cast<double>(total_steps) - 1;
  const double end = static_cast<double>(total_steps) - 1;
  const double now = std::min(static_cast<double>(t), end);
  if (now <= top) return cosine_between(first, max_lr, top > 0 ? now / top : 1);
  return cosine_between(max_lr, last, end > top ? (now - top) / (end - top) : 1);
}

double Warmup::operator()(double initial, int64_t t) const {
  require(steps > 0, "steps of Warmup", steps);
  if (t >= steps) return then ? then(initial, t - steps) : initial;
  const double part = static_cast<double>(t) / static_cast<double>(steps);
  return (then ? then(initial, 0) : initial) * (start_factor + (1 - start_factor) * part);
}

}  // namespace sinter
