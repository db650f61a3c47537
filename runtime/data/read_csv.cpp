// A first pass over the text finds the columns, their kinds and categories, a second one fills
// them, so that no field is kept as a string of its own.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include <sinter/error.h>
#include <sinter/table.h>

#include "runtime/data/csv_reader.h"

namespace sinter {

using detail::CsvField;
using detail::CsvReader;

namespace {

// A column costs some hundred bytes before it has a value, a comma costs one.
constexpr size_t max_columns = size_t{1} << 17;

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<double> number(std::string_view text) {
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || code == std::errc::invalid_argument) return std::nullopt;
  // Too large or too small: what strtod makes of it, infinity or (almost) zero.
  if (code == std::errc::result_out_of_range)
    return std::strtod(std::string(text).c_str(), nullptr);
  return value;
}

}  // namespace

class TableBuilder {
 public:
  TableBuilder(std::string_view text, const std::string& path, const CsvOptions& options)
      : text_(text),
        path_(path),
        options_(options),
        missing_(options.missing.begin(), options.missing.end()) {}

  Table build() {
    find_columns();
    find_kinds();
    fill();
    return std::move(table_);
  }

 private:
  using Categories = std::map<std::string, int32_t, std::less<>>;

  void find_columns() {
    CsvReader reader(text_, path_, options_.separator);
    if (!reader.begin_record()) throw Error("{} is empty", path_).help("give it a line of names");
    std::set<std::string> names;
    CsvField field;
    while (reader.next(field)) {
      if (table_.columns_.size() == max_columns)
        throw Error("{}: there are more than {} columns", reader.place(field.line, field.column),
                    max_columns)
            .help("separate records by line ends, or name the separator in CsvOptions");
      const std::string count = std::to_string(table_.columns_.size());
      std::string name(options_.header ? trimmed(field.text) : std::string_view(count));
      if (name.empty()) name = "column " + count;
      if (!names.insert(name).second)
        throw Error("{}: there are two columns named {}", reader.place(field.line, field.column),
                    name)
            .help("give each column a name of its own");
      table_.columns_.push_back({});
      table_.columns_.back().name = std::move(name);
    }
    seen_.resize(table_.columns_.size());
  }

  // Calls f(column, field) for every field of data.
  template <class F>
  void for_each_field(F f) {
    CsvReader reader(text_, path_, options_.separator);
    CsvField field;
    bool heading = options_.header;
    const size_t columns = table_.columns_.size();
    while (reader.begin_record()) {
      size_t count = 0;
      int64_t line = 0;
      while (reader.next(field)) {
        if (count == 0) line = field.line;
        if (!heading && count < columns) f(count, field, reader);
        ++count;
      }
      if (count != columns)
        throw Error("{}: the record has {} fields but the first one has {}", reader.place(line, 1),
                    count, columns)
            .help("a field with {} in it is quoted",
                  options_.separator == ',' ? "a comma" : "a separator");
      if (!heading && ++row_ > std::numeric_limits<int32_t>::max())
        throw Error("{} has more than 2^31 records", path_).help("read it in parts");
      heading = false;
    }
  }

  void find_kinds() {
    row_ = 0;
    for_each_field([&](size_t i, const CsvField& field, const CsvReader& reader) {
      Table::Column& column = table_.columns_[i];
      const std::string_view text = trimmed(field.text);
      if (column.text || missing_.contains(text) || number(text)) return;
      column.text = true;
      column.first_text = text;
      column.first_place = reader.place(field.line, field.column);
    });
    table_.rows_ = row_;
  }

  void fill() {
    for (Table::Column& column : table_.columns_) {
      if (column.text) {
        column.codes.reserve(static_cast<size_t>(table_.rows_));
      } else {
        column.numbers.reserve(static_cast<size_t>(table_.rows_));
      }
    }
    row_ = 0;
    for_each_field([&](size_t i, const CsvField& field, const CsvReader&) {
      Table::Column& column = table_.columns_[i];
      const std::string_view text = trimmed(field.text);
      const bool missing = missing_.contains(text);
      if (column.text) {
        column.codes.push_back(missing ? -1 : code_of(i, text));
      } else {
        column.numbers.push_back(missing ? NAN : *number(text));
      }
    });
    for (size_t i = 0; i < table_.columns_.size(); ++i) {
      if (table_.columns_[i].text) sort_categories(table_.columns_[i], seen_[i]);
    }
  }

  // In order of appearance.
  int32_t code_of(size_t i, std::string_view text) {
    Categories& categories = seen_[i];
    const auto found = categories.find(text);
    if (found != categories.end()) return found->second;
    const auto code = static_cast<int32_t>(categories.size());
    categories.emplace(text, code);
    return code;
  }

  static void sort_categories(Table::Column& column, const Categories& found) {
    std::vector<int32_t> rank(found.size());
    for (const auto& [text, code] : found) {
      rank[static_cast<size_t>(code)] = static_cast<int32_t>(column.categories.size());
      column.categories.push_back(text);
    }
    for (int32_t& code : column.codes) {
      if (code >= 0) code = rank[static_cast<size_t>(code)];
    }
  }

  std::string_view text_;
  const std::string& path_;
  const CsvOptions& options_;
  std::set<std::string, std::less<>> missing_;
  Table table_;
  std::vector<Categories> seen_;
  int64_t row_ = 0;
};

Table Table::from_csv(const std::string& path, const CsvOptions& options) {
  return parse_csv(detail::read_text_file(path, options.max_bytes), path, options);
}

Table Table::parse_csv(std::string_view text, const std::string& name, const CsvOptions& options) {
  if (options.separator == '"' || options.separator == '\n' || options.separator == '\r')
    throw Error("a quote or a line end cannot separate fields").help("use ',', ';' or '\\t'");
  return TableBuilder(text, name, options).build();
}

}  // namespace sinter
