#include <algorithm>

#include <sinter/error.h>
#include <sinter/state_dict.h>

namespace sinter {

StateDict::StateDict(std::initializer_list<Entry> entries) {
  for (const auto& [name, tensor] : entries) add(name, tensor);
}

void StateDict::add(std::string name, Tensor tensor) {
  const auto place = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [this](uint32_t i, const std::string& wanted) { return entries_[i].first < wanted; });
  if (place != by_name_.end() && entries_[*place].first == name)
    throw Error("two tensors are named {}", name).help("give each a name of its own");
  by_name_.insert(place, static_cast<uint32_t>(entries_.size()));
  entries_.emplace_back(std::move(name), std::move(tensor));
}

const Tensor* StateDict::find(std::string_view name) const {
  const auto place = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [this](uint32_t i, std::string_view wanted) { return entries_[i].first < wanted; });
  if (place == by_name_.end() || entries_[*place].first != name) return nullptr;
  return &entries_[*place].second;
}

const Tensor& StateDict::at(std::string_view name) const {
  if (const Tensor* tensor = find(name)) return *tensor;
  std::string names;
  for (const auto& [known, tensor] : entries_) names += (names.empty() ? "" : ", ") + known;
  throw Error("no tensor is named {}", name)
      .help(names.empty() ? std::string("there is none at all") : "there are " + names);
}

StateDict StateDict::clone() const {
  StateDict out = *this;
  for (auto& [name, tensor] : out.entries_) tensor = tensor.clone();
  return out;
}

}  // namespace sinter
