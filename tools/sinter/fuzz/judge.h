// Compiles a trial, runs its steps, and compares every result and every global with the reference.
#pragma once

#include <string>
#include <string_view>

#include "tools/sinter/fuzz/trial.h"

namespace sinter::fuzz {

enum class Kind : uint8_t {
  good,
  undefined,  // the program has no meaning on these inputs (an index outside its table): no verdict
  differs,    // an element is not what rounding allows
  overrun,    // bytes beside a buffer were written
  round_trip,  // a stage prints as text that does not parse back to it
  refused,     // the compiler throws
  crashed,     // a signal; only judge_apart can say so
  hung,        // no answer in time; only judge_apart can say so
};
std::string_view kind_name(Kind kind);
// Whether it is the compiler's fault.
inline bool is_failure(Kind kind) { return kind != Kind::good && kind != Kind::undefined; }

struct Verdict {
  Kind kind = Kind::good;
  std::string message;
  // Elements that were compared, and of how many the bound is narrow enough to say something.
  int64_t elements = 0, tight = 0;
};

Verdict judge(const Trial& trial);

// As judge, in a process of its own, so that a crash or a hang of compiled code is a verdict too.
Verdict judge_apart(const Trial& trial);

// A failing program as a file: what is wrong, the command that replays it once the text is in
// `file`, and the module.
std::string failure_text(const Trial& trial, const Verdict& verdict, const std::string& file);

// A verdict as one line of text, and back: how it comes out of a child process.
std::string to_line(const Verdict& verdict);
Verdict verdict_from_line(std::string_view line);

}  // namespace sinter::fuzz
