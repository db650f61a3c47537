#include <catch2/catch.hpp>

#include <map>

#include "ir/op.h"
#include "tests/ops/op_cases.h"

namespace sinter::test {

TEST_CASE("every op has a row in the table or a reason for having none") {
  std::map<ir::OpKind, size_t> samples;
  for (const Row& row : op_rows()) samples[row.op] += row.samples.size();
  for (ir::OpKind op : ir::all_ops()) {
    const std::string_view name = ir::def(op).name;
    bool exempt = false;
    for (const Exemption& e : exempt_ops()) exempt |= e.op == op;
    if (samples.count(op) == 0 && !exempt) {
      FAIL_CHECK("op " << name << " has no row in tests/ops/op_cases.cpp: add one, see "
                       << "docs/adding_an_op.md");
    } else if (samples.count(op) > 0 && exempt) {
      FAIL_CHECK("op " << name << " has a row in tests/ops/op_cases.cpp and is exempt: drop one");
    } else if (!exempt && samples[op] < 6) {
      FAIL_CHECK("op " << name << " is tried on " << samples[op] << " samples only: write 6 or more "
                       << "in tests/ops/op_cases.cpp, some that follow the batch and some static");
    }
  }
}

TEST_CASE("every row is tried on the batch, and every sample builds its op") {
  for (const Row& row : op_rows()) {
    CHECK(row.domains.size() <= 4);
    for (const std::string& sample : row.samples) {
      const Case c = make_case(row, sample);
      INFO(c.label);
      CHECK(c.func().results.size() == 1);
    }
  }
}

}  // namespace sinter::test
