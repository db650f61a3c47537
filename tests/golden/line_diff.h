// Difference of two texts by lines, for people.
#pragma once

#include <string>
#include <string_view>

namespace sinter::golden {

// Lines that only `expected` has begin with `-`, lines that only `actual` has with `+`, up to three
// equal lines around them with a blank; `@ 12` names the line of `expected` where a piece begins.
// Empty for equal texts.
std::string line_diff(std::string_view expected, std::string_view actual);

}  // namespace sinter::golden
