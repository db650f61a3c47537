// The rules that scale each element by what its gradients were: AdaGrad, RMSprop, Adadelta, and
// Adam with its relatives.
#include <cmath>

#include <sinter/functions.h>
#include <sinter/optim.h>

#include "frontend/optim/optim_parts.h"

namespace sinter::optim {

namespace {

// Adam's moments after this step.
struct Moments {
  Value m, v;
};
Moments advance_moments(Step& step, const Trained& p, const Value& g, const Value& b1,
                        const Value& b2) {
  const Value m = step.state("m", p), v = step.state("v", p);
  const Moments next{b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * (g * g)};
  step.assign(m, next.m);
  step.assign(v, next.v);
  return next;
}

// 1 / sqrt(1 - beta2^t), the factor that corrects sqrt(v). One division for the step and none for
// each element: sqrt and division are what an update costs.
Value second_correction(Step& step, const Value& b2) {
  return 1 / sqrt(1 - advance_product(step, "beta2_power", b2));
}

// sqrt of v, or of the largest v so far with amsgrad.
Value root_of(Step& step, const Trained& p, const Value& v, bool amsgrad) {
  if (!amsgrad) return sqrt(v);
  const Value before = step.state("max_v", p);
  const Value largest = maximum(before, v);
  step.assign(before, largest);
  return sqrt(largest);
}

}  // namespace

void AdaGrad::update(Step& step) const {
  Value rate = step.hyper("lr", lr);
  const Value epsilon = step.hyper("eps", eps);
  if (lr_decay != 0) {
    rate = rate / (1 + (advance_count(step) - 1) * step.hyper("lr_decay", lr_decay));
  }
  for (const Trained& p : step.parameters()) {
    const Value g = decayed_gradient(step, p, weight_decay);
    const Value s = step.state("sum", p, initial_accumulator);
    const Value next = s + g * g;
    step.assign(s, next);
    step.assign(p.value, p.value - rate * g / (sqrt(next) + epsilon));
  }
}

void RMSprop::update(Step& step) const {
  const Value rate = step.hyper("lr", lr), a = step.hyper("alpha", alpha);
  const Value epsilon = step.hyper("eps", eps);
  for (const Trained& p : step.parameters()) {
    const Value g = decayed_gradient(step, p, weight_decay);
    const Value s = step.state("square_avg", p);
    const Value next = a * s + (1 - a) * (g * g);
    step.assign(s, next);
    Value variance = next;
    if (centered) {
      const Value average = step.state("grad_avg", p);
      const Value next_average = a * average + (1 - a) * g;
      step.assign(average, next_average);
      variance = relu(next - next_average * next_average);
    }
    Value u = g / (sqrt(variance) + epsilon);
    if (momentum != 0) {
      const Value b = step.state("momentum_buffer", p);
      u = step.hyper("momentum", momentum) * b + u;
      step.assign(b, u);
    }
    step.assign(p.value, p.value - rate * u);
  }
}

void Adadelta::update(Step& step) const {
  const Value rate = step.hyper("lr", lr), r = step.hyper("rho", rho);
  const Value epsilon = step.hyper("eps", eps);
  for (const Trained& p : step.parameters()) {
    const Value g = decayed_gradient(step, p, weight_decay);
    const Value s = step.state("square_avg", p), a = step.state("acc_delta", p);
    const Value next = r * s + (1 - r) * (g * g);
    const Value d = sqrt(a + epsilon) / sqrt(next + epsilon) * g;
    step.assign(s, next);
    step.assign(a, r * a + (1 - r) * (d * d));
    step.assign(p.value, p.value - rate * d);
  }
}

void Adam::update(Step& step) const {
  const Value rate = step.hyper("lr", lr);
  const Value b1 = step.hyper("beta1", beta1), b2 = step.hyper("beta2", beta2);
  const Value epsilon = step.hyper("eps", eps);
  Value scale = rate, correction;
  if (bias_correction) {
    scale = rate / (1 - advance_product(step, "beta1_power", b1));
    correction = second_correction(step, b2);
  }
  for (const Trained& p : step.parameters()) {
    const Value g = decayed_gradient(step, p, weight_decay);
    const Moments next = advance_moments(step, p, g, b1, b2);
    Value root = root_of(step, p, next.v, amsgrad);
    if (bias_correction) root = root * correction;
    step.assign(p.value, p.value - scale * next.m / (root + epsilon));
  }
}

void AdamW::update(Step& step) const {
  const Value rate = step.hyper("lr", lr);
  const Value b1 = step.hyper("beta1", beta1), b2 = step.hyper("beta2", beta2);
  const Value epsilon = step.hyper("eps", eps), decay = step.hyper("weight_decay", weight_decay);
  const Value scale = rate / (1 - advance_product(step, "beta1_power", b1));
  const Value correction = second_correction(step, b2);
  const Value keep = 1 - rate * decay;
  for (const Trained& p : step.parameters()) {
    const Moments next = advance_moments(step, p, p.gradient, b1, b2);
    const Value root = root_of(step, p, next.v, amsgrad) * correction;
    step.assign(p.value, keep * p.value - scale * next.m / (root + epsilon));
  }
}

void Adamax::update(Step& step) const {
  const Value rate = step.hyper("lr", lr);
  const Value b1 = step.hyper("beta1", beta1), b2 = step.hyper("beta2", beta2);
  const Value epsilon = step.hyper("eps", eps);
  const Value scale = rate / (1 - advance_product(step, "beta1_power", b1));
  for (const Trained& p : step.parameters()) {
    const Value g = decayed_gradient(step, p, weight_decay);
    const Value m = step.state("m", p), u = step.state("u", p);
    const Value next_m = b1 * m + (1 - b1) * g, next_u = maximum(b2 * u, abs(g) + epsilon);
    step.assign(m, next_m);
    step.assign(u, next_u);
    step.assign(p.value, p.value - scale * next_m / next_u);
  }
}

void NAdam::update(Step& step) const {
  const Value rate = step.hyper("lr", lr);
  const Value b1 = step.hyper("beta1", beta1), b2 = step.hyper("beta2", beta2);
  const Value epsilon = step.hyper("eps", eps);
  const Value t = advance_count(step);
  const Value slope = std::log(0.96) * step.hyper("momentum_decay", momentum_decay);
  const auto mu_at = [&](const Value& time) { return b1 * (1 - 0.5 * exp(slope * time)); };
  const Value mu = mu_at(t), mu_next = mu_at(t + 1);
  const Value product = advance_product(step, "mu_product", mu);
  const Value correction = sqrt(1 - advance_product(step, "beta2_power", b2));
  const Value g_scale = rate * (1 - mu) / (1 - product);
  const Value m_scale = rate * mu_next / (1 - product * mu_next);
  for (const Trained& p : step.parameters()) {
    const Value g = decayed_gradient(step, p, weight_decay);
    const Moments next = advance_moments(step, p, g, b1, b2);
    const Value d = sqrt(next.v) / correction + epsilon;
    step.assign(p.value, p.value - (g_scale * g + m_scale * next.m) / d);
  }
}

void RAdam::update(Step& step) const {
  const Value rate = step.hyper("lr", lr);
  const Value b1 = step.hyper("beta1", beta1), b2 = step.hyper("beta2", beta2);
  const Value epsilon = step.hyper("eps", eps);
  const DType dtype = rate.dtype();
  const Value scale = rate / (1 - advance_product(step, "beta1_power", b1));
  const Value beta = cast(b2, DType::f64), t = advance_count(step, DType::f64);
  const Value power = advance_product(step, "beta2_power", beta, DType::f64);
  const Value p_inf = 2 / (1 - beta) - 1, p_t = p_inf - 2 * t * power / (1 - power);
  const Value rectified = less(5, p_t);
  const Value ratio = (p_t - 4) * (p_t - 2) * p_inf / ((p_inf - 4) * (p_inf - 2) * p_t);
  const Value r = cast(sqrt(where(rectified, ratio, 1) * (1 - power)), dtype);
  for (const Trained& p : step.parameters()) {
    const Value g = decayed_gradient(step, p, weight_decay);
    const Moments next = advance_moments(step, p, g, b1, b2);
    const Value adaptive = where(rectified, r / (sqrt(next.v) + epsilon), 1);
    step.assign(p.value, p.value - scale * next.m * adaptive);
  }
}

void LAMB::update(Step& step) const {
  const Value rate = step.hyper("lr", lr);
  const Value b1 = step.hyper("beta1", beta1), b2 = step.hyper("beta2", beta2);
  const Value epsilon = step.hyper("eps", eps);
  const Value correction1 = 1 - advance_product(step, "beta1_power", b1);
  const Value correction2 = sqrt(1 - advance_product(step, "beta2_power", b2));
  for (const Trained& p : step.parameters()) {
    const Moments next = advance_moments(step, p, p.gradient, b1, b2);
    Value u = next.m / correction1 / (sqrt(next.v) / correction2 + epsilon);
    if (weight_decay != 0) u = u + step.hyper("weight_decay", weight_decay) * p.value;
    const Value w_norm = sqrt(sum(p.value * p.value)), u_norm = sqrt(sum(u * u));
    const Value trust = where(equal(w_norm * u_norm, 0), 1, w_norm / u_norm);
    step.assign(p.value, p.value - rate * trust * u);
  }
}

}  // namespace sinter::optim
