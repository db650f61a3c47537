#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include <sinter/error.h>
#include <sinter/permutation.h>
#include <sinter/table.h>

namespace sinter {

namespace {

template <class T>
std::vector<T> picked(const std::vector<T>& from, std::span<const int64_t> rows) {
  std::vector<T> out;
  if (from.empty()) return out;
  out.reserve(rows.size());
  for (int64_t row : rows) out.push_back(from[static_cast<size_t>(row)]);
  return out;
}

}  // namespace

std::vector<std::string> Table::names() const {
  std::vector<std::string> out;
  for (const Column& c : columns_) out.push_back(c.name);
  return out;
}

bool Table::has(std::string_view name) const {
  return std::any_of(columns_.begin(), columns_.end(),
                     [&](const Column& c) { return c.name == name; });
}

const Table::Column& Table::column(std::string_view name) const {
  std::string list;
  for (const Column& c : columns_) {
    if (c.name == name) return c;
    list += (list.empty() ? "" : ", ") + c.name;
  }
  throw Error("the table has no column named {}", name).help("it has {}", list);
}

Table::Column& Table::column(std::string_view name) {
  return const_cast<Column&>(std::as_const(*this).column(name));
}

bool Table::is_text(std::string_view name) const { return column(name).text; }

bool Table::is_missing(const Column& c, size_t row) {
  return c.text ? c.codes[row] < 0 : std::isnan(c.numbers[row]);
}

int64_t Table::missing(std::string_view name) const {
  const Column& c = column(name);
  int64_t count = 0;
  for (size_t row = 0; row < static_cast<size_t>(rows_); ++row) count += is_missing(c, row);
  return count;
}

const std::vector<double>& Table::numbers(std::string_view name) const {
  const Column& c = column(name);
  if (!c.text) return c.numbers;
  throw Error("the column {} holds text: '{}' is not a number", name, c.first_text)
      .note("at {}", c.first_place)
      .help("use one_hot(\"{}\") or labels(\"{}\"), or list the word in CsvOptions::missing", name,
            name);
}

const std::vector<std::string>& Table::categories(std::string_view name) const {
  codes(name);
  return column(name).categories;
}

const std::vector<int32_t>& Table::codes(std::string_view name) const {
  const Column& c = column(name);
  if (c.text) return c.codes;
  throw Error("the column {} holds numbers, not categories", name)
      .help("use numbers(\"{}\")", name);
}

double Table::mean(std::string_view name) const {
  double sum = 0;
  const std::vector<double>& all = numbers(name);
  const int64_t count = rows_ - missing(name);
  for (double x : all) sum += std::isnan(x) ? 0 : x;
  if (count == 0)
    throw Error("the column {} has no value", name).help("leave it out with drop(\"{}\")", name);
  return sum / static_cast<double>(count);
}

double Table::median(std::string_view name) const {
  std::vector<double> values = numbers(name);
  std::erase_if(values, [](double x) { return std::isnan(x); });
  if (values.empty())
    throw Error("the column {} has no value", name).help("leave it out with drop(\"{}\")", name);
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

Table& Table::fill_missing(std::string_view name, double value) {
  numbers(name);
  std::vector<double>& values = column(name).numbers;
  std::replace_if(values.begin(), values.end(), [](double x) { return std::isnan(x); }, value);
  return *this;
}

Table& Table::fill_missing(std::string_view name, Fill how) {
  return fill_missing(name, how == Fill::mean ? mean(name) : median(name));
}

Table& Table::drop_missing() {
  std::vector<int64_t> whole;
  for (int64_t row = 0; row < rows_; ++row) {
    const auto gap = [&](const Column& c) { return is_missing(c, static_cast<size_t>(row)); };
    if (std::none_of(columns_.begin(), columns_.end(), gap)) whole.push_back(row);
  }
  return *this = take_rows(whole);
}

Table& Table::drop(std::string_view name) {
  column(name);
  std::erase_if(columns_, [&](const Column& c) { return c.name == name; });
  return *this;
}

Table& Table::add(std::string name, std::vector<double> values) {
  if (has(name))
    throw Error("the table has a column named {} already", name).help("choose another name");
  if (columns_.empty()) rows_ = static_cast<int64_t>(values.size());
  if (static_cast<int64_t>(values.size()) != rows_)
    throw Error("the column {} has {} values but the table has {} rows", name, values.size(), rows_)
        .help("give one value for each row");
  columns_.push_back({.name = std::move(name), .numbers = std::move(values)});
  return *this;
}

Table& Table::one_hot(std::string_view name) {
  codes(name);
  const auto at = std::find_if(columns_.begin(), columns_.end(),
                               [&](const Column& c) { return c.name == name; });
  std::vector<Column> ones;
  for (size_t k = 0; k < at->categories.size(); ++k) {
    Column c{.name = fmt::format("{}={}", at->name, at->categories[k])};
    for (int32_t code : at->codes) c.numbers.push_back(code == static_cast<int32_t>(k));
    ones.push_back(std::move(c));
  }
  const auto place = columns_.erase(at);
  columns_.insert(place, std::make_move_iterator(ones.begin()),
                  std::make_move_iterator(ones.end()));
  return *this;
}

Table Table::take_rows(std::span<const int64_t> rows) const {
  for (int64_t row : rows) {
    if (row < 0 || row >= rows_)
      throw Error("take_rows got row {} but the table has {} rows", row, rows_)
          .help("use rows from 0 to {}", rows_ - 1);
  }
  Table out;
  out.rows_ = static_cast<int64_t>(rows.size());
  for (const Column& c : columns_) {
    out.columns_.push_back({c.name, c.text, picked(c.numbers, rows), c.categories,
                            picked(c.codes, rows), c.first_text, c.first_place});
  }
  return out;
}

std::pair<Table, Table> Table::split(double fraction, uint64_t seed) const {
  const auto second = std::llround(fraction * static_cast<double>(rows_));
  if (!(fraction > 0 && fraction < 1) || second == 0 || second == rows_)
    throw Error("split({}) of {} rows leaves a part empty", fraction, rows_)
        .help("give the share of the second part, as 0.2");
  std::vector<int64_t> order(static_cast<size_t>(rows_));
  random_permutation(seed, stream_id("split"), 0, order);
  const std::span<const int64_t> all(order);
  const auto first = static_cast<size_t>(rows_ - second);
  return {take_rows(all.first(first)), take_rows(all.subspan(first))};
}

Tensor Table::tensor(const std::vector<std::string>& names, DType dtype) const {
  const auto width = static_cast<int64_t>(names.size());
  Tensor wide = Tensor::empty({rows_, width}, DType::f64);
  double* to = wide.data<double>();
  for (size_t i = 0; i < names.size(); ++i) {
    const std::vector<double>& from = numbers(names[i]);
    for (size_t row = 0; row < from.size(); ++row) to[row * names.size() + i] = from[row];
    if (const int64_t gaps = missing(names[i]); gaps > 0)
      throw Error("the column {} misses {} of {} values", names[i], gaps, rows_)
          .help("use fill_missing(\"{}\", Fill::median) or drop_missing()", names[i]);
  }
  return wide.to(dtype);
}

Tensor Table::labels(std::string_view name) const {
  const std::vector<int32_t>& from = codes(name);
  if (const int64_t gaps = missing(name); gaps > 0)
    throw Error("the column {} misses {} of {} values", name, gaps, rows_)
        .help("leave those rows out with drop_missing()");
  return Tensor::from(std::vector<int64_t>(from.begin(), from.end()));
}

}  // namespace sinter
