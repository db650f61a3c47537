#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <sinter/error.h>

namespace sinter::detail {

/// A field of a record and where it begins, counted from 1, the column in bytes.
struct CsvField {
  std::string_view text;
  int64_t line = 1, column = 1;
};

/// Reads records of comma-separated values, RFC 4180, field by field.
class CsvReader {
 public:
  /// `text` and `path` outlive the reader.
  CsvReader(std::string_view text, const std::string& path, char separator);

  /// Skips empty lines; false at the end of the text.
  bool begin_record();
  /// The next field of the record; its text is good until the next call. False after the last one.
  bool next(CsvField& field);

  /// "housing.csv:12:30"
  std::string place(int64_t line, int64_t column) const;

 private:
  bool at_line_end() const {
    return at_ == text_.size() || text_[at_] == '\n' || text_[at_] == '\r';
  }
  void skip_line_end();
  std::string_view quoted();
  std::string_view plain();
  Error fail(int64_t line, int64_t column, std::string_view what) const;
  int64_t column_now() const { return static_cast<int64_t>(at_ - line_start_) + 1; }

  std::string_view text_;
  const std::string& path_;
  char separator_;
  size_t at_ = 0, line_start_ = 0;
  int64_t line_ = 1;
  bool more_ = false;
  // Of a quoted field with doubled quotes.
  std::string unquoted_;
};

/// The text of a file, plain or gzipped. Error with the byte offset for a damaged one, and for a
/// gzipped one of more than `max_bytes`.
std::string read_text_file(const std::string& path, int64_t max_bytes);

}  // namespace sinter::detail
