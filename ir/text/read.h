// Reads the pieces of the text form that mean the same everywhere: tokens, literals, types, source
// lines and attribute values. The parser adds the grammar of functions and ops.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ir/op.h"
#include "ir/text/lex.h"

namespace sinter::ir {

// Every function throws Error at the token that does not fit; `form` says how to write it.
class Reader {
 public:
  Reader(std::string_view text, const std::string& file) : lexer_(text, file) { advance(); }

 protected:
  void advance() { token_ = lexer_.next(); }
  Token take();
  bool accept(std::string_view symbol_or_word);
  void expect(std::string_view symbol, std::string_view form);
  Token expect(TokenKind kind, std::string_view wanted, std::string_view form);
  Error unexpected(std::string_view wanted, std::string_view form) const;
  // The error for a name that is not among the candidates: names a close one, or says `otherwise`.
  Error unknown(const Token& at, std::string message,
                const std::vector<std::string_view>& candidates, std::string_view sigil,
                std::string_view otherwise) const;

  int64_t parse_integer(std::string_view wanted, std::string_view form);
  // An integer >= 0.
  int64_t parse_count(std::string_view wanted, std::string_view form);
  std::string parse_text(std::string_view wanted, std::string_view form);
  Type parse_type();
  // The empty loc where none is written.
  Loc parse_loc();
  Attrs parse_attrs(OpKind kind, std::string_view form);

  Lexer lexer_;
  Token token_;

 private:
  double parse_real();
  std::vector<int64_t> parse_integers();
  Dim parse_dim();
  Shape parse_shape();
  AttrValue parse_attr_value(AttrKind kind);
};

}  // namespace sinter::ir
