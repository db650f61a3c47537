// The parser of the text form: one pass over the tokens, one function for each piece of the
// grammar, no recursion. What an op takes and gives comes from the op table.
#include "ir/text/parse.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <unordered_map>

#include <fmt/format.h>

#include "ir/check.h"
#include "ir/text/read.h"
#include "ir/text/text.h"

namespace sinter::ir {

namespace {

constexpr std::string_view op_form =
    "an op is written %r = name %a, %b {attribute = value} : f32[n, 10]";
constexpr std::string_view kernel_form =
    "a kernel is written kernel {name = \"...\"} -> (%out, ...) { ops }";
constexpr std::string_view func_form =
    "a function is written func @name(%x: f32[n, 1], ...) { ops return %y }";
constexpr std::string_view global_form = "a global is written global @name : f32[10, 1]";

class Parser : private Reader {
 public:
  using Reader::Reader;

  Module run() {
    while (token_.kind != TokenKind::end) {
      if (token_.is("global")) {
        parse_global();
      } else if (token_.is("func")) {
        parse_func();
      } else {
        throw unexpected("\"global\" or \"func\"", func_form);
      }
    }
    return std::move(module_);
  }

  // The error for what the verifier found, at the place where the text says it.
  Error located(const Violation& found) const {
    Token at;
    if (found.func >= 0) {
      const FuncPlaces& places = places_[static_cast<size_t>(found.func)];
      at = places.header;
      if (found.op >= 0) at = places.ops[static_cast<size_t>(found.op)];
    }
    return lexer_.error(at, found.message).help(found.help);
  }

 private:
  // Where a function's header, its ops and, last, its `return` are written.
  struct FuncPlaces {
    Token header;
    std::vector<Token> ops;
  };
  struct Definition {
    ValueId id;
    int line;
  };
  struct Output {
    Token name;
    std::optional<Storage> storage;
  };

  // Globals and functions.

  void parse_global() {
    advance();
    const Token at = expect(TokenKind::global, "a global", global_form);
    if (!globals_.emplace(at.text, static_cast<int>(module_.globals.size())).second) {
      throw lexer_.error(at, fmt::format("@{} is declared twice", at.text))
          .help("rename one of the two");
    }
    expect(":", global_form);
    const Token type_at = token_;
    Type type = parse_type();
    if (type.follows_batch()) {
      throw lexer_.error(type_at, fmt::format("global @{} follows the batch", at.text))
          .help("what outlives a step has a fixed size; write a number for n");
    }
    module_.globals.push_back({std::string(at.text), std::move(type)});
  }

  void parse_func() {
    advance();
    const Token at = expect(TokenKind::global, "the name of a function", func_form);
    if (!func_names_.emplace(at.text, 0).second) {
      throw lexer_.error(at, fmt::format("func @{} is defined twice", at.text))
          .help("rename one of the two");
    }
    module_.funcs.push_back({});
    places_.push_back({at, {}});
    func_ = &module_.funcs.back();
    func_->name = at.text;
    values_.clear();
    kernel_ = nullptr;
    expect("(", func_form);
    if (!accept(")")) {
      do {
        const Token name = expect(TokenKind::value, "an argument", func_form);
        expect(":", func_form);
        Type type = parse_type();
        check_new(name);
        remember(name, func_->add_argument(std::move(type), name_of(name)));
      } while (accept(","));
      expect(")", func_form);
    }
    constexpr std::string_view plan_form = "a plan is written max_batch 128 arena 5120";
    if (accept("max_batch")) {
      const Token number = token_;
      func_->max_batch = parse_count("a number of rows", plan_form);
      if (func_->max_batch == 0) {
        throw lexer_.error(number, "max_batch must be at least 1").help(std::string(plan_form));
      }
      expect("arena", plan_form);
      func_->arena_bytes = parse_count("a number of bytes", plan_form);
    }
    expect("{", func_form);
    while (!parse_statement()) {
    }
  }

  // True at the end of the function.
  bool parse_statement() {
    if (kernel_ && token_.is("}")) {
      close_kernel();
      advance();
      return false;
    }
    if (token_.is("return")) {
      parse_return();
      return true;
    }
    if (token_.is("}")) {
      throw lexer_.error(token_, fmt::format("func @{} ends without return", func_->name))
          .help("write `return` and the results before the closing brace");
    }
    if (token_.kind == TokenKind::end) {
      throw lexer_.error(token_, fmt::format("the text ends inside func @{}", func_->name))
          .help("close it with `return` and a brace");
    }
    parse_op();
    return false;
  }

