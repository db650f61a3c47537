#pragma once

#include <concepts>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include <sinter/random.h>
#include <sinter/state_dict.h>
#include <sinter/tensor.h>
#include <sinter/value.h>

namespace sinter::nn {

/// A handle on a weight: copies share the tensor. The training step updates it in place.
class Parameter {
 public:
  Parameter() = default;
  Parameter(std::string name, Tensor value);

  /// The path in the module that listed it, such as "hidden.weight".
  const std::string& name() const { return name_; }
  /// Shares its buffer with the parameter: reading it later shows the trained weights.
  const Tensor& value() const;
  /// Copies into the same buffer. Error unless shape and dtype are the same.
  void set_value(const Tensor& value);
  bool requires_grad() const;
  /// A frozen parameter gets neither gradient nor optimizer state. A trainer looks once, when it
  /// records its step.
  void set_requires_grad(bool on);
  explicit operator bool() const { return state_ != nullptr; }
  /// Whether both handles are on one weight.
  bool same_as(const Parameter& other) const { return state_ == other.state_; }
  const void* identity() const { return state_.get(); }
  /// Name, type and values: "parameter bias : f32[2]\n[0.5 1. ]", with "frozen" where it is.
  std::string to_string() const;

 private:
  friend class Module;
  struct State {
    Tensor value;
    bool requires_grad = true;
  };
  std::string name_;
  std::shared_ptr<State> state_;
};

struct LoadOptions {
  /// Names that only one side has are an Error; a shape or dtype that differs always is.
  bool strict = true;
};

/// Names that only one side had.
struct LoadedNames {
  std::vector<std::string> missing, extra;
};

/// A net or a part of one: owns parameters, lists its children under names, and writes its wiring
/// in forward(). Movable, children and all, wherever they live; not copyable.
///
///     struct Net : nn::Module {
///       nn::Linear hidden{1, 10}, predict{10, 1};
///       Net() { add("hidden", hidden); add("predict", predict); }
///       Value forward(Value x) override { return predict(relu(hidden(x))); }
///     };
class Module {
 public:
  Module() = default;
  Module(Module&& other) noexcept;
  Module& operator=(Module&& other) noexcept;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  virtual ~Module();

  /// The wiring; called while a step is recorded, not while it runs.
  virtual Value forward(Value x) = 0;
  /// Records forward(x) under this module's path.
  Value operator()(const Operand& x);

  /// All parameters in the order of add(), children after own ones, each once, named by path.
  std::vector<Parameter> parameters() const;
  /// One of them. Error with the names there are.
  Parameter parameter(const std::string& path) const;
  /// Freezes or unfreezes all parameters.
  void requires_grad(bool on);
  /// The parameters by name. As in PyTorch they share their buffers with the net: clone() the
  /// result for a snapshot that training does not change.
  StateDict state_dict() const;
  /// Copies the values in. Error that lists every missing, extra and mismatched name, before
  /// anything is changed.
  LoadedNames load_state_dict(const StateDict& state, LoadOptions options = {},
                              const std::source_location& at = std::source_location::current());
  /// Converts all parameters to f32 or f64. Call it before a trainer records its step, which binds
  /// the buffers there are.
  void to(DType dtype);
  /// Copies values from a module with the same names and shapes. Error that lists every difference.
  void copy_parameters(const Module& from);
  /// A copy with weights of its own. Error for a class that does not override it.
  virtual std::unique_ptr<Module> clone() const;

  /// The class without namespaces, "Linear".
  virtual std::string class_name() const;
  /// What stands between the parentheses when it is printed, "1 -> 10".
  virtual std::string extra() const { return {}; }
  /// "Net (\n  (hidden): Linear (1 -> 10)\n  (predict): Linear (10 -> 1)\n)".
  std::string to_string() const;

  struct Child {
    std::string name;
    Module* module;
  };
  /// Error if one of them is gone.
  std::vector<Child> children() const;
  /// Follows the module when it moves; points to null once it is gone.
  std::shared_ptr<Module* const> track() const;

