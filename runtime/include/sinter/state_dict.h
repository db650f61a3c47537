#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sinter/tensor.h>

namespace sinter {

/// Tensors by name, in the order in which they were added: what Module::state_dict() gives,
/// load_state_dict() takes, and a weights file holds. Copying one copies handles; clone() copies
/// the data.
class StateDict {
 public:
  using Entry = std::pair<std::string, Tensor>;

  StateDict() = default;
  /// Error if two have one name.
  StateDict(std::initializer_list<Entry> entries);

  /// Error if the name is taken.
  void add(std::string name, Tensor tensor);
  /// Null if there is none.
  const Tensor* find(std::string_view name) const;
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  /// Error with a list of the names there are.
  const Tensor& at(std::string_view name) const;
  const Tensor& operator[](std::string_view name) const { return at(name); }

  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

  /// A snapshot that later training does not change.
  StateDict clone() const;

 private:
  std::vector<Entry> entries_;
  // Indices of entries_, sorted by name.
  std::vector<uint32_t> by_name_;
};

}  // namespace sinter
