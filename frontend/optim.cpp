// The rules, as arithmetic on values. What a field decides at construction is whether a term
// exists; its number is an argument of the step.
#include <sinter/functions.h>
#include <sinter/optim.h>

namespace sinter::optim {

void SGD::update(Step& step) const {
  const Value rate = step.hyper("lr", lr);
  for (const Trained& p : step.parameters()) {
    Value g = p.gradient;
    if (weight_decay != 0) g = g + step.hyper("weight_decay", weight_decay) * p.value;
    if (momentum != 0) {
      const Value mu = step.hyper("momentum", momentum);
      const Value b = step.state("momentum_buffer", p);
      Value next = mu * b + g;
      if (dampening != 0) {
        // PyTorch does not dampen the first step.
        const Value started = step.scalar_state("started", 0);
        const Value damped = mu * b + (1 - step.hyper("dampening", dampening)) * g;
        next = where(equal(started, 0), g, damped);
      }
      step.assign(b, next);
      g = nesterov ? g + mu * next : next;
    }
    step.assign(p.value, p.value - rate * g);
  }
  if (momentum != 0 && dampening != 0) {
    const Value started = step.scalar_state("started", 0);
    step.assign(started, where(equal(started, 0), 1, started));
  }
}

void Adam::update(Step& step) const {
  const Value rate = step.hyper("lr", lr);
  const Value b1 = step.hyper("beta1", beta1), b2 = step.hyper("beta2", beta2);
  const Value epsilon = step.hyper("eps", eps);
  // beta^t, held above the denormals: 1 - beta^t is 1 long before.
  const auto next_power = [&](const char* name, const Value& beta) {
    const Value before = step.scalar_state(name, 1);
    const Value power = before * beta;
    const Value next = where(less(power, 1e-30), 1e-30, power);
    step.assign(before, next);
    return next;
  };
  const Value correct1 = 1 - next_power("beta1_power", b1);
  // One division for the step, none for each element: sqrt and division are what an update costs.
  const Value correct2 = 1 / sqrt(1 - next_power("beta2_power", b2));
  const Value scale = rate / correct1;
  for (const Trained& p : step.parameters()) {
    Value g = p.gradient;
    if (weight_decay != 0) g = g + step.hyper("weight_decay", weight_decay) * p.value;
    const Value m = step.state("m", p), v = step.state("v", p);
    const Value next_m = b1 * m + (1 - b1) * g;
    const Value next_v = b2 * v + (1 - b2) * (g * g);
    step.assign(m, next_m);
    step.assign(v, next_v);
    step.assign(p.value, p.value - scale * next_m / (sqrt(next_v) * correct2 + epsilon));
  }
}

}  // namespace sinter::optim
