// W1 to W3 as a careful programmer writes them in plain C++ and leaves the vectors to the compiler:
// sizes known when compiled, the batch innermost in every loop, hidden values kept, one update
// loop.
#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "bench/peers/peer.h"

namespace {

using namespace sinter::bench;

constexpr int kMaxRows = 256;

template <int I, int H, int O, bool kClasses>
class NarrowStep : public HandBuiltStep {
 public:
  explicit NarrowStep(const Recipe& recipe) : recipe_(recipe) {}

  void set(size_t layer, const float* weight, const float* bias) override {
    const int in = layer == 0 ? I : H, out = layer == 0 ? H : O;
    float* at = parameters_ + (layer == 0 ? 0 : kFirst);
    std::copy_n(weight, in * out, at);
    std::copy_n(bias, out, at + in * out);
  }

  float run(const sinter::Tensor& x, const sinter::Tensor& y) override {
    const int n = static_cast<int>(x.size(0));
    const float* rows = x.data<float>();
    for (int i = 0; i < I; ++i) {
      for (int r = 0; r < n; ++r) x_[i][r] = rows[r * I + i];
    }
    forward(n);
    const float loss = kClasses ? cross_entropy(y.data<int64_t>(), n) : mse(y.data<float>(), n);
    backward(n);
    update();
    return loss;
  }

 private:
  static constexpr int kFirst = I * H + H, kAll = kFirst + H * O + O;

  void forward(int n) {
    const float *w1 = parameters_, *b1 = w1 + I * H, *w2 = b1 + H, *b2 = w2 + H * O;
    for (int o = 0; o < O; ++o) std::fill_n(z_[o], n, b2[o]);
    for (int j = 0; j < H; ++j) {
      for (int r = 0; r < n; ++r) {
        float h = b1[j];
        for (int i = 0; i < I; ++i) h += w1[j * I + i] * x_[i][r];
        h = h > 0 ? h : 0;
        h_[j][r] = h;
        for (int o = 0; o < O; ++o) z_[o][r] += w2[o * H + j] * h;
      }
    }
  }

  // Both losses leave their gradient in z_.
  float mse(const float* y, int n) {
    float sum = 0;
    const float scale = 2.0f / static_cast<float>(n * O);
    for (int o = 0; o < O; ++o) {
      for (int r = 0; r < n; ++r) {
        const float d = z_[o][r] - y[r * O + o];
        sum += d * d;
        z_[o][r] = scale * d;
      }
    }
    return sum / static_cast<float>(n * O);
  }

  float cross_entropy(const int64_t* y, int n) {
    float loss = 0;
    const float scale = 1.0f / static_cast<float>(n);
    for (int r = 0; r < n; ++r) {
      float top = z_[0][r], sum = 0, picked = 0, e[O];
      for (int o = 1; o < O; ++o) top = std::max(top, z_[o][r]);
      const int label = static_cast<int>(y[r]);
      for (int o = 0; o < O; ++o) {
        picked = o == label ? z_[o][r] : picked;
        e[o] = std::exp(z_[o][r] - top);
        sum += e[o];
      }
      loss += top + std::log(sum) - picked;
      for (int o = 0; o < O; ++o) z_[o][r] = scale * (e[o] / sum - (o == label ? 1.0f : 0.0f));
    }
    return loss * scale;
  }

  void backward(int n) {
    float *dw1 = gradient_, *db1 = dw1 + I * H, *dw2 = db1 + H, *db2 = dw2 + H * O;
    const float* w2 = parameters_ + kFirst;
    for (int o = 0; o < O; ++o) {
      float sum = 0;
      for (int r = 0; r < n; ++r) sum += z_[o][r];
      db2[o] = sum;
    }
    for (int j = 0; j < H; ++j) {
      float db = 0, dwi[I] = {}, dwo[O] = {};
      for (int r = 0; r < n; ++r) {
        float dh = 0;
        for (int o = 0; o < O; ++o) {
          dwo[o] += z_[o][r] * h_[j][r];
          dh += w2[o * H + j] * z_[o][r];
        }
        dh = h_[j][r] > 0 ? dh : 0;
        db += dh;
        for (int i = 0; i < I; ++i) dwi[i] += dh * x_[i][r];
      }
      db1[j] = db;
      for (int i = 0; i < I; ++i) dw1[j * I + i] = dwi[i];
      for (int o = 0; o < O; ++o) dw2[o * H + j] = dwo[o];
    }
  }

  void update() {
    if (recipe_.optimizer == "sgd") {
      for (int i = 0; i < kAll; ++i) parameters_[i] -= recipe_.lr * gradient_[i];
      return;
    }
    const float b1 = recipe_.beta1, b2 = recipe_.beta2;
    power1_ *= b1;
    power2_ *= b2;
    const float size = recipe_.lr / static_cast<float>(1 - power1_);
    const float root = 1 / std::sqrt(static_cast<float>(1 - power2_));
    for (int i = 0; i < kAll; ++i) {
      const float g = gradient_[i];
      m_[i] = b1 * m_[i] + (1 - b1) * g;
      v_[i] = b2 * v_[i] + (1 - b2) * g * g;
      parameters_[i] -= size * m_[i] / (std::sqrt(v_[i]) * root + recipe_.eps);
    }
  }

  Recipe recipe_;
  double power1_ = 1, power2_ = 1;
  alignas(64) float parameters_[kAll] = {}, gradient_[kAll] = {}, m_[kAll] = {}, v_[kAll] = {};
  alignas(64) float x_[I][kMaxRows], h_[H][kMaxRows], z_[O][kMaxRows];
};

std::unique_ptr<HandBuiltStep> make(const Recipe& recipe) {
  using Sizes = std::vector<int64_t>;
  if (recipe.max_rows > kMaxRows) return nullptr;
  if (recipe.sizes == Sizes{1, 10, 1}) return std::make_unique<NarrowStep<1, 10, 1, false>>(recipe);
  if (recipe.sizes == Sizes{1, 20, 1}) return std::make_unique<NarrowStep<1, 20, 1, false>>(recipe);
  if (recipe.sizes == Sizes{2, 10, 2}) return std::make_unique<NarrowStep<2, 10, 2, true>>(recipe);
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  return peer_main(argc, argv,
                   {"C++",
                    fmt::format("{}.{} -O3 -march=native -ffast-math", __GNUC__, __GNUC_MINOR__),
                    {1},
                    make});
}
