#include "runtime/files/json_reader.h"

namespace sinter::detail {

namespace {

void append_utf8(std::string& out, uint32_t code) {
  const auto continuation = [&](int shift) {
    out += static_cast<char>(0x80 | ((code >> shift) & 0x3F));
  };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    continuation(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    continuation(6);
    continuation(0);
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

}  // namespace

void JsonReader::skip_space() {
  while (at_ < text_.size() && std::string_view(" \n\r\t").find(text_[at_]) != text_.npos) ++at_;
}

int64_t JsonReader::offset() {
  skip_space();
  return start_ + static_cast<int64_t>(at_);
}

Error JsonReader::fail_at(int64_t byte, std::string_view what) const {
  return Error("{} is not a valid {} file: {} at byte {}", path_, format_, what, byte)
      .help("write or download the file again");
}

bool JsonReader::accept(char c) {
  skip_space();
  if (at_ >= text_.size() || text_[at_] != c) return false;
  ++at_;
  return true;
}

void JsonReader::expect(char c) {
  if (!accept(c)) throw fail(fmt::format("no '{}'", c));
}

void JsonReader::expect_end() {
  skip_space();
  if (at_ != text_.size()) throw fail("text after the last '}'");
}

uint32_t JsonReader::hex4() {
  uint32_t code = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) throw fail("an unknown escape");
    code = code * 16 + static_cast<uint32_t>(digit);
  }
  return code;
}

// The backslash has been read.
void JsonReader::escape(std::string& out) {
  const char c = at_ < text_.size() ? text_[at_] : '\0';
  ++at_;
  constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
  if (const size_t which = letters.find(c); which != letters.npos && c != '\0') {
    out += meanings[which];
    return;
  }
  if (c != 'u') throw fail("an unknown escape");
  uint32_t code = hex4();
  if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
    at_ += 2;
    const uint32_t low = hex4();
    if (low < 0xDC00 || low > 0xDFFF) throw fail("half a surrogate pair");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  } else if (code >= 0xD800 && code <= 0xDFFF) {
    throw fail("half a surrogate pair");
  }
  append_utf8(out, code);
}

std::string JsonReader::string(size_t most) {
  const int64_t place = offset();
  const size_t begin = at_;
  if (!accept('"')) throw fail("no string");
  std::string out;
  while (true) {
    // Up to the next character that means something, in one piece.
    const size_t end = std::min(text_.find_first_of("\"\\", at_), text_.size());
    out.append(text_.substr(at_, end - at_));
    at_ = end;
    if (at_ == text_.size()) throw fail_at(place, "a string without an end");
    if (text_[at_++] == '"') break;
    escape(out);
    if (out.size() > most) break;
  }
  if (out.size() > most) throw fail_at(place, fmt::format("a string above {} bytes", most));
  for (const char c : text_.substr(begin, at_ - begin))
    if (static_cast<unsigned char>(c) < 0x20)
      throw fail_at(place, "a string with a bare control character");
  if (!is_utf8(out)) throw fail_at(place, "a string that is not UTF-8");
  return out;
}

int64_t JsonReader::count() {
  const int64_t place = offset();
  const size_t begin = at_;
  int64_t value = 0;
  for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, text_[at_] - '0', &value))
      throw fail_at(place, "a number above 2^63 - 1");
  const size_t digits = at_ - begin;
  const char next = at_ < text_.size() ? text_[at_] : '\0';
  if (digits == 0 || next == '.' || next == 'e' || next == 'E')
    throw fail_at(place, "no whole number of 0 or more");
  if (digits > 1 && text_[begin] == '0') throw fail_at(place, "a number with a leading zero");
  return value;
}

bool is_utf8(std::string_view bytes) {
  size_t i = 0;
  const auto continues = [&](size_t count) {
    for (size_t k = 1; k <= count; ++k)
      if (i + k >= bytes.size() || (static_cast<unsigned char>(bytes[i + k]) & 0xC0) != 0x80)
        return false;
    return true;
  };
  while (i < bytes.size()) {
    const auto first = static_cast<unsigned char>(bytes[i]);
    const auto second = i + 1 < bytes.size() ? static_cast<unsigned char>(bytes[i + 1]) : 0;
    if (first < 0x80) {
      i += 1;
    } else if (first >= 0xC2 && first <= 0xDF && continues(1)) {
      i += 2;
    } else if (first >= 0xE0 && first <= 0xEF && continues(2) &&
               !(first == 0xE0 && second < 0xA0) && !(first == 0xED && second > 0x9F)) {
      i += 3;
    } else if (first >= 0xF0 && first <= 0xF4 && continues(3) &&
               !(first == 0xF0 && second < 0x90) && !(first == 0xF4 && second > 0x8F)) {
      i += 4;
    } else {
      return false;
    }
  }
  return true;
}

std::string json_quoted(std::string_view text) {
  constexpr std::string_view special = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt";
  std::string out = "\"";
  for (const char c : text) {
    if (const size_t which = special.find(c); which != special.npos) {
      out += '\\';
      out += letters[which];
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out += '"';
}

}  // namespace sinter::detail
