#pragma once

#include <cstdint>

namespace sinter {

/// Where a DataLoader stands: `batch` of `epoch` is the next one that it gives out. The order of
/// the rows is a function of seed and epoch, so that this is all it takes to go on from there.
struct LoaderPosition {
  uint64_t seed = 0;
  int64_t epoch = 0;
  int64_t batch = 0;

  bool operator==(const LoaderPosition&) const = default;
};

}  // namespace sinter
