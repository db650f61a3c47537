// How much of the heap a piece of code takes at most.
#pragma once

#include <cstddef>

namespace sinter::files {

// Bytes in use now, and the most since reset_heap_peak().
size_t heap_bytes();
size_t heap_peak();
void reset_heap_peak();

}  // namespace sinter::files
