#pragma once

#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <sinter/tensor.h>

namespace sinter {

class Operand;

namespace detail {
class Recording;
class Recorder;
}  // namespace detail
namespace nn {
class Parameter;
}

/// A value of a recording: the result of an op that has been written down, not computed. Copying
/// copies the handle. Values made from tensors and numbers alone start a recording of their own;
/// the first op that combines two recordings merges them.
class Value {
 public:
  /// Holds nothing; Error when it is used.
  Value() = default;
  /// A tensor as a value: it is read when the recording runs.
  Value(const Tensor& tensor,  // NOLINT(google-explicit-constructor)
        const std::source_location& at = std::source_location::current());

  DType dtype() const;
  /// Number of axes.
  int64_t dim() const;
  /// Size of an axis (negative: from the back); -1 where it follows the batch size n, so that
  /// `reshape(x, {x.size(0), 784})` does what it says.
  int64_t size(int64_t axis) const;
  /// "f32[n, 10]".
  std::string type_string() const;
  /// Its name, if it has one, and type, "value hidden.relu : f32[n, 10]": the numbers do not exist
  /// before the recording runs. eval(value) computes and prints them.
  std::string to_string() const;

  Value& operator+=(const Operand& other);
  Value& operator-=(const Operand& other);
  Value& operator*=(const Operand& other);
  Value& operator/=(const Operand& other);

 private:
  friend class detail::Recorder;
  std::shared_ptr<detail::Recording> recording_;
  int32_t id_ = -1;
};

/// What every function of values takes: made implicitly from a value, a tensor, a parameter or a
/// number, together with the line of the user's expression. A number takes the dtype of the values
/// it meets.
class Operand {
 public:
  using Location = std::source_location;

  Operand(const Value& value,  // NOLINT(google-explicit-constructor)
          const Location& at = Location::current())
      : value_(value), at_(at), kind_(Kind::value) {}
  Operand(const Tensor& tensor,  // NOLINT(google-explicit-constructor)
          const Location& at = Location::current())
      : tensor_(std::make_shared<Tensor>(tensor)), at_(at), kind_(Kind::tensor) {}
  Operand(const nn::Parameter& parameter,  // NOLINT(google-explicit-constructor)
          const Location& at = Location::current());
  template <class T>
    requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
  Operand(T number,  // NOLINT(google-explicit-constructor)
          const Location& at = Location::current())
      : number_(static_cast<double>(number)), at_(at), kind_(Kind::number) {}

  const Location& at() const { return at_; }

 private:
  friend class detail::Recorder;
  enum class Kind : uint8_t { value, tensor, parameter, number };

  Value value_;
  std::shared_ptr<Tensor> tensor_;
  std::shared_ptr<nn::Parameter> parameter_;
  double number_ = 0;
  Location at_;
  Kind kind_;
};

std::ostream& operator<<(std::ostream& out, const Value& value);

/// Elementwise with NumPy's broadcasting; both sides have one dtype. Error with both shapes
/// otherwise. Integer division truncates towards zero.
Value operator+(const Operand& a, const Operand& b);
Value operator-(const Operand& a, const Operand& b);
Value operator*(const Operand& a, const Operand& b);
Value operator/(const Operand& a, const Operand& b);
Value operator-(const Operand& x);

/// Compiles what `value` needs and runs it once. Error for a value of a training step, which has
/// no batch at hand.
Tensor eval(const Value& value, const std::source_location& at = std::source_location::current());
/// Several values in one run.
std::vector<Tensor> eval(std::initializer_list<Value> values,
                         const std::source_location& at = std::source_location::current());
std::vector<Tensor> eval(std::span<const Value> values,
                         const std::source_location& at = std::source_location::current());

/// The IR text that eval would compile.
std::string ir_text(const Value& value);

}  // namespace sinter

template <>
struct fmt::formatter<sinter::Value> : fmt::formatter<fmt::string_view> {
  template <class Context>
  auto format(const sinter::Value& value, Context& context) const {
    return fmt::formatter<fmt::string_view>::format(value.to_string(), context);
  }
};
