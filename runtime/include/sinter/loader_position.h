#pragma once

#include <cstdint>

namespace sinter {

/// Where a data loader stands: the next batch is number `batch` of epoch `epoch`, both from 0, in
/// the order that (seed, epoch) gives. A checkpoint stores it, so that a resumed run sees the
/// batches that the interrupted one had yet to see.
struct LoaderPosition {
  uint64_t seed = 0;
  int64_t epoch = 0;
  int64_t batch = 0;

  bool operator==(const LoaderPosition&) const = default;
};

}  // namespace sinter
