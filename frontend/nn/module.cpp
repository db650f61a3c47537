#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ostream>
#include <typeinfo>

#include <cxxabi.h>
#include <fmt/format.h>

#include <sinter/error.h>
#include <sinter/nn.h>

#include "frontend/recording.h"

namespace sinter::nn {

Parameter::Parameter(std::string name, Tensor value) : name_(std::move(name)) {
  state_ = std::make_shared<State>();
  // A buffer of its own: the step updates it in place.
  state_->value = std::move(value).unshared();
}

const Tensor& Parameter::value() const {
  if (!state_) throw Error("this parameter is empty").help("use one that a module has made");
  return state_->value;
}

void Parameter::set_value(const Tensor& value) {
  const Tensor& mine = this->value();
  if (value.shape() != mine.shape() || value.dtype() != mine.dtype()) {
    throw Error("parameter {} is {} and cannot become {}", name_, mine.type_string(),
                value.type_string())
        .help("give it a tensor of the same shape and dtype");
  }
  state_->value.copy_from(value);
}

bool Parameter::requires_grad() const { return state_ && state_->requires_grad; }

void Parameter::set_requires_grad(bool on) {
  value();
  state_->requires_grad = on;
}

std::string Parameter::to_string() const {
  if (!state_) return "empty parameter";
  return fmt::format("parameter {} : {}{}\n{}", name_, state_->value.type_string(),
                     state_->requires_grad ? "" : ", frozen", state_->value);
}

void Module::take(Module& other) noexcept {
  parameters_ = std::move(other.parameters_);
  children_ = std::move(other.children_);
  other.parameters_.clear();
  other.children_.clear();
  // Whoever knew the other one finds this one; a child of a moving object is found here by its
  // parent as soon as it has moved itself.
  for (Self& self : other.selves_) *self = this;
  if (selves_.empty()) {
    selves_ = std::move(other.selves_);
  } else {
    selves_.insert(selves_.end(), other.selves_.begin(), other.selves_.end());
  }
  other.selves_.clear();
}

Module::Module(Module&& other) noexcept { take(other); }

Module& Module::operator=(Module&& other) noexcept {
  if (this != &other) take(other);
  return *this;
}

Module::~Module() {
  for (Self& self : selves_) *self = nullptr;
}

std::shared_ptr<Module* const> Module::track() const {
  if (selves_.empty()) selves_.push_back(std::make_shared<Module*>(const_cast<Module*>(this)));
  return selves_.front();
}

void Module::check_name(const std::string& name) const {
  if (name.empty() || name.find('.') != std::string::npos) {
    throw Error("a part of {} cannot be named \"{}\"", class_name(), name)
        .help("use a name without dots, as that of the member");
  }
  const auto taken = [&](const auto& entry) { return entry.first == name; };
  if (std::any_of(children_.begin(), children_.end(), taken) ||
      std::any_of(parameters_.begin(), parameters_.end(), taken)) {
    throw Error("{} already has a part named {}", class_name(), name).help("use each name once");
  }
}

void Module::add(std::string name, Module& child) {
  check_name(name);
  child.track();
  children_.emplace_back(std::move(name), child.selves_.front());
}

Parameter Module::add_parameter(std::string name, Tensor value) {
  check_name(name);
  Parameter parameter(name, std::move(value));
  parameters_.emplace_back(std::move(name), parameter);
  return parameter;
}

std::vector<Module::Child> Module::children() const {
  std::vector<Child> out;
  for (const auto& [name, self] : children_) {
    if (*self == nullptr) {
      throw Error("{} lists a part named {} that is gone", class_name(), name)
          .help("keep what you add() alive: make it a member of the module");
    }
    out.push_back({name, *self});
  }
  return out;
}

std::vector<Parameter> Module::parameters() const {
  std::vector<Parameter> out;
  const auto add_once = [&](Parameter p, std::string name) {
    for (const Parameter& known : out) {
      if (known.same_as(p)) return;
    }
    p.name_ = std::move(name);
    out.push_back(std::move(p));
  };
  for (const auto& [name, parameter] : parameters_) add_once(parameter, name);
  for (const Child& child : children()) {
    for (const Parameter& p : child.module->parameters()) {
      add_once(p, child.name + "." + p.name());
    }
  }
  return out;
}

Parameter Module::parameter(const std::string& path) const {
  std::string names;
  for (const Parameter& p : parameters()) {
    if (p.name() == path) return p;
    names += (names.empty() ? "" : ", ") + p.name();
  }
  throw Error("{} has no parameter named {}", class_name(), path)
      .help(names.empty() ? std::string("it has none at all") : "it has " + names);
}

void Module::requires_grad(bool on) {
  for (Parameter& p : parameters()) p.set_requires_grad(on);
}

void Module::to(DType dtype) {
  if (!is_float(dtype)) {
    throw Error("parameters cannot be {}", dtype).help("use DType::f32 or DType::f64");
  }
  for (const Parameter& p : parameters()) p.state_->value = p.value().to(dtype);
}

std::unique_ptr<Module> Module::clone() const {
  throw Error("{} does not say how to clone it", class_name())
      .help("make a second one and call its copy_parameters(), or override clone()");
}

std::string Module::class_name() const {
  int status = 0;
  char* demangled = abi::__cxa_demangle(typeid(*this).name(), nullptr, nullptr, &status);
  const std::string full = status == 0 ? demangled : typeid(*this).name();
  std::free(demangled);
  // The last component; colons between angle brackets belong to template arguments.
  size_t begin = 0;
  int depth = 0;
  for (size_t i = 0; i < full.size(); ++i) {
    if (full[i] == '<' || full[i] == '(') ++depth;
    if (full[i] == '>' || full[i] == ')') --depth;
    if (depth == 0 && full[i] == ':') begin = i + 1;
  }
  return full.substr(begin);
}

std::string Module::to_string() const {
  const std::vector<Child> parts = children();
  if (parts.empty()) return fmt::format("{} ({})", class_name(), extra());
  std::string out = fmt::format("{} (\n", class_name());
  for (const Child& child : parts) {
    std::string text = fmt::format("({}): {}", child.name, child.module->to_string());
    for (size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 3)) {
      text.insert(at + 1, "  ");
    }
    out += "  " + text + "\n";
  }
  return out + ")";
}

Value Module::operator()(const Operand& x) {
  detail::Recorder input({&x});
  const Value value = input.done(input[0]);
  detail::ModuleCall call(detail::Recorder::resolve(value).first, *this, x.at());
  return call.finish(forward(value));
}

std::ostream& operator<<(std::ostream& out, const Parameter& parameter) {
  return out << parameter.to_string();
}

std::ostream& operator<<(std::ostream& out, const Module& module) {
  return out << module.to_string();
}

void print(const Module& module) { fmt::print("{}\n", module.to_string()); }

}  // namespace sinter::nn
