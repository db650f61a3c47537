#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <sinter/error.h>

namespace sinter::detail {

/// Reads the tokens of strict JSON from a part of a file. The caller knows the grammar of what it
/// reads, so there is no recursion, and what it does not ask for is an error. Every error names the
/// file and the byte.
class JsonReader {
 public:
  /// `text` begins at byte `start` of the file at `path`; `format` is what messages call the file.
  JsonReader(const std::string& path, std::string_view format, std::string_view text, int64_t start)
      : path_(path), format_(format), text_(text), start_(start) {}

  /// Takes the character if it is the next one after white space.
  bool accept(char c);
  void expect(char c);
  /// A string of valid UTF-8 of at most `most` bytes, escapes resolved.
  std::string string(size_t most);
  /// A whole number from 0 to 2^63 - 1, without a sign, a fraction or an exponent.
  int64_t count();
  /// Only white space may be left.
  void expect_end();

  /// The byte of the file where the next token begins.
  int64_t offset();
  /// The error at the next token, or at a byte seen before.
  Error fail(std::string_view what) { return fail_at(offset(), what); }
  Error fail_at(int64_t byte, std::string_view what) const;

 private:
  void skip_space();
  void escape(std::string& out);
  uint32_t hex4();

  const std::string& path_;
  std::string_view format_, text_;
  int64_t start_;
  size_t at_ = 0;
};

/// Whether the bytes are UTF-8: shortest forms only, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view bytes);

/// `text`, which is UTF-8, as a JSON string in quotes, escaped as Rust's serde_json does.
std::string json_quoted(std::string_view text);

}  // namespace sinter::detail
