#include "ir/text/read.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "ir/check.h"

namespace sinter::ir {

namespace {

constexpr std::string_view type_form = "a type is written f32[n, 10], and f32[] for a scalar";
constexpr std::string_view loc_form = "a source line is written loc(\"file.cpp\":14, \"module\")";

}  // namespace

Token Reader::take() {
  Token taken = token_;
  advance();
  return taken;
}

bool Reader::accept(std::string_view symbol_or_word) {
  if (!token_.is(symbol_or_word)) return false;
  advance();
  return true;
}

Error Reader::unexpected(std::string_view wanted, std::string_view form) const {
  return lexer_.error(token_, fmt::format("expected {} but found {}", wanted, describe(token_)))
      .help(std::string(form));
}

void Reader::expect(std::string_view symbol, std::string_view form) {
  if (!accept(symbol)) throw unexpected(fmt::format("\"{}\"", symbol), form);
}

Token Reader::expect(TokenKind kind, std::string_view wanted, std::string_view form) {
  if (token_.kind != kind) throw unexpected(wanted, form);
  return take();
}

Error Reader::unknown(const Token& at, std::string message,
                      const std::vector<std::string_view>& candidates, std::string_view sigil,
                      std::string_view otherwise) const {
  const std::string near = closest(at.text, candidates);
  return lexer_.error(at, std::move(message))
      .help(near.empty() ? std::string(otherwise) : fmt::format("did you mean {}{}?", sigil, near));
}

int64_t Reader::parse_integer(std::string_view wanted, std::string_view form) {
  const Token at = expect(TokenKind::integer, wanted, form);
  int64_t value = 0;
  const auto [end, ec] = std::from_chars(at.text.data(), at.text.data() + at.text.size(), value);
  if (ec == std::errc{} && end == at.text.data() + at.text.size()) return value;
  throw lexer_.error(at, fmt::format("{} does not fit in 64 bits", at.text))
      .help("use a smaller number");
}

int64_t Reader::parse_count(std::string_view wanted, std::string_view form) {
  const Token at = token_;
  const int64_t value = parse_integer(wanted, form);
  if (value >= 0) return value;
  throw lexer_.error(at, fmt::format("{} is negative", at.text)).help(std::string(form));
}

double Reader::parse_real() {
  const Token at = take();
  if (at.is("nan")) return std::numeric_limits<double>::quiet_NaN();
  if (at.is("inf")) return std::numeric_limits<double>::infinity();
  if (at.is("-inf")) return -std::numeric_limits<double>::infinity();
  if (at.kind != TokenKind::integer && at.kind != TokenKind::real) {
    throw lexer_.error(at, fmt::format("expected a number but found {}", describe(at)))
        .help("write it as in 0.5, 1e-3, inf or nan");
  }
  double value = 0;
  const auto [end, ec] = std::from_chars(at.text.data(), at.text.data() + at.text.size(), value);
  if (ec == std::errc{} && end == at.text.data() + at.text.size()) return value;
  throw lexer_.error(at, fmt::format("{} is outside the range of f64", at.text))
      .help("write 0.0 or inf if that is meant");
}

std::string Reader::parse_text(std::string_view wanted, std::string_view form) {
  const Token at = expect(TokenKind::text, wanted, form);
  const std::string_view raw = at.text.substr(1, at.text.size() - 2);
  std::string out;
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\') {
      out += raw[i];
      continue;
    }
    const char c = raw[++i];
    if (c == 'n' || c == 't') {
      out += c == 'n' ? '\n' : '\t';
    } else if (c == '"' || c == '\\') {
      out += c;
    } else {
      uint8_t byte = 0;
      const std::string_view hex = raw.substr(i + 1, 2);
      const auto [end, ec] = std::from_chars(hex.data(), hex.data() + hex.size(), byte, 16);
      if (c != 'x' || hex.size() != 2 || ec != std::errc{} || end != hex.data() + 2) {
        throw lexer_.error(at.offset + i, at.line, fmt::format("unknown escape in quoted text"))
            .help("the escapes are \\\", \\\\, \\n, \\t and \\x with two hexadecimal digits");
      }
      out += static_cast<char>(byte);
      i += 2;
    }
  }
  return out;
}

