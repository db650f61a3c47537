#include "ir/text/lex.h"

#include <algorithm>

#include <fmt/format.h>

namespace sinter::ir {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// A character as a message shows it.
std::string shown(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (byte < 0x20 || byte >= 0x7F) return fmt::format("byte 0x{:02X}", byte);
  return fmt::format("'{}'", c);
}

// The part of a source line around a column, free of control characters, and the mark below it.
std::string excerpt(std::string_view line, size_t column) {
  constexpr size_t before = 60, width = 96;
  const size_t from = column > before ? column - before : 0;
  std::string out(line.substr(std::min(from, line.size()), width));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return fmt::format("{}\n{}^ column {}", out, std::string(column - from, ' '), column + 1);
}

// Number of insertions, deletions and replacements that make `b` of `a`, at most `limit` + 1.
size_t edit_distance(std::string_view a, std::string_view b, size_t limit) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    size_t least = row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
      least = std::min(least, row[j]);
    }
    if (least > limit) return limit + 1;
  }
  return row[b.size()];
}

}  // namespace

bool is_name_character(char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '-'; }

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::end:
      return "the end of the text";
    case TokenKind::value:
      return fmt::format("%{}", token.text);
    case TokenKind::global:
      return fmt::format("@{}", token.text);
    case TokenKind::text:
      return "quoted text";
    default:
      return fmt::format("\"{}\"", token.text);
  }
}

Error Lexer::error(size_t offset, int line, std::string message) const {
  offset = std::min(offset, text_.size());
  // The last character of an unfinished text may be the newline itself.
  const size_t before = offset == 0 ? std::string_view::npos : text_.rfind('\n', offset - 1);
  const size_t from = before == std::string_view::npos ? 0 : before + 1;
  const size_t to = std::min(text_.find('\n', from), text_.size());
  return Error(std::move(message))
      .at(file_, line)
      .note(excerpt(text_.substr(from, to - from), offset - from));
}

void Lexer::skip_blanks() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '/' && text_.substr(at_, 2) == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (is_blank(c)) {
      if (c == '\n') ++line_;
      ++at_;
    } else {
      return;
    }
  }
}

Token Lexer::take(TokenKind kind, size_t length, size_t sigil) {
  // Messages show tokens whole.
  if (length > max_name_length + 1 && kind != TokenKind::text) {
    throw error(at_, line_, fmt::format("a word of {} characters", length))
        .help(fmt::format("names, words and numbers have at most {}", max_name_length));
  }
  const Token token{kind, text_.substr(at_ + sigil, length - sigil), at_, line_};
  at_ += length;
  return token;
}

Token Lexer::take_name(TokenKind kind) {
  size_t end = at_ + 1;
  while (end < text_.size() && is_name_character(text_[end])) ++end;
  const size_t length = end - at_ - 1;
  if (length == 0) {
    throw error(at_, line_, fmt::format("{} without a name", shown(text_[at_])))
        .help("a name is made of letters, digits, '_', '.' and '-'");
  }
  if (length > max_name_length) {
    throw error(at_, line_, fmt::format("a name of {} characters", length))
        .help(fmt::format("a name has at most {}", max_name_length));
  }
  return take(kind, length + 1, 1);
}

Token Lexer::take_number() {
  size_t end = at_ + (text_[at_] == '-' ? 1 : 0);
  const auto digits = [&] {
    const size_t from = end;
    while (end < text_.size() && is_digit(text_[end])) ++end;
    return end > from;
  };
  const auto peek = [&](size_t i) { return i < text_.size() ? text_[i] : '\0'; };
  bool real = false, complete = digits();
  if (peek(end) == '.') {
    ++end;
    real = true;
    complete = digits() && complete;
  }
  if (complete && (peek(end) == 'e' || peek(end) == 'E')) {
    ++end;
    real = true;
    if (peek(end) == '-' || peek(end) == '+') ++end;
    complete = digits();
  }
  if (!complete) {
    const std::string_view start = text_.substr(at_, std::min(end - at_, max_name_length));
    throw error(at_, line_, fmt::format("\"{}\" is not a number", start))
        .help("write it as in 10, 0.5 or 1e-3");
  }
  return take(real ? TokenKind::real : TokenKind::integer, end - at_);
}

Token Lexer::take_text() {
  size_t end = at_ + 1;
  while (end < text_.size() && text_[end] != '"' && text_[end] != '\n') {
    if (text_[end] == '\\' && end + 1 < text_.size() && text_[end + 1] != '\n') ++end;
    ++end;
  }
  if (end >= text_.size() || text_[end] != '"') {
    throw error(at_, line_, "quoted text without its end")
        .help("close it with '\"' on the same line; a line break inside is \\n");
  }
  if (end - at_ > max_quoted_length) {
    throw error(at_, line_, fmt::format("quoted text of {} characters", end - at_ - 1))
        .help(fmt::format("quoted text has at most {}", max_quoted_length - 1));
  }
  return take(TokenKind::text, end + 1 - at_);
}

Token Lexer::next() {
  skip_blanks();
  if (at_ >= text_.size()) return {TokenKind::end, {}, text_.size(), line_};
  if (++tokens_ > max_tokens || text_.size() > max_text_bytes) {
    throw error(at_, line_,
                fmt::format("a text of more than {} words or {} bytes", max_tokens, max_text_bytes))
        .help("split the program");
  }
  const char c = text_[at_];
  const char after = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
  if (c == '%') return take_name(TokenKind::value);
  if (c == '@') return take_name(TokenKind::global);
  if (c == '"') return take_text();
  if (c == '-' && after == '>') return take(TokenKind::symbol, 2);
  if (is_digit(c) || (c == '-' && is_digit(after))) return take_number();
  if (is_letter(c) || (c == '-' && is_letter(after))) {
    size_t end = at_ + 1;
    while (end < text_.size() && (is_letter(text_[end]) || is_digit(text_[end]))) ++end;
    return take(TokenKind::word, end - at_);
  }
  if (std::string_view("(){}[]:,=").find(c) != std::string_view::npos) {
    return take(TokenKind::symbol, 1);
  }
  throw error(at_, line_, fmt::format("unexpected {}", shown(c)))
      .help("a comment begins with //, a value with %, a global with @");
}

std::string closest(std::string_view wanted, const std::vector<std::string_view>& candidates) {
  const size_t limit = std::clamp<size_t>(wanted.size() / 3, 1, 3);
  // Long names are left out: comparing takes the product of two lengths.
  if (wanted.size() > 64) return {};
  size_t best = limit + 1;
  std::string_view found;
  for (std::string_view candidate : candidates) {
    const size_t a = candidate.size(), b = wanted.size();
    if ((a > b ? a - b : b - a) > limit) continue;
    const size_t distance = edit_distance(wanted, candidate, limit);
    if (distance < best && distance < b) {
      best = distance;
      found = candidate;
    }
  }
  return std::string(found);
}

}  // namespace sinter::ir