  void parse_return() {
    const Token at = take();
    if (kernel_) {
      throw lexer_.error(at, "return inside a kernel").help("close the kernel with \"}\" first");
    }
    if (is_operand()) func_->results = parse_operands();
    places_.back().ops.push_back(at);
    expect("}", "`return` ends the function: close it with a brace");
  }

  // Ops.

  bool is_operand() const {
    return token_.kind == TokenKind::value || token_.kind == TokenKind::global;
  }

  std::vector<ValueId> parse_operands() {
    std::vector<ValueId> out;
    do {
      if (!is_operand()) throw unexpected("a value", op_form);
      operand_names_.push_back(token_);
      out.push_back(resolve(take()));
    } while (accept(","));
    return out;
  }

  void parse_op() {
    const Token start = token_;
    std::optional<Token> result;
    if (token_.kind == TokenKind::value) {
      result = take();
      expect("=", op_form);
    }
    const Token name = expect(TokenKind::word, "the name of an op", op_form);
    const OpKind kind = parse_kind(name);
    const OpDef& d = def(kind);
    if (result && d.is(Trait::effect)) {
      throw lexer_.error(*result, fmt::format("{} has no result", d.name))
          .help(fmt::format("write {} without %{} =", d.name, result->text));
    }
    if (!result && !d.is(Trait::effect)) {
      throw lexer_.error(name, fmt::format("the result of {} needs a name", d.name))
          .help(std::string(op_form));
    }
    if (kernel_ && kind == OpKind::kernel) {
      throw lexer_.error(name, "a kernel inside a kernel").help("put one after the other");
    }
    places_.back().ops.push_back(start);

    Op op{.kind = kind, .operands = {}, .attrs = {}, .loc = {}};
    operand_names_.clear();
    // The first operand stands on the line of the op: another line begins another op.
    if (d.operands > 0 && is_operand() && token_.line == name.line) op.operands = parse_operands();
    op.attrs = complete_attrs(kind, parse_attrs(kind, attr_form(kind)));
    if (result) {
      expect(":", op_form);
      const Token type_at = token_;
      Type type = parse_type();
      check_type(op, name, *result, type, type_at);
      check_new(*result);
      op.result = func_->add_value(std::move(type), name_of(*result), ValueDef::op);
      remember(*result, op.result);
    } else {
      infer(op, name, std::nullopt);
    }
    if (kind == OpKind::kernel) parse_outputs();
    op.loc = parse_loc();
    std::vector<Op>& ops = kernel_ ? kernel_->body : func_->body;
    ops.push_back(std::move(op));
    if (kind == OpKind::kernel) {
      expect("{", kernel_form);
      kernel_ = &ops.back();
    }
  }

  OpKind parse_kind(const Token& name) const {
    if (const std::optional<OpKind> kind = op_from_name(name.text)) return *kind;
    std::vector<std::string_view> names;
    for (OpKind kind : all_ops()) names.push_back(def(kind).name);
    throw unknown(name, fmt::format("unknown op \"{}\"", name.text), names, "",
                  "the reference page lists all ops");
  }

  static std::string_view attr_form(OpKind kind) {
    return kind == OpKind::kernel ? kernel_form
                                  : "attributes are written {axes = [0, 1], keepdims = true}";
  }

  Type infer(const Op& op, const Token& name, const std::optional<Type>& declared) const {
    std::vector<Type> types;
    for (ValueId v : op.operands) types.push_back(func_->type(v));
    try {
      return infer_type(op.kind, types, op.attrs, declared);
    } catch (const Error& e) {
      Error located = lexer_.error(name, e.message());
      for (size_t i = 0; i < types.size(); ++i) {
        located.note(fmt::format("{} : {}", describe(operand_names_[i]), to_string(types[i])));
      }
      throw std::move(located.help(e.help_text()));
    }
  }

  void check_type(const Op& op, const Token& name, const Token& result, const Type& written,
                  const Token& written_at) const {
    std::optional<Type> declared;
    if (def(op).is(Trait::typed_result)) declared = written;
    const Type inferred = infer(op, name, declared);
    if (inferred == written) return;
    throw lexer_
        .error(written_at, fmt::format("%{} is written {} but {} makes {}", result.text,
                                       to_string(written), name.text, to_string(inferred)))
        .help(fmt::format("write : {}", to_string(inferred)));
  }

