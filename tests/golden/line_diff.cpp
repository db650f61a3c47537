#include "tests/golden/line_diff.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include <fmt/format.h>

namespace sinter::golden {

namespace {

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1);
    lines.push_back(text.substr(0, end + 1));
    text.remove_prefix(end + 1);
  }
  return lines;
}

struct Edit {
  char sign;  // '-', '+' or ' '
  std::string_view line;
};

using Lines = std::vector<std::string_view>;

// Longest common subsequence by dynamic programming; texts of goldens are short. Beyond that all
// lines of one text count as replaced by those of the other.
std::vector<Edit> edits(const Lines& a, const Lines& b) {
  const size_t rows = a.size(), columns = b.size();
  std::vector<Edit> out;
  if (rows * columns > 25'000'000) {
    for (std::string_view line : a) out.push_back({'-', line});
    for (std::string_view line : b) out.push_back({'+', line});
    return out;
  }
  std::vector<uint32_t> common((rows + 1) * (columns + 1), 0);
  const auto at = [&](size_t i, size_t j) -> uint32_t& { return common[i * (columns + 1) + j]; };
  for (size_t i = rows; i-- > 0;) {
    for (size_t j = columns; j-- > 0;) {
      at(i, j) = a[i] == b[j] ? at(i + 1, j + 1) + 1 : std::max(at(i + 1, j), at(i, j + 1));
    }
  }
  for (size_t i = 0, j = 0; i < rows || j < columns;) {
    if (i < rows && j < columns && a[i] == b[j]) {
      out.push_back({' ', a[i]});
      ++i, ++j;
    } else if (j == columns || (i < rows && at(i + 1, j) >= at(i, j + 1))) {
      out.push_back({'-', a[i++]});
    } else {
      out.push_back({'+', b[j++]});
    }
  }
  return out;
}

}  // namespace

std::string line_diff(std::string_view expected, std::string_view actual) {
  constexpr size_t around = 3;
  const std::vector<Edit> all = edits(split(expected), split(actual));
  std::vector<bool> shown(all.size(), false);
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].sign == ' ') continue;
    const size_t from = i < around ? 0 : i - around, to = std::min(i + around + 1, all.size());
    std::fill(shown.begin() + static_cast<long>(from), shown.begin() + static_cast<long>(to), true);
  }
  std::string out;
  size_t line = 1;
  for (size_t i = 0; i < all.size(); ++i) {
    const bool begins = shown[i] && (i == 0 || !shown[i - 1]);
    if (begins) out += fmt::format("@ {}\n", line);
    if (shown[i]) {
      out += fmt::format("{}{}", all[i].sign, all[i].line);
      if (all[i].line.back() != '\n') out += "  (no line break)\n";
    }
    if (all[i].sign != '+') ++line;
  }
  return out;
}

}  // namespace sinter::golden
