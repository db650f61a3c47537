#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>

#include <catch2/catch.hpp>
#include <zlib.h>

#include <sinter/error.h>
#include <sinter/table.h>

using namespace sinter;

namespace {

std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(!error.help_text().empty());
    return error.message();
  }
  return "no error";
}

std::string csv_error(const std::string& text) {
  return message([&] { Table::parse_csv(text, "a.csv"); });
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("columns are numbers or text, by name", "[table]") {
  const Table t = Table::parse_csv("id,price,town\n1,2.5,B\n2,-1e3,A\n3,+7,B\n");
  CHECK(t.rows() == 3);
  CHECK(t.names() == Words{"id", "price", "town"});
  CHECK(t.numbers("price") == std::vector<double>{2.5, -1000, 7});
  CHECK(t.is_text("town"));
  CHECK(t.categories("town") == Words{"A", "B"});
  CHECK(t.codes("town") == std::vector<int32_t>{1, 0, 1});
  CHECK(equal(t.labels("town"), Tensor::of<int64_t>({1, 0, 1})));
  CHECK(equal(t.tensor({"price", "id"}), Tensor{{2.5, 1}, {-1000, 2}, {7, 3}}));
  CHECK(t.tensor({"id"}, DType::i64).dtype() == DType::i64);
}

TEST_CASE("quotes protect separators, line ends and quotes", "[table]") {
  const Table t =
      Table::parse_csv("a,b\n\"x, y\",\"one\ntwo\"\n\"say \"\"hi\"\"\",\"\"\"\"\n\"3\",4");
  CHECK(t.rows() == 3);
  CHECK(t.categories("a") == Words{"3", "say \"hi\"", "x, y"});
  CHECK(t.categories("b") == Words{"\"", "4", "one\ntwo"});
  CHECK(Table::parse_csv("n\n\"1\"\n\"2\"\n").numbers("n") == std::vector<double>{1, 2});
}

TEST_CASE("line ends, a byte order mark and empty lines are as files have them", "[table]") {
  for (const char* text : {"a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4",
                           "\xEF\xBB\xBF"
                           "a,b\n\n1,2\n\n\n3,4\n\n",
                           "a;b\n1;2\n3;4"}) {
    CsvOptions options;
    if (std::string(text).find(';') != std::string::npos) options.separator = ';';
    const Table t = Table::parse_csv(text, "a.csv", options);
    CHECK(t.names() == Words{"a", "b"});
    CHECK(equal(t.tensor(), Tensor{{1, 2}, {3, 4}}));
  }
  const Table bare = Table::parse_csv("1,2\n3,4\n", "a.csv", {.header = false});
  CHECK(bare.names() == Words{"0", "1"});
  CHECK(bare.rows() == 2);
}

TEST_CASE("missing values are counted and filled", "[table]") {
  Table t = Table::parse_csv("x,c\n1,a\n,b\nNA,\n4,\"\"\n10, NaN \n");
  CHECK(t.missing("x") == 2);
  CHECK(t.missing("c") == 3);
  CHECK(std::isnan(t.numbers("x")[1]));
  CHECK(t.mean("x") == 5);
  CHECK(t.median("x") == 4);
  CHECK(message([&] { t.tensor({"x"}); }) == "the column x misses 2 of 5 values");
  CHECK(message([&] { t.labels("c"); }) == "the column c misses 3 of 5 values");
  Table whole = t;
  CHECK(whole.drop_missing().rows() == 1);
  CHECK(t.fill_missing("x", Fill::median).numbers("x") == std::vector<double>{1, 4, 4, 4, 10});
  Table even = Table::parse_csv("x\n4\n1\n\"\"\n2\n3\n");
  CHECK(even.median("x") == 2.5);
  CHECK(even.fill_missing("x", Fill::mean).numbers("x")[2] == 2.5);
  CHECK(message([] { Table::parse_csv("x,y\n,1\n").mean("x"); }) == "the column x has no value");
}

TEST_CASE("a category becomes columns of 0 and 1", "[table]") {
  Table t = Table::parse_csv("id,sea,last\n1,NEAR,9\n2,INLAND,8\n3,,7\n");
  t.one_hot("sea");
  CHECK(t.names() == Words{"id", "sea=INLAND", "sea=NEAR", "last"});
  CHECK(equal(t.tensor(), Tensor{{1, 0, 1, 9}, {2, 1, 0, 8}, {3, 0, 0, 7}}));
  CHECK(equal(t.drop("last").tensor(), Tensor{{1, 0, 1}, {2, 1, 0}, {3, 0, 0}}));
  t.add("twice", {2, 4, 6});
  CHECK(t.numbers("twice")[2] == 6);
}

TEST_CASE("a split has every row once, by seed, and keeps the categories", "[table]") {
  std::string text = "i,c\n";
  for (int i = 0; i < 50; ++i) text += std::to_string(i) + (i == 17 ? ",rare\n" : ",common\n");
  const Table t = Table::parse_csv(text);
  const auto [train, test] = t.split(0.2, 3);
  CHECK(train.rows() == 40);
  CHECK(test.rows() == 10);
  std::vector<double> all = train.numbers("i");
  all.insert(all.end(), test.numbers("i").begin(), test.numbers("i").end());
  CHECK(all != t.numbers("i"));
  std::sort(all.begin(), all.end());
  CHECK(all == t.numbers("i"));
  CHECK(t.split(0.2, 3).second.numbers("i") == test.numbers("i"));
  CHECK(t.split(0.2, 4).second.numbers("i") != test.numbers("i"));
  CHECK(train.categories("c") == test.categories("c"));
  CHECK(message([&] { t.split(1.5, 1); }) == "split(1.5) of 50 rows leaves a part empty");
}

TEST_CASE("a broken file is refused with line and column", "[table]") {
  CHECK(csv_error("") == "a.csv is empty");
  CHECK(csv_error("a,b\n1,2\n3\n") == "a.csv:3:1: the record has 1 fields but the first one has 2");
  CHECK(csv_error("a,b\n\n1,2,3\n") ==
        "a.csv:3:1: the record has 3 fields but the first one has 2");
  CHECK(csv_error("a,b\n1,\"2\n3\n") == "a.csv:2:3: the quote is not closed");
  CHECK(csv_error("a,b\n\"x\ny\",\"2\"3\n") ==
        "a.csv:3:7: text after the quote that closes a field");
  CHECK(csv_error("a,b\n1,5\" pipe\n") ==
        "a.csv:2:4: a quote inside a field that does not begin with one");
  CHECK(csv_error("a,b,a\n1,2,3\n") == "a.csv:1:5: there are two columns named a");
  CHECK(csv_error(std::string(1 << 18, ',')) ==
        "a.csv:1:131073: there are more than 131072 columns");
  CHECK(csv_error("\xFF\xFE"
                  "a\0") == "a.csv is UTF-16 text");
  CHECK(message([] { Table::from_csv("/nowhere/a.csv"); }).find("/nowhere/a.csv") !=
        std::string::npos);
}

TEST_CASE("a word in a column of numbers is named where the numbers are asked for", "[table]") {
  const Table t = Table::parse_csv("a,b\n1,2\n3,oops\n", "a.csv");
  try {
    t.tensor({"b"});
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.message() == "the column b holds text: 'oops' is not a number");
    CHECK(error.notes() == Words{"at a.csv:3:3"});
  }
  CHECK(message([&] { t.numbers("c"); }) == "the table has no column named c");
  CHECK(message([&] { t.codes("a"); }) == "the column a holds numbers, not categories");
}

