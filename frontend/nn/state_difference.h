// How the tensors that are given differ from those that are wanted: by name, shape and dtype, all
// at once.
#pragma once

#include <string>
#include <vector>

#include <sinter/error.h>
#include <sinter/state_dict.h>

namespace sinter::detail {

struct StateDifference {
  std::vector<std::string> missing, extra, mismatched;  // names
  std::vector<std::string> notes;                       // one for each of them, in this order

  StateDifference(const StateDict& wanted, const StateDict& given);
  bool none() const { return notes.empty(); }
  // Adds the notes.
  Error explain(Error error) const;
};

}  // namespace sinter::detail
