// Dual numbers v + d*eps, eps^2 = 0: evaluating with them gives the exact derivative beside the
// value (forward mode), with no subtraction error. The oracle of every gradient test.
#pragma once

#include <cmath>

namespace sinter::ir {

struct Dual {
  double v = 0;  // value
  double d = 0;  // derivative along the chosen direction

  Dual() = default;
  Dual(double value, double derivative = 0)  // NOLINT(google-explicit-constructor)
      : v(value), d(derivative) {}
  explicit operator double() const { return v; }
  explicit operator float() const { return static_cast<float>(v); }
  explicit operator int64_t() const { return static_cast<int64_t>(v); }

  Dual& operator+=(Dual o) { return *this = {v + o.v, d + o.d}; }
  friend Dual operator+(Dual a, Dual b) { return {a.v + b.v, a.d + b.d}; }
  friend Dual operator-(Dual a, Dual b) { return {a.v - b.v, a.d - b.d}; }
  friend Dual operator*(Dual a, Dual b) { return {a.v * b.v, a.d * b.v + a.v * b.d}; }
  friend Dual operator/(Dual a, Dual b) { return {a.v / b.v, (a.d - a.v / b.v * b.d) / b.v}; }
  friend Dual operator-(Dual a) { return {-a.v, -a.d}; }
  // Comparisons look at the value alone, so a kink takes the side that the value is on.
  friend bool operator<(Dual a, Dual b) { return a.v < b.v; }
  friend bool operator>(Dual a, Dual b) { return a.v > b.v; }
  friend bool operator<=(Dual a, Dual b) { return a.v <= b.v; }
  friend bool operator==(Dual a, Dual b) { return a.v == b.v; }
  friend bool operator!=(Dual a, Dual b) { return a.v != b.v; }
};

inline Dual exp(Dual a) {
  const double e = std::exp(a.v);
  return {e, e * a.d};
}
inline Dual log(Dual a) { return {std::log(a.v), a.d / a.v}; }
inline Dual sqrt(Dual a) {
  const double s = std::sqrt(a.v);
  return {s, 0.5 * a.d / s};
}
inline Dual tanh(Dual a) {
  const double t = std::tanh(a.v);
  return {t, (1 - t * t) * a.d};
}
inline Dual log1p(Dual a) { return {std::log1p(a.v), a.d / (1 + a.v)}; }
inline Dual sin(Dual a) { return {std::sin(a.v), std::cos(a.v) * a.d}; }
inline Dual cos(Dual a) { return {std::cos(a.v), -std::sin(a.v) * a.d}; }
inline Dual erf(Dual a) {
  return {std::erf(a.v), 2 / std::sqrt(std::acos(-1.0)) * std::exp(-a.v * a.v) * a.d};
}
// A direction in which the base or the exponent stands still adds nothing, even where the slope of
// the other is not a number: log of a negative base.
inline Dual pow(Dual a, Dual b) {
  const double p = std::pow(a.v, b.v);
  double d = 0;
  if (a.d != 0 && b.v != 0) d += b.v * std::pow(a.v, b.v - 1) * a.d;
  if (b.d != 0 && !(a.v == 0 && b.v >= 0)) d += p * std::log(a.v) * b.d;
  return {p, d};
}
// Flat between their steps.
inline Dual floor(Dual a) { return {std::floor(a.v)}; }
inline Dual rint(Dual a) { return {std::rint(a.v)}; }
inline bool isnan(Dual a) { return std::isnan(a.v); }

}  // namespace sinter::ir
