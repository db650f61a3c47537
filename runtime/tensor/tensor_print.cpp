// Prints as numpy does (numpy/core/arrayprint.py, default options: precision 8, threshold 1000,
// 3 edge items, 75 columns): all numbers of a tensor share one width, and scientific notation is
// used for all or for none.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <ostream>

#include <fmt/format.h>

#include <sinter/tensor.h>

#include "runtime/tensor/dispatch.h"

namespace sinter {

namespace {

constexpr int64_t threshold = 1000;
constexpr int64_t edge_items = 3;
constexpr size_t line_width = 75;
constexpr size_t precision = 8;

/// A number cut at the point: "-1" and "25" for -1.25, with the exponent apart ("e-05" or empty).
struct Parts {
  std::string integer, fraction, exponent;
};

void trim_zeros(std::string& digits) { digits.erase(digits.find_last_not_of('0') + 1); }

Parts split(const std::string& text) {
  const size_t e = std::min(text.find('e'), text.size());
  const size_t point = std::min(text.find('.'), e);
  return {text.substr(0, point), point < e ? text.substr(point + 1, e - point - 1) : "",
          text.substr(e)};
}

/// The shortest digits that read back, unless they are more than `precision` after the point; then
/// the exact value rounded there.
template <class T>
Parts positional(T x) {
  // The caller keeps |x| in [1e-4, 1e8), where fmt's shortest form has no exponent.
  Parts digits = split(fmt::format("{}", x));
  if (digits.fraction.size() > precision)
    digits = split(fmt::format("{:.{}f}", static_cast<double>(x), precision));
  trim_zeros(digits.fraction);
  return digits;
}

/// The shortest digits with one before the point and at most `most` after it.
template <class T>
Parts scientific(T x, size_t most = 16) {
  Parts parts = split(fmt::format("{}", x));
  // From the shortest digits, wherever the point fell.
  std::string digits = parts.integer + parts.fraction;
  const bool negative = digits[0] == '-';
  if (negative) digits.erase(0, 1);
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
  trim_zeros(digits);
  const size_t decimals = std::clamp<size_t>(digits.size(), 1, most + 1) - 1;
  parts = split(fmt::format("{:.{}e}", static_cast<double>(x), decimals));
  trim_zeros(parts.fraction);
  return parts;
}

/// What one number becomes; made once for all numbers that are shown.
using Format = std::function<std::string(int64_t offset)>;

template <class T>
Format float_format(const T* data, const std::vector<int64_t>& shown) {
  bool any_finite = false, any_nan = false, any_inf = false, any_negative_inf = false;
  double largest = 0, smallest = std::numeric_limits<double>::infinity();
  for (int64_t i : shown) {
    const double x = std::abs(static_cast<double>(data[i]));
    any_nan |= std::isnan(x);
    any_inf |= std::isinf(x);
    any_negative_inf |= std::isinf(x) && data[i] < 0;
    if (!std::isfinite(x)) continue;
    any_finite = true;
    if (x == 0) continue;
    largest = std::max(largest, x);
    smallest = std::min(smallest, x);
  }
  // numpy divides in the dtype of the tensor; 6 and 15 digits are what f32 and f64 surely hold.
  const double cutoff = std::is_same_v<T, float> ? 1e6 : 1e8;
  const bool exponential =
      largest > 0 && (largest >= cutoff || smallest < 1e-4 ||
                      static_cast<T>(largest) / static_cast<T>(smallest) > T(1000));
  size_t left = 0, right = 0, exponent = 0;
  if (any_finite) {
    for (int64_t i : shown) {
      if (!std::isfinite(data[i])) continue;
      const Parts parts = exponential ? scientific(data[i], precision) : positional(data[i]);
      left = std::max(left, parts.integer.size());
      right = std::max(right, parts.fraction.size());
      exponent = std::max(exponent, parts.exponent.size());
    }
  }
  const size_t tail = right + exponent;
  const auto widen = [&](bool present, size_t length) {
    if (present && length > left + tail + 1) left = length - tail - 1;
  };
  widen(any_nan || any_inf, 3);
  widen(any_negative_inf, 4);
  return [=](int64_t i) {
    const T x = data[i];
    if (std::isnan(x)) return fmt::format("{:>{}}", "nan", left + tail + 1);
    if (std::isinf(x)) return fmt::format("{:>{}}", x < 0 ? "-inf" : "inf", left + tail + 1);
    // Numbers with shorter forms are filled up with their exact digits, not with zeros.
    Parts parts =
        exponential ? split(fmt::format("{:.{}e}", static_cast<double>(x), right)) : positional(x);
    // "e-05" beside "e+100" becomes "e-005".
    if (exponential) parts.exponent.insert(2, exponent - parts.exponent.size(), '0');
    return fmt::format("{:>{}}.{:<{}}", parts.integer, left, parts.fraction + parts.exponent, tail);
  };
}

template <class T>
Format format_of(const T* data, const std::vector<int64_t>& shown) {
  if constexpr (std::is_floating_point_v<T>) {
    return float_format(data, shown);
  } else if constexpr (std::is_same_v<T, bool>) {
    return [data](int64_t i) { return std::string(data[i] ? " True" : "False"); };
  } else {
    size_t width = 0;
    for (int64_t i : shown) width = std::max(width, fmt::formatted_size("{}", data[i]));
    return [=](int64_t i) { return fmt::format("{:>{}}", data[i], width); };
  }
}

template <class T>
std::string scalar_text(T value) {
  if constexpr (std::is_same_v<T, bool>) return value ? "True" : "False";
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(value)) return fmt::format("{}", value);
    const double size = std::abs(static_cast<double>(value));
    if (size != 0 && (size < 1e-4 || size >= (std::is_same_v<T, float> ? 1e6 : 1e16))) {
      const Parts parts = scientific(value);
      return parts.integer + (parts.fraction.empty() ? "" : ".") + parts.fraction + parts.exponent;
    }
    const std::string text = fmt::format("{}", value);
    return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
  }
  return fmt::format("{}", value);
}

