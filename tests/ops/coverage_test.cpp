#include <map>
#include <regex>
#include <set>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "ir/op.h"
#include "ir/text/text.h"
#include "tests/ops/op_cases.h"

namespace sinter::test {

TEST_CASE("every op has a row in the table or a reason for having none") {
  std::set<ir::OpKind> tried, exempt;
  for (const Row& r : op_rows()) tried.insert(r.op);
  for (const Exemption& e : exempt_ops()) exempt.insert(e.op);
  for (ir::OpKind op : ir::all_ops()) {
    const std::string_view name = ir::def(op).name;
    if (tried.count(op) == 0 && exempt.count(op) == 0) {
      FAIL_CHECK("op " << name << " has no row in tests/ops/op_cases.cpp: add one, see "
                       << "docs/adding_an_op.md");
    } else if (tried.count(op) > 0 && exempt.count(op) > 0) {
      FAIL_CHECK("op " << name << " has a row in tests/ops/op_cases.cpp and is exempt: drop one");
    }
  }
}

TEST_CASE("every op with a row is tried on enough samples") {
  constexpr size_t wanted = 20;
  // Two samples that build the same program, apart from where it was written, count once.
  std::map<ir::OpKind, std::set<std::string>> samples;
  for (const Row& r : op_rows()) {
    for (const std::string& sample : r.samples) {
      std::string program = std::regex_replace(ir::print(make_case(r, sample).module),
                                               std::regex(R"( loc\([^)]*\))"), "");
      for (const Domain& d : r.domains) {
        program += fmt::format(" {} {} {}", static_cast<int>(d.kind), d.low, d.high);
      }
      samples[r.op].insert(std::move(program));
    }
  }
  for (const auto& [op, programs] : samples) {
    if (programs.size() < wanted) {
      FAIL_CHECK("op " << ir::def(op).name << " is tried on " << programs.size()
                       << " samples only: write " << wanted
                       << " or more in tests/ops/op_cases.cpp, some that follow the batch and some "
                       << "static");
    }
  }
}

TEST_CASE("every op is tried on the batch and on static sizes") {
  std::map<ir::OpKind, int> on_batch, on_static;
  for (const Row& row : op_rows()) {
    for (const std::string& sample : row.samples) {
      const Case c = make_case(row, sample);
      ++(c.follows_batch() ? on_batch : on_static)[row.op];
    }
  }
  for (const Row& row : op_rows()) {
    INFO(ir::def(row.op).name);
    CHECK(on_batch[row.op] >= 2);
    CHECK(on_static[row.op] >= 1);
  }
}

}  // namespace sinter::test
