#pragma once

#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>

namespace sinter {

/// A place in the user's source. Only the base name of the file is printed, so that messages do not
/// depend on where the program was built; `line == 0` means "unknown".
struct SourceLoc {
  std::string file;
  int line = 0;

  /// The place that `at` describes; `SourceLoc::from(std::source_location::current())`.
  static SourceLoc from(const std::source_location& at) {
    return {at.file_name(), static_cast<int>(at.line())};
  }
  bool known() const { return line > 0; }
  std::string_view base_name() const;
  /// "regression.cpp:42".
  std::string to_string() const;
  bool operator==(const SourceLoc&) const = default;
};

/// A mistake of the user. `what()` is the whole text:
///
///     error: linear expects 10 input features but receives 9
///       --> regression.cpp:42
///        |   input  x : f32[64, 9]
///        = help: use Linear(9, 20)
///
/// Built fluently: `throw Error("... {}", x).at(loc).note("...").help("...")`. The message is lower
/// case without a final period. A message without arguments is taken as it is (braces included).
class Error : public std::runtime_error {
 public:
  explicit Error(std::string message);
  template <class First, class... Rest>
  explicit Error(fmt::format_string<First, Rest...> text, First&& first, Rest&&... rest)
      : Error(fmt::format(text, std::forward<First>(first), std::forward<Rest>(rest)...)) {}

  Error& at(SourceLoc loc) &;
  Error&& at(SourceLoc loc) && { return std::move(at(std::move(loc))); }
  Error& at(std::string file, int line) & { return at(SourceLoc{std::move(file), line}); }
  Error&& at(std::string file, int line) && {
    return std::move(at(SourceLoc{std::move(file), line}));
  }

  /// Adds one `|` line (one for each line of the text).
  Error& note(std::string text) &;
  Error&& note(std::string text) && { return std::move(note(std::move(text))); }
  template <class First, class... Rest>
  Error& note(fmt::format_string<First, Rest...> text, First&& first, Rest&&... rest) & {
    return note(fmt::format(text, std::forward<First>(first), std::forward<Rest>(rest)...));
  }
  template <class First, class... Rest>
  Error&& note(fmt::format_string<First, Rest...> text, First&& first, Rest&&... rest) && {
    return std::move(
        note(fmt::format(text, std::forward<First>(first), std::forward<Rest>(rest)...)));
  }

  /// Sets the one fix; a second call replaces the first.
  Error& help(std::string text) &;
  Error&& help(std::string text) && { return std::move(help(std::move(text))); }
  template <class First, class... Rest>
  Error& help(fmt::format_string<First, Rest...> text, First&& first, Rest&&... rest) & {
    return help(fmt::format(text, std::forward<First>(first), std::forward<Rest>(rest)...));
  }
  template <class First, class... Rest>
  Error&& help(fmt::format_string<First, Rest...> text, First&& first, Rest&&... rest) && {
    return std::move(
        help(fmt::format(text, std::forward<First>(first), std::forward<Rest>(rest)...)));
  }

  const char* what() const noexcept override { return text_.c_str(); }
  /// The first line without "error: ".
  const std::string& message() const { return message_; }
  const std::optional<SourceLoc>& loc() const { return loc_; }
  const std::vector<std::string>& notes() const { return notes_; }
  /// The fix, empty if none was given.
  const std::string& help_text() const { return help_; }

 private:
  void render();

  std::string message_;
  std::optional<SourceLoc> loc_;
  std::vector<std::string> notes_;
  std::string help_;
  std::string text_;
};

/// A bug of Sinter itself: a condition that should hold does not.
class InternalError : public std::logic_error {
 public:
  InternalError(std::string_view condition, std::string_view file, int line, std::string_view text);
};

namespace detail {
[[noreturn]] void fail_check(const char* condition, const char* file, int line,
                             const std::string& text = {});
template <class First, class... Rest>
[[noreturn]] void fail_check(const char* condition, const char* file, int line,
                             fmt::format_string<First, Rest...> text, First&& first,
                             Rest&&... rest) {
  fail_check(condition, file, line,
             fmt::format(text, std::forward<First>(first), std::forward<Rest>(rest)...));
}
}  // namespace detail

}  // namespace sinter

/// Throws InternalError unless `condition` holds; the rest is a fmt text and its arguments.
#define SINTER_CHECK(condition, ...)                                                           \
  do {                                                                                         \
    if (!(condition)) [[unlikely]]                                                             \
      ::sinter::detail::fail_check(#condition, __FILE__, __LINE__ __VA_OPT__(, ) __VA_ARGS__); \
  } while (false)