TEST_CASE("numbers at the edge", "[table]") {
  const Table t = Table::parse_csv("x\n1e999\n-1e999\n1e-999\n-0\ninf\n 12 \n0.1\n");
  const std::vector<double>& x = t.numbers("x");
  CHECK(x[0] == INFINITY);
  CHECK(x[1] == -INFINITY);
  CHECK(x[2] == 0);
  CHECK(std::signbit(x[3]));
  CHECK(x[4] == INFINITY);
  CHECK(x[5] == 12);
  CHECK(x[6] == 0.1);
  for (const char* word : {"1,5", "0x10", "1 2", "--1", "+-1", "+", "1e", "e5", "."})
    CHECK(Table::parse_csv(std::string("x\n\"") + word + "\"\n").is_text("x"));
}

TEST_CASE("a gzipped file reads like a plain one, and a cut one is refused", "[table]") {
  const std::string text = "a,b\n1,x\n2,y\n";
  const auto folder = std::filesystem::temp_directory_path() / "sinter_table_test";
  std::filesystem::create_directories(folder);
  const std::string plain = (folder / "t.csv").string(), packed = (folder / "t.csv.gz").string();
  std::ofstream(plain) << text;
  gzFile file = gzopen(packed.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  for (const std::string& path : {plain, packed}) {
    const Table t = Table::from_csv(path);
    CHECK(t.numbers("a") == std::vector<double>{1, 2});
    CHECK(t.categories("b") == Words{"x", "y"});
  }
  CHECK(Table::from_csv(plain, {.max_bytes = 11}).rows() == 2);
  CHECK(Table::from_csv(packed, {.max_bytes = 12}).rows() == 2);
  CHECK(message([&] { Table::from_csv(packed, {.max_bytes = 11}); }) ==
        packed + " inflates to more than 11 bytes");
  std::filesystem::resize_file(packed, std::filesystem::file_size(packed) - 9);
  CHECK(message([&] { Table::from_csv(packed); }).find("is damaged at byte") != std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST_CASE("mangled text ends in a table or an error", "[table]") {
  const std::string good = "a,b,c\n1,\"x, \"\"y\"\"\",2.5\n,NA,\"l\r\nm\"\n7,z,-3e4\r\n";
  const std::string bytes = "\",\n\r;0e-x\xEF\0";
  uint64_t state = 1;
  const auto random = [&](size_t bound) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>(state >> 33) % bound;
  };
  int tables = 0, errors = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string text = good;
    for (size_t k = 0; k <= random(3); ++k) {
      const size_t at = random(text.size());
      switch (random(3)) {
        case 0:
          text[at] = bytes[random(bytes.size())];
          break;
        case 1:
          text.insert(at, 1, bytes[random(bytes.size())]);
          break;
        default:
          text.erase(at, 1 + random(3));
      }
    }
    try {
      const Table t = Table::parse_csv(text, "a.csv");
      for (const std::string& name : t.names())
        CHECK((t.is_text(name) ? t.codes(name).size() : t.numbers(name).size()) ==
              static_cast<size_t>(t.rows()));
      ++tables;
    } catch (const Error&) {
      ++errors;
    }
  }
  CHECK(tables > 500);
  CHECK(errors > 500);
}
