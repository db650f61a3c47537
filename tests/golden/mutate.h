// Broken variants of a text, for checking that a parser survives them.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::golden {

// `count` variants of the seeds, each with one to three random edits: characters, numbers and whole
// lines are replaced, dropped, doubled, swapped, or taken from another seed. The same `seed` gives
// the same variants.
class Mutator {
 public:
  Mutator(std::vector<std::string> seeds, uint64_t seed)
      : seeds_(std::move(seeds)), random_(seed) {}

  std::string next() {
    std::string text = pick(seeds_);
    for (uint64_t edits = 1 + below(3); edits > 0; --edits) edit(text);
    return text;
  }

 private:
  uint64_t below(uint64_t end) { return random_() % end; }

  const std::string& pick(const std::vector<std::string>& from) { return from[below(from.size())]; }

  void edit(std::string& text) {
    static const std::vector<std::string> pieces{"%",
                                                 "@",
                                                 "\"",
                                                 "\\",
                                                 "(",
                                                 ")",
                                                 "{",
                                                 "}",
                                                 "[",
                                                 "]",
                                                 ":",
                                                 ",",
                                                 "=",
                                                 "->",
                                                 "-",
                                                 "//",
                                                 "\n",
                                                 "n",
                                                 "0",
                                                 "-1",
                                                 "1e",
                                                 ".",
                                                 "nan",
                                                 "-inf",
                                                 "at",
                                                 "loc(",
                                                 "kernel",
                                                 "func",
                                                 "%0",
                                                 "%a",
                                                 "@w",
                                                 "f32",
                                                 "i64",
                                                 "\xFF",
                                                 "bool",
                                                 "barrier",
                                                 "return",
                                                 "9",
                                                 "128n",
                                                 "\t",
                                                 "true",
                                                 "[n]",
                                                 " : ",
                                                 "max_batch",
                                                 "arena",
                                                 "assign",
                                                 std::string(1, '\0')};
    static const std::vector<std::string> numbers{
        "0",  "1",          "-1",          "2",  "9223372036854775807",  "-9223372036854775808",
        "n",  "4294967296", "1e308",       "3n", "99999999999999999999", "2147483648",
        "8n", "0.5",        "65536, 65536"};
    if (text.empty()) text = pick(pieces);
    const size_t at = below(text.size());
    switch (below(8)) {
      case 0:
        text.erase(at, 1 + below(3));
        break;
      case 1:
        text.insert(at, pick(pieces));
        break;
      case 2:
        text.replace(at, 1, pick(pieces));
        break;
      case 3:
        text.resize(at);
        break;
      case 4: {
        const size_t digit = text.find_first_of("0123456789", at);
        if (digit == std::string::npos) break;
        size_t end = text.find_first_not_of("0123456789.e", digit);
        if (end == std::string::npos) end = text.size();
        text.replace(digit, end - digit, pick(numbers));
        break;
      }
      case 5: {
        // Two words change places, as when operands or types are mixed up.
        const std::string a = word(text, at), b = word(text, below(text.size()));
        const size_t first = text.find(a);
        if (!a.empty() && !b.empty()) text.replace(first, a.size(), b);
        break;
      }
      case 6:
        text.insert(line_start(text, at), line(text, below(text.size())));
        break;
      default:
        text.insert(line_start(text, at), line(pick(seeds_), below(400)));
    }
  }

  static size_t line_start(const std::string& text, size_t at) {
    const size_t before = at == 0 ? std::string::npos : text.rfind('\n', at - 1);
    return before == std::string::npos ? 0 : before + 1;
  }

  static std::string line(const std::string& text, size_t at) {
    const size_t from = line_start(text, std::min(at, text.size()));
    const size_t end = text.find('\n', from);
    return text.substr(from, end == std::string::npos ? end : end - from + 1);
  }

  static std::string word(const std::string& text, size_t at) {
    constexpr std::string_view blanks = " \n,:(){}[]";
    const size_t from = text.find_first_not_of(blanks, at);
    if (from == std::string::npos) return {};
    return text.substr(from, text.find_first_of(blanks, from) - from);
  }

  std::vector<std::string> seeds_;
  std::mt19937_64 random_;
};

}  // namespace sinter::golden