/// Lays out a contiguous tensor; offsets are in elements.
class Layout {
 public:
  Layout(const Tensor& tensor, Format format)
      : shape_(tensor.shape()),
        strides_(tensor.strides()),
        summarize_(tensor.numel() > threshold),
        format_(std::move(format)) {}

  /// The offsets of the numbers that will be shown.
  static std::vector<int64_t> shown(const Tensor& tensor) {
    std::vector<int64_t> offsets{0};
    for (size_t axis = 0; axis < tensor.shape().size(); ++axis) {
      std::vector<int64_t> next;
      for (int64_t base : offsets)
        for (int64_t i : indices(tensor.shape()[axis], tensor.numel() > threshold))
          if (i >= 0) next.push_back(base + i * tensor.strides()[axis]);
      offsets = std::move(next);
    }
    return offsets;
  }

  std::string text() const { return block(0, 0, " ", line_width); }

 private:
  /// The indices along an axis, with -1 where the dots go.
  static std::vector<int64_t> indices(int64_t count, bool summarize) {
    std::vector<int64_t> result;
    const bool dots = summarize && count > 2 * edge_items;
    for (int64_t i = 0; i < count; ++i) {
      if (dots && i == edge_items) {
        result.push_back(-1);
        i = count - edge_items;
      }
      result.push_back(i);
    }
    return result;
  }

  std::string block(size_t axis, int64_t offset, const std::string& indent, size_t width) const {
    const auto order = indices(shape_[axis], summarize_);
    return "[" +
           (axis + 1 == shape_.size() ? row(order, offset, strides_[axis], indent, width)
                                      : rows(order, axis, offset, indent, width)) +
           "]";
  }

  std::string row(const std::vector<int64_t>& order, int64_t offset, int64_t stride,
                  const std::string& indent, size_t width) const {
    std::string text, line = indent;
    for (size_t k = 0; k < order.size(); ++k) {
      const std::string word = order[k] < 0 ? "..." : format_(offset + order[k] * stride);
      // Keep a column for the bracket; a line with nothing on it is not broken.
      if (line.size() + word.size() > width - 1 && line.size() > indent.size()) {
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
        line = indent;
      }
      line += word;
      if (k + 1 < order.size()) line += " ";
    }
    return (text + line).substr(indent.size());
  }

  std::string rows(const std::vector<int64_t>& order, size_t axis, int64_t offset,
                   const std::string& indent, size_t width) const {
    const std::string separator(shape_.size() - axis - 1, '\n');
    std::string text;
    for (size_t k = 0; k < order.size(); ++k) {
      if (k > 0) text += separator + indent;
      text += order[k] < 0
                  ? "..."
                  : block(axis + 1, offset + order[k] * strides_[axis], indent + " ", width - 1);
    }
    return text;
  }

  const Shape& shape_;
  const Shape& strides_;
  bool summarize_;
  Format format_;
};

}  // namespace

std::string Tensor::to_string() const {
  if (numel_ == 0) return "[]";
  return detail::dispatch(dtype_, [&]<class T>(std::type_identity<T>) {
    const T* data = static_cast<const T*>(first_);
    if (shape_.empty()) return scalar_text(*data);
    return Layout(*this, format_of(data, Layout::shown(*this))).text();
  });
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  return out << tensor.to_string();
}

}  // namespace sinter
