#include "runtime/data/csv_reader.h"

namespace sinter::detail {

CsvReader::CsvReader(std::string_view text, const std::string& path, char separator)
    : text_(text), path_(path), separator_(separator) {
  if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF"))
    throw Error("{} is UTF-16 text", path).help("save it as UTF-8");
}

std::string CsvReader::place(int64_t line, int64_t column) const {
  return fmt::format("{}:{}:{}", path_, line, column);
}

Error CsvReader::fail(int64_t line, int64_t column, std::string_view what) const {
  return Error("{}: {}", place(line, column), what);
}

void CsvReader::skip_line_end() {
  if (at_ == text_.size()) return;
  if (text_[at_] == '\r' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n') ++at_;
  ++at_;
  ++line_;
  line_start_ = at_;
}

bool CsvReader::begin_record() {
  while (at_ < text_.size() && at_line_end()) skip_line_end();
  more_ = at_ < text_.size();
  return more_;
}

bool CsvReader::next(CsvField& field) {
  if (!more_) return false;
  field.line = line_;
  field.column = column_now();
  field.text = at_ < text_.size() && text_[at_] == '"' ? quoted() : plain();
  more_ = at_ < text_.size() && text_[at_] == separator_;
  if (more_) {
    ++at_;
  } else {
    skip_line_end();
  }
  return true;
}

std::string_view CsvReader::plain() {
  const size_t start = at_;
  while (!at_line_end() && text_[at_] != separator_) {
    if (text_[at_] == '"')
      throw fail(line_, column_now(), "a quote inside a field that does not begin with one")
          .help("quote the whole field, and write its own quotes twice");
    ++at_;
  }
  return text_.substr(start, at_ - start);
}

std::string_view CsvReader::quoted() {
  const int64_t line = line_, column = column_now();
  unquoted_.clear();
  for (++at_;; ++at_) {
    if (at_ == text_.size())
      throw fail(line, column, "the quote is not closed").help("close it, or leave it out");
    const char c = text_[at_];
    if (c == '"') {
      if (at_ + 1 == text_.size() || text_[at_ + 1] != '"') break;
      ++at_;
    } else if (c == '\n' || (c == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] != '\n'))) {
      ++line_;
      line_start_ = at_ + 1;
    }
    unquoted_ += c;
  }
  ++at_;
  if (!at_line_end() && text_[at_] != separator_)
    throw fail(line_, column_now(), "text after the quote that closes a field")
        .help("write a quote that belongs to the field twice");
  return unquoted_;
}

}  // namespace sinter::detail
