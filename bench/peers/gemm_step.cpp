#include "bench/peers/gemm_step.h"

#include <algorithm>
#include <cmath>

#include <omp.h>

#include "bench/peers/peer.h"

namespace sinter::bench {

namespace {

class GemmStep : public HandBuiltStep {
 public:
  GemmStep(const Recipe& recipe, Product product) : recipe_(recipe), product_(product) {
    omp_set_num_threads(recipe.threads);
    const size_t rows = static_cast<size_t>(recipe.max_rows);
    for (size_t i = 0; i + 1 < recipe.sizes.size(); ++i) {
      const size_t in = size_t(recipe.sizes[i]), out = size_t(recipe.sizes[i + 1]);
      Layer layer;
      layer.in = recipe.sizes[i];
      layer.out = recipe.sizes[i + 1];
      layer.w.resize(in * out + out);
      layer.g.resize(in * out + out);
      if (recipe.optimizer == "adam") {
        layer.m.resize(in * out + out);
        layer.v.resize(in * out + out);
      }
      layer.a.resize(rows * out);
      layer.d.resize(rows * out);
      layers_.push_back(std::move(layer));
    }
  }

  void set(size_t index, const float* weight, const float* bias) override {
    Layer& l = layers_[index];
    // Kept as [in, out], so that no product of the forward pass has a transposed operand.
    for (int64_t o = 0; o < l.out; ++o) {
      for (int64_t i = 0; i < l.in; ++i) l.w[size_t(i * l.out + o)] = weight[o * l.in + i];
    }
    std::copy_n(bias, l.out, l.w.data() + l.in * l.out);
  }

  float run(const sinter::Tensor& x, const sinter::Tensor& y) override {
    const int64_t n = x.size(0);
    const float* input = x.data<float>();
    for (size_t i = 0; i < layers_.size(); ++i) {
      Layer& l = layers_[i];
      product_(false, false, n, l.out, l.in, input, l.w.data(), l.a.data());
      add_bias(l, n, i + 1 < layers_.size());
      input = l.a.data();
    }
    const float loss =
        recipe_.classes ? cross_entropy(y.data<int64_t>(), n) : mse(y.data<float>(), n);
    power1_ *= recipe_.beta1;
    power2_ *= recipe_.beta2;
    for (size_t i = layers_.size(); i-- > 0;) {
      Layer& l = layers_[i];
      const float* in = i == 0 ? x.data<float>() : layers_[i - 1].a.data();
      product_(true, false, l.in, l.out, n, in, l.d.data(), l.g.data());
      bias_gradient(l, n);
      if (i > 0) {
        Layer& below = layers_[i - 1];
        product_(false, true, n, l.in, l.out, l.d.data(), l.w.data(), below.d.data());
        const int64_t size = n * below.out;
#pragma omp parallel for simd
        for (int64_t e = 0; e < size; ++e) below.d[e] = below.a[e] > 0 ? below.d[e] : 0;
      }
      update(l);
    }
    return loss;
  }

 private:
  struct Layer {
    int64_t in = 0, out = 0;
    // Weights [in, out], then the biases; the gradient and Adam's moments likewise.
    std::vector<float> w, g, m, v;
    std::vector<float> a, d;  // [n, out]: outputs and their gradient
  };

  static void add_bias(Layer& l, int64_t n, bool relu) {
    const float* bias = l.w.data() + l.in * l.out;
#pragma omp parallel for
    for (int64_t r = 0; r < n; ++r) {
      float* a = l.a.data() + r * l.out;
      if (relu) {
        for (int64_t o = 0; o < l.out; ++o) a[o] = a[o] + bias[o] > 0 ? a[o] + bias[o] : 0;
      } else {
        for (int64_t o = 0; o < l.out; ++o) a[o] += bias[o];
      }
    }
  }

  static void bias_gradient(Layer& l, int64_t n) {
    float* g = l.g.data() + l.in * l.out;
    std::fill_n(g, l.out, 0.0f);
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t o = 0; o < l.out; ++o) g[o] += l.d[size_t(r * l.out + o)];
    }
  }

  float mse(const float* y, int64_t n) {
    Layer& l = layers_.back();
    const int64_t size = n * l.out;
    const float scale = 1.0f / static_cast<float>(size);
    float sum = 0;
#pragma omp parallel for simd reduction(+ : sum)
    for (int64_t e = 0; e < size; ++e) {
      const float d = l.a[e] - y[e];
      sum += d * d;
      l.d[e] = 2 * scale * d;
    }
    return sum * scale;
  }

  float cross_entropy(const int64_t* y, int64_t n) {
    Layer& l = layers_.back();
    float loss = 0;
    for (int64_t r = 0; r < n; ++r) {
      const float* z = l.a.data() + r * l.out;
      float* d = l.d.data() + r * l.out;
      const float top = *std::max_element(z, z + l.out);
      float sum = 0;
      for (int64_t o = 0; o < l.out; ++o) sum += d[o] = std::exp(z[o] - top);
      loss += top + std::log(sum) - z[y[r]];
      for (int64_t o = 0; o < l.out; ++o) d[o] /= sum * float(n);
      d[y[r]] -= 1 / static_cast<float>(n);
    }
    return loss / static_cast<float>(n);
  }

  void update(Layer& l) {
    const int64_t size = int64_t(l.w.size());
    float *w = l.w.data(), *g = l.g.data(), *m = l.m.data(), *v = l.v.data();
    const float lr = recipe_.lr, b1 = recipe_.beta1, b2 = recipe_.beta2, eps = recipe_.eps;
    if (recipe_.optimizer == "sgd") {
#pragma omp parallel for simd
      for (int64_t i = 0; i < size; ++i) w[i] -= lr * g[i];
      return;
    }
    const float step = lr / static_cast<float>(1 - power1_);
    const float root = 1 / std::sqrt(static_cast<float>(1 - power2_));
#pragma omp parallel for simd
    for (int64_t i = 0; i < size; ++i) {
      m[i] = b1 * m[i] + (1 - b1) * g[i];
      v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
      w[i] -= step * m[i] / (std::sqrt(v[i]) * root + eps);
    }
  }

  Recipe recipe_;
  Product product_;
  double power1_ = 1, power2_ = 1;
  std::vector<Layer> layers_;
};

}  // namespace

int gemm_peer_main(int argc, char** argv, const std::string& name, const std::string& version,
                   Product product) {
  const auto make = [product](const Recipe& recipe) -> std::unique_ptr<HandBuiltStep> {
    // Below, calls cost more than products, and plain C++ is the better hand-built step.
    if (recipe.sizes.front() < 64) return nullptr;
    return std::make_unique<GemmStep>(recipe, product);
  };
  const std::vector<int> threads = omp_get_num_procs() > 1 ? std::vector{1, 2} : std::vector{1};
  return peer_main(argc, argv, {name, version, threads, make});
}

}  // namespace sinter::bench
