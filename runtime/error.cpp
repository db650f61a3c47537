#include <sinter/error.h>

namespace sinter {

namespace {

std::string_view base_name_of(std::string_view path) {
  const size_t slash = path.find_last_of("/\\");
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

void append_lines(std::string& out, std::string_view text, std::string_view first,
                  std::string_view next) {
  std::string_view prefix = first;
  while (true) {
    const size_t end = text.find('\n');
    out.append("\n").append(prefix).append(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
    prefix = next;
  }
}

}  // namespace

std::string_view SourceLoc::base_name() const { return base_name_of(file); }

std::string SourceLoc::to_string() const { return fmt::format("{}:{}", base_name(), line); }

Error::Error(std::string message) : std::runtime_error(message), message_(std::move(message)) {
  render();
}

Error& Error::at(SourceLoc loc) & {
  loc_ = std::move(loc);
  render();
  return *this;
}

Error& Error::note(std::string text) & {
  notes_.push_back(std::move(text));
  render();
  return *this;
}

Error& Error::help(std::string text) & {
  help_ = std::move(text);
  render();
  return *this;
}

void Error::render() {
  text_ = "error: " + message_;
  if (loc_ && loc_->known()) text_ += "\n  --> " + loc_->to_string();
  for (const std::string& note : notes_) append_lines(text_, note, "   |   ", "   |   ");
  if (!help_.empty()) append_lines(text_, help_, "   = help: ", "           ");
}

InternalError::InternalError(std::string_view condition, std::string_view file, int line,
                             std::string_view text)
    : std::logic_error(fmt::format(
          "internal error: {}{}check failed: {}\n  --> {}:{}\n   = help: this is a bug of sinter, "
          "please report it with the program that shows it",
          text, text.empty() ? "" : "; ", condition, base_name_of(file), line)) {}

namespace detail {

void fail_check(const char* condition, const char* file, int line, const std::string& text) {
  throw InternalError(condition, file, line, text);
}

}  // namespace detail

}  // namespace sinter
