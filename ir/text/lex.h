// Tokens of the text form and the errors that point at them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sinter/error.h>

namespace sinter::ir {

enum class TokenKind : uint8_t {
  end,      // of the text
  word,     // func, relu, n, nan, -inf
  value,    // %hidden, %12
  global,   // @hidden.weight
  integer,  // 10, -3
  real,     // 0.5, -1e-45
  text,     // "quoted"
  symbol,   // one of ( ) { } [ ] : , = ->
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view text;  // as written; without the sigil for a value or a global
  size_t offset = 0;      // of its first character in the text
  int line = 1;

  bool is(std::string_view symbol_or_word) const {
    return (kind == TokenKind::symbol || kind == TokenKind::word) && text == symbol_or_word;
  }
};

// What messages call a token: `"+"`, `end of the text`.
std::string describe(const Token& token);

class Lexer {
 public:
  // `text` and `file` must outlive the lexer.
  Lexer(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  // The next token; `end` for ever after the last one. Throws Error on a character that begins
  // none, an unfinished string and what is beyond the limits below.
  Token next();

  // An error at a place of the text: file and line, then the source line with a mark below the
  // column. The caller adds the help.
  Error error(size_t offset, int line, std::string message) const;
  Error error(const Token& at, std::string message) const {
    return error(at.offset, at.line, std::move(message));
  }

 private:
  void skip_blanks();
  Token take(TokenKind kind, size_t length, size_t sigil = 0);
  Token take_name(TokenKind kind);
  Token take_number();
  Token take_text();

  std::string_view text_;
  const std::string& file_;
  size_t at_ = 0;
  int64_t tokens_ = 0;
  int line_ = 1;
};

// Letters, digits, `_`, `.` and `-`: what the name of a value, a global or a function is made of.
bool is_name_character(char c);
inline constexpr size_t max_name_length = 1024;

// Whatever a text says, reading it ends within a second and 256 MiB: a token becomes at most about
// 100 bytes of a module. A training step of 64 layers has 20 thousand tokens.
inline constexpr int64_t max_tokens = 2'000'000;
inline constexpr size_t max_text_bytes = size_t{64} << 20;
inline constexpr size_t max_quoted_length = 65536;

// The candidate that differs least from `wanted` when few letters differ, else empty.
std::string closest(std::string_view wanted, const std::vector<std::string_view>& candidates);

}  // namespace sinter::ir
