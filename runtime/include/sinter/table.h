#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sinter/tensor.h>

namespace sinter {

struct CsvOptions {
  char separator = ',';
  /// The first record names the columns; otherwise they are named "0", "1", ...
  bool header = true;
  /// Fields that stand for no value, quoted or not, blanks around them left out.
  std::vector<std::string> missing{"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"};
  /// A gzipped file may inflate to so many bytes: a few of it could stand for all memory there is.
  int64_t max_bytes = int64_t{1} << 30;
};

/// What fill_missing puts where a column has no value.
enum class Fill : uint8_t { mean, median };

/// Data in named columns of equal length. A column holds numbers (f64, NaN where a value is
/// missing) or text, kept as categories. Methods that change the table return it, so that they
/// chain. A wrong name is an Error with the names there are.
class Table {
 public:
  /// Reads a CSV file, plain or gzipped, as RFC 4180 describes it: records end with LF, CRLF or CR;
  /// a quoted field may hold separators, line ends and doubled quotes. A UTF-8 byte order mark and
  /// empty lines are skipped. A column whose values all are numbers is one of numbers. Error with
  /// file:line:column (counted from 1, in bytes) for a record of another length than the first, a
  /// quote that is not closed, text after one, a bare quote, a name that comes twice, and more than
  /// 2^17 columns.
  static Table from_csv(const std::string& path, const CsvOptions& options = {});
  /// The same from memory; `name` stands for the path in messages.
  static Table parse_csv(std::string_view text, const std::string& name = "csv",
                         const CsvOptions& options = {});

  int64_t rows() const { return rows_; }
  std::vector<std::string> names() const;
  bool has(std::string_view name) const;
  bool is_text(std::string_view name) const;

  /// How many values of a column are missing.
  int64_t missing(std::string_view name) const;
  /// The values of a column of numbers. Error for one of text, which names the first value that is
  /// not a number and its place in the file.
  const std::vector<double>& numbers(std::string_view name) const;
  /// The different values of a column of text, sorted by bytes; tables made from this one keep them
  /// all.
  const std::vector<std::string>& categories(std::string_view name) const;
  /// For each row the index into categories(), -1 where the value is missing.
  const std::vector<int32_t>& codes(std::string_view name) const;

  /// Over the values that are there. Error if there is none, or for text.
  double mean(std::string_view name) const;
  /// The middle value, or the mean of the middle two.
  double median(std::string_view name) const;

  Table& fill_missing(std::string_view name, double value);
  Table& fill_missing(std::string_view name, Fill how);
  /// Leaves out each row in which any value is missing.
  Table& drop_missing();
  Table& drop(std::string_view name);
  /// Appends a column of numbers, one for each row. Error if the name is taken.
  Table& add(std::string name, std::vector<double> values);
  /// Replaces a column of text by one of 0 and 1 for each category, named "column=category". A row
  /// without a value has 0 in all.
  Table& one_hot(std::string_view name);

  /// These rows in this order.
  Table take_rows(std::span<const int64_t> rows) const;
  /// All rows, in an order that the seed decides, in two parts; the second has
  /// round(fraction * rows()) rows, 0 < fraction < 1.
  std::pair<Table, Table> split(double fraction, uint64_t seed) const;

  /// Columns of numbers side by side, [rows, columns]. Error if a value is missing.
  Tensor tensor(const std::vector<std::string>& names, DType dtype = DType::f32) const;
  /// All columns.
  Tensor tensor(DType dtype = DType::f32) const { return tensor(names(), dtype); }
  /// codes() as class numbers for a net, i64 [rows]. Error if a value is missing.
  Tensor labels(std::string_view name) const;

 private:
  friend class TableBuilder;

  struct Column {
    std::string name;
    bool text = false;
    std::vector<double> numbers{};
    std::vector<std::string> categories{};
    std::vector<int32_t> codes{};
    // Of a column of text: the first value that is no number, and where it stands.
    std::string first_text{}, first_place{};
  };

  const Column& column(std::string_view name) const;
  Column& column(std::string_view name);
  static bool is_missing(const Column& column, size_t row);

  std::vector<Column> columns_;
  int64_t rows_ = 0;
};

}  // namespace sinter
