#include "frontend/nn/state_difference.h"

#include <fmt/format.h>

namespace sinter::detail {

StateDifference::StateDifference(const StateDict& wanted, const StateDict& given) {
  for (const auto& [name, tensor] : wanted) {
    if (given.contains(name)) continue;
    missing.push_back(name);
    notes.push_back(fmt::format("missing {} : {}", name, tensor.type_string()));
  }
  for (const auto& [name, tensor] : given) {
    if (wanted.contains(name)) continue;
    extra.push_back(name);
    notes.push_back(fmt::format("extra {} : {}", name, tensor.type_string()));
  }
  for (const auto& [name, tensor] : wanted) {
    const Tensor* other = given.find(name);
    if (other == nullptr || other->type_string() == tensor.type_string()) continue;
    mismatched.push_back(name);
    notes.push_back(
        fmt::format("{} : {} instead of {}", name, other->type_string(), tensor.type_string()));
  }
}

Error StateDifference::explain(Error error) const {
  for (const std::string& note : notes) error.note(note);
  return error;
}

}  // namespace sinter::detail
