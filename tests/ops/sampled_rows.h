// Rows of the table whose shapes and attributes are drawn: views, reductions, products and
// indexing, where what goes wrong depends on ranks, axes and places rather than on numbers.
#pragma once

#include <vector>

#include "tests/ops/op_cases.h"

namespace sinter::test {

// At least 20 samples for each op of these kinds; the same on every run.
std::vector<Row> sampled_rows();

}  // namespace sinter::test