  void parse_outputs() {
    outputs_.clear();
    if (!accept("->")) return;
    expect("(", kernel_form);
    if (accept(")")) return;
    do {
      Output output{expect(TokenKind::value, "an output", kernel_form), std::nullopt};
      if (accept("at")) {
        constexpr std::string_view place_form = "a place is written %out at 4096 pitch 80";
        output.storage = Storage{parse_count("a byte offset", place_form)};
        if (accept("pitch")) {
          output.storage->pitch = parse_count("a number of elements", place_form);
        }
      }
      outputs_.push_back(output);
    } while (accept(","));
    expect(")", kernel_form);
  }

  // Outputs are named before the ops that make them; here all of them are known.
  void close_kernel() {
    for (const Output& output : outputs_) {
      const ValueId v = resolve(output.name);
      if (output.storage) (*func_)[v].storage = output.storage;
      kernel_->outputs.push_back(v);
    }
    kernel_ = nullptr;
  }

  // Names.

  // Digits alone stand for a value without a name.
  static std::string name_of(const Token& token) {
    const bool number = std::all_of(token.text.begin(), token.text.end(),
                                    [](char c) { return c >= '0' && c <= '9'; });
    return number ? std::string() : std::string(token.text);
  }

  void check_new(const Token& name) const {
    const auto it = values_.find(name.text);
    if (it == values_.end()) return;
    throw lexer_.error(name, fmt::format("%{} is defined twice", name.text))
        .note(fmt::format("first in line {}", it->second.line))
        .help("give one of the two another name");
  }

  void remember(const Token& name, ValueId id) {
    values_.emplace(name.text, Definition{id, name.line});
  }

  ValueId resolve(const Token& name) {
    if (name.kind == TokenKind::global) {
      const auto it = globals_.find(name.text);
      if (it != globals_.end()) return module_.global_value(*func_, it->second);
      throw unknown(
          name, fmt::format("undefined global @{}", name.text), keys(globals_), "@",
          fmt::format("declare it before the function: global @{} : f32[...]", name.text));
    }
    const auto it = values_.find(name.text);
    if (it != values_.end()) return it->second.id;
    throw unknown(name, fmt::format("undefined value %{}", name.text), keys(values_), "%",
                  "a value is defined before it is read");
  }

  template <class Map>
  static std::vector<std::string_view> keys(const Map& map) {
    std::vector<std::string_view> out;
    for (const auto& entry : map) out.push_back(entry.first);
    std::sort(out.begin(), out.end());
    return out;
  }

  Module module_;
  std::unordered_map<std::string_view, int> globals_, func_names_;
  std::vector<FuncPlaces> places_;

  // Of the function at hand.
  Func* func_ = nullptr;
  std::unordered_map<std::string_view, Definition> values_;
  Op* kernel_ = nullptr;
  std::vector<Output> outputs_;
  std::vector<Token> operand_names_;  // of the op at hand
};

}  // namespace

Module parse_unverified(std::string_view text, const std::string& file) {
  return Parser(text, file).run();
}

Module parse(std::string_view text, const std::string& file) {
  Parser parser(text, file);
  Module module = parser.run();
  if (const std::optional<Violation> found = find_violation(module)) throw parser.located(*found);
  return module;
}

Module parse_file(const std::string& path) {
  std::error_code ignored;
  std::ifstream in;
  if (!std::filesystem::is_directory(path, ignored)) in.open(path, std::ios::binary);
  std::string text;
  // Not much beyond what a text may have: the parser refuses it then.
  for (char block[65536]; in && text.size() <= max_text_bytes;) {
    in.read(block, sizeof(block));
    text.append(block, static_cast<size_t>(in.gcount()));
  }
  if (!in.is_open() || in.bad()) {
    throw Error("cannot read {}", path)
        .note(std::filesystem::is_directory(path, ignored) ? "it is a folder"
              : std::filesystem::exists(path, ignored)     ? "it exists but cannot be opened"
                                                           : "there is no such file")
        .help("pass the path of a .sir file");
  }
  return parse(text, path);
}

}  // namespace sinter::ir
