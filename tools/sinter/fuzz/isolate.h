// Work in a process of its own: a crash or a hang ends that process and becomes an answer here.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace sinter::fuzz {

struct Ending {
  enum class How : uint8_t { finished, crashed, hung };
  How how = How::finished;
  std::string text;  // in words: "signal 11 (Segmentation fault)"
};

using Emit = std::function<void(std::string_view line)>;

// Runs `work` in a child; `on_line` gets, here, each line that it emits (newlines in it come back
// as spaces). A child that emits nothing for so many seconds is killed, or after twenty times as
// long where it had little processor time. What `work` throws counts as a crash with that text.
Ending run_apart(const std::function<void(const Emit&)>& work,
                 const std::function<void(std::string_view)>& on_line, double patience_s);

}  // namespace sinter::fuzz