 protected:
  /// Lists a child, usually a member. Error if the name is taken, empty or has a dot in it.
  void add(std::string name, Module& child);
  /// Makes a parameter of this module. Error as above.
  Parameter add_parameter(std::string name, Tensor value);

 private:
  using Self = std::shared_ptr<Module*>;
  void check_name(const std::string& name) const;
  void take(Module& other) noexcept;

  std::vector<std::pair<std::string, Parameter>> parameters_;
  std::vector<std::pair<std::string, Self>> children_;
  // Known to parents and trainers. More than one after an assignment.
  mutable std::vector<Self> selves_;
};

struct LinearOptions {
  bool bias = true;
};

/// x W^T + b: [..., in] -> [..., out]. Weight [out, in] and bias [out] start uniform on
/// [-1/sqrt(in), 1/sqrt(in)), as in PyTorch, from the default generator or the one given.
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, LinearOptions options = {});
  Linear(int64_t in, int64_t out, LinearOptions options, Generator& generator);

  Value forward(Value x) override;
  std::unique_ptr<Module> clone() const override;
  std::string extra() const override;

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }

  Parameter weight, bias;

 private:
  int64_t in_, out_;
};

/// Elementwise activations as modules.
class ReLU : public Module {
 public:
  Value forward(Value x) override;
  std::unique_ptr<Module> clone() const override;
};
class Sigmoid : public Module {
 public:
  Value forward(Value x) override;
  std::unique_ptr<Module> clone() const override;
};
class Tanh : public Module {
 public:
  Value forward(Value x) override;
  std::unique_ptr<Module> clone() const override;
};
/// Drops elements while training; see sinter::dropout. Which ones follows from the seed that the
/// default generator, or the one given, has at the first step.
class Dropout : public Module {
 public:
  /// Error unless 0 <= p < 1.
  explicit Dropout(double p = 0.5);
  Dropout(double p, const Generator& generator);
  Value forward(Value x) override;
  std::unique_ptr<Module> clone() const override;
  std::string extra() const override;

 private:
  double p_;
  std::optional<Generator> generator_;
};
/// Along an axis, by default the last one.
class Softmax : public Module {
 public:
  explicit Softmax(int64_t axis = -1) : axis_(axis) {}
  Value forward(Value x) override;
  std::unique_ptr<Module> clone() const override;
  std::string extra() const override;

 private:
  int64_t axis_;
};

/// Modules one after the other, named 0, 1, 2, ... Braces, Sequential{Linear(2, 8), ReLU()}, make
/// them in this order on every compiler, and with it the order of their random weights.
class Sequential : public Module {
 public:
  Sequential() = default;
  template <class... Ms>
    requires(sizeof...(Ms) > 0 && (std::derived_from<Ms, Module> && ...))
  explicit Sequential(Ms... modules) {
    (append(std::make_unique<Ms>(std::move(modules))), ...);
  }

  void append(std::unique_ptr<Module> module);
  size_t size() const { return modules_.size(); }
  Module& operator[](size_t i) { return *modules_.at(i); }

  Value forward(Value x) override;
  std::unique_ptr<Module> clone() const override;

 private:
  std::vector<std::unique_ptr<Module>> modules_;
};

std::ostream& operator<<(std::ostream& out, const Parameter& parameter);
std::ostream& operator<<(std::ostream& out, const Module& module);
/// To stdout, with a new line.
void print(const Module& module);

}  // namespace sinter::nn

template <>
struct fmt::formatter<sinter::nn::Parameter> : fmt::formatter<fmt::string_view> {
  template <class Context>
  auto format(const sinter::nn::Parameter& parameter, Context& context) const {
    return fmt::formatter<fmt::string_view>::format(parameter.to_string(), context);
  }
};

template <class M>
  requires std::derived_from<M, sinter::nn::Module>
struct fmt::formatter<M> : fmt::formatter<fmt::string_view> {
  template <class Context>
  auto format(const M& module, Context& context) const {
    return fmt::formatter<fmt::string_view>::format(module.to_string(), context);
  }
};