std::vector<int64_t> Reader::parse_integers() {
  constexpr std::string_view form = "a list of integers is written [0, 1]";
  std::vector<int64_t> out;
  expect("[", form);
  if (accept("]")) return out;
  do {
    out.push_back(parse_integer("an integer", form));
  } while (accept(","));
  expect("]", form);
  return out;
}

Dim Reader::parse_dim() {
  if (accept("n")) return batch_dim;
  const size_t end = token_.offset + token_.text.size();
  const int64_t scale = parse_integer("a dimension", "a dimension is written 10, n or 4n");
  const bool batch = token_.is("n") && token_.offset == end;
  if (batch) advance();
  return {scale, batch};
}

Shape Reader::parse_shape() {
  Token at = token_;
  Shape shape;
  expect("[", type_form);
  if (!accept("]")) {
    do {
      shape.push_back(parse_dim());
      // Looked at while the list grows, so that its length is limited too.
      if (const auto problem = shape_problem(shape)) {
        throw lexer_.error(at, fmt::format("a shape that {}", *problem))
            .help(fmt::format("at most {} axes of at least 1, and 2^48 elements for n = 1",
                              max_rank));
      }
    } while (accept(","));
    expect("]", type_form);
  }
  return shape;
}

Type Reader::parse_type() {
  const Token at = expect(TokenKind::word, "a type", type_form);
  const std::optional<DType> dtype = dtype_from_name(at.text);
  if (!dtype) {
    const std::vector<std::string_view> dtypes{"f32", "f64", "i32", "i64", "bool"};
    throw unknown(at, fmt::format("unknown dtype \"{}\"", at.text), dtypes, "",
                  "the dtypes are f32, f64, i32, i64 and bool");
  }
  return {*dtype, parse_shape()};
}

Loc Reader::parse_loc() {
  Loc loc;
  if (!accept("loc")) return loc;
  expect("(", loc_form);
  loc.file = parse_text("a quoted file name", loc_form);
  expect(":", loc_form);
  const Token at = token_;
  const int64_t line = parse_count("a line number", loc_form);
  if (line > std::numeric_limits<int>::max()) {
    throw lexer_.error(at, fmt::format("line {} does not exist", line)).help(std::string(loc_form));
  }
  loc.line = static_cast<int>(line);
  if (accept(",")) loc.scope = parse_text("a quoted module path", loc_form);
  expect(")", loc_form);
  return loc;
}

AttrValue Reader::parse_attr_value(AttrKind kind) {
  switch (kind) {
    case AttrKind::integer:
      return parse_integer("an integer", "write it as in 1 or -100");
    case AttrKind::real:
      return parse_real();
    case AttrKind::text:
      return parse_text("quoted text", "write it as in \"mean\"");
    case AttrKind::integers:
      return parse_integers();
    case AttrKind::shape:
      return parse_shape();
    case AttrKind::flag:
      break;
  }
  if (accept("true")) return true;
  if (accept("false")) return false;
  throw unexpected("true or false", "write it without quotes");
}

Attrs Reader::parse_attrs(OpKind kind, std::string_view form) {
  Attrs attrs;
  if (!accept("{")) return attrs;
  do {
    const Token at = expect(TokenKind::word, "the name of an attribute", form);
    const OpDef& d = def(kind);
    const auto spec = std::find_if(d.attrs.begin(), d.attrs.end(),
                                   [&](const AttrSpec& s) { return s.name == at.text; });
    if (spec == d.attrs.end()) {
      std::vector<std::string_view> names;
      for (const AttrSpec& s : d.attrs) names.push_back(s.name);
      throw unknown(
          at, fmt::format("{} has no attribute \"{}\"", d.name, at.text), names, "",
          names.empty() ? "it takes none" : fmt::format("it takes {}", fmt::join(names, ", ")));
    }
    if (attrs.find(at.text)) {
      throw lexer_.error(at, fmt::format("attribute \"{}\" is given twice", at.text))
          .help("keep one of the two");
    }
    expect("=", form);
    attrs.set(at.text, parse_attr_value(spec->kind));
  } while (accept(","));
  expect("}", form);
  return attrs;
}

}  // namespace sinter::ir
