// A physics-informed net: solves u'' = f on [0, 1] with u(0) = u(1) = 0, from f alone.
//
// The net's output is the second derivative of its guess at u, which the compiler derives like any
// other gradient; training fits it to f. For f(x) = -pi^2 sin(pi x) the solution is u(x) = sin(pi
// x).
#include <numbers>

#include <fmt/core.h>

#include <sinter/sinter.h>

namespace st = sinter;

constexpr double kPi = std::numbers::pi;
constexpr int kPoints = 65;
constexpr int kSteps = 2000;

struct Solution : st::nn::Module {
  st::nn::Linear first{1, 20}, second{20, 20}, last{20, 1};

  Solution() {
    add("first", first);
    add("second", second);
    add("last", last);
  }

  // The factor x (1 - x) makes it 0 at both ends, whatever the weights.
  st::Value u(st::Value x) { return x * (1 - x) * last(st::tanh(second(st::tanh(first(x))))); }

  // u''(x). Each point has its own u, so the gradient of the sum is the derivative at every point.
  st::Value forward(st::Value x) override {
    const st::Value slope = st::grad(st::sum(u(x)), x);
    return st::grad(st::sum(slope), x);
  }
};

int main() {
  st::manual_seed(1);
  const st::Tensor x = st::linspace(0, 1, kPoints).unsqueeze(1);
  const st::Tensor exact = st::eval(st::sin(kPi * x));
  const st::Tensor f = st::eval(-kPi * kPi * exact);

  Solution net;
  st::Trainer trainer(net, st::mse_loss, st::optim::Adam{.lr = 0.01});
  const st::CosineAnnealingLR rate{.t_max = kSteps};
  for (int step = 1; step <= kSteps; ++step) {
    trainer.set_lr(rate(0.01, step));
    const float residual = trainer.step(x, f);
    if (step % 500 == 0) {
      const st::Tensor error = st::eval(st::max(st::abs(net.u(x) - exact)));
      fmt::print("step {:4}  residual {:.2e}  largest error of u {:.2e}\n", step, residual,
                 error.item());
    }
  }
}
