#include "ir/text/print.h"

#include <cmath>

#include <fmt/format.h>

#include "ir/op.h"
#include "ir/text/text.h"

namespace sinter::ir {

namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += byte < 0x20 || byte == 0x7F ? fmt::format("\\x{:02X}", byte) : std::string{c};
    }
  }
  return out + "\"";
}

std::string real(double value) {
  if (std::isnan(value)) return "nan";
  // fmt gives the shortest text that reads back as the same number.
  std::string out = fmt::format("{}", value);
  if (std::isfinite(value) && out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

std::string attr_text(const AttrValue& value) {
  struct Visitor {
    std::string operator()(int64_t v) const { return fmt::format("{}", v); }
    std::string operator()(double v) const { return real(v); }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(const std::string& v) const { return quoted(v); }
    std::string operator()(const std::vector<int64_t>& v) const {
      return fmt::format("[{}]", fmt::join(v, ", "));
    }
    std::string operator()(const Shape& v) const { return to_string(v); }
  };
  return std::visit(Visitor{}, value);
}

bool is_default(OpKind kind, const Attr& attr) {
  for (const AttrSpec& spec : def(kind).attrs) {
    if (spec.name == attr.name)
      return spec.default_value && Attr{attr.name, *spec.default_value} == attr;
  }
  return false;
}

// ` {axes = [0, 1], keepdims = true}`, or nothing.
std::string attrs_text(const Op& op) {
  std::string out;
  const Attrs attrs = complete_attrs(op.kind, op.attrs);
  for (const Attr& attr : attrs.list()) {
    if (is_default(op.kind, attr)) continue;
    out += fmt::format("{}{} = {}", out.empty() ? " {" : ", ", attr.name, attr_text(attr.value));
  }
  return out.empty() ? out : out + "}";
}

// Every loc but the empty one, so that nothing is lost.
std::string loc_text(const Loc& loc) {
  if (loc == Loc{}) return "";
  const std::string scope = loc.scope.empty() ? "" : ", " + quoted(loc.scope);
  return fmt::format(" loc({}:{}{})", quoted(loc.file), loc.line, scope);
}

void append_notes(std::string& out, const Op& op, const std::string& margin) {
  for (const std::string& note : op.notes) {
    size_t from = 0;
    while (true) {
      const size_t to = note.find('\n', from);
      out += fmt::format("{}// {}\n", margin, note.substr(from, to - from));
      if (to == std::string::npos) break;
      from = to + 1;
    }
  }
}

}  // namespace

Printer::Printer(const Module& module, const Func& func)
    : module_(module),
      func_(func),
      numbers_(func.values.size(), -1),
      defined_(func.values.size(), false) {
  for (ValueId v : func.args) number(v);
  for_each_op(func.body, [&](const Op& op) { number(op.result); });
}

void Printer::number(ValueId id) {
  const auto at = static_cast<size_t>(id.index);
  if (!id.valid() || at >= defined_.size() || defined_[at]) return;
  defined_[at] = true;
  if (func_[id].name.empty()) numbers_[at] = next_number_++;
}

std::string Printer::value(ValueId id) const {
  const auto at = static_cast<size_t>(id.index);
  if (!id.valid() || at >= defined_.size()) return fmt::format("%?{}", id.index);
  const ValueInfo& info = func_[id];
  if (info.def == ValueDef::global) {
    const auto global = static_cast<size_t>(info.index);
    return global < module_.globals.size() ? "@" + module_.globals[global].name
                                           : fmt::format("@?{}", info.index);
  }
  if (!info.name.empty()) return "%" + info.name;
  return defined_[at] ? fmt::format("%{}", numbers_[at]) : fmt::format("%?{}", id.index);
}

std::string Printer::joined(const std::vector<ValueId>& ids) const {
  std::string out;
  for (ValueId id : ids) out += (out.empty() ? "" : ", ") + value(id);
  return out;
}

std::string Printer::op_line(const Op& op) const {
  const bool is_kernel = op.kind == OpKind::kernel;
  std::string out = op.result.valid() ? value(op.result) + " = " : "";
  out += def(op).name;
  if (!op.operands.empty()) out += " " + joined(op.operands);
  out += attrs_text(op);
  if (op.result.valid() && static_cast<size_t>(op.result.index) < func_.values.size()) {
    out += " : " + to_string(func_.type(op.result));
  }
  if (!op.outputs.empty()) {
    std::string outputs;
    for (ValueId id : op.outputs) {
      outputs += (outputs.empty() ? "" : ", ") + value(id);
      const bool in_range = static_cast<size_t>(id.index) < func_.values.size();
      if (in_range && func_[id].storage) {
        outputs += fmt::format(" at {}", func_[id].storage->offset);
        if (func_[id].storage->pitch != 0) {
          outputs += fmt::format(" pitch {}", func_[id].storage->pitch);
        }
      }
    }
    out += fmt::format(" -> ({})", outputs);
  }
  out += loc_text(op.loc);
  return is_kernel ? out + " {" : out;
}

void Printer::append_op(std::string& out, const Op& op, int indent) const {
  const std::string margin(static_cast<size_t>(indent), ' ');
  append_notes(out, op, margin);
  out += margin + op_line(op) + "\n";
  if (op.kind != OpKind::kernel) return;
  for (const Op& inner : op.body) append_op(out, inner, indent + 2);
  out += margin + "}\n";
}

std::string Printer::op(const Op& op, int indent) const {
  std::string out;
  append_op(out, op, indent);
  return out;
}

std::string Printer::func() const {
  std::string args;
  for (ValueId v : func_.args) {
    args += fmt::format("{}{}: {}", args.empty() ? "" : ", ", value(v), to_string(func_.type(v)));
  }
  std::string out = fmt::format("func @{}({})", func_.name, args);
  if (func_.planned()) {
    out += fmt::format(" max_batch {} arena {}", func_.max_batch, func_.arena_bytes);
  }
  out += " {\n";
  for (const Op& op : func_.body) append_op(out, op, 2);
  out += "  return";
  if (!func_.results.empty()) out += " " + joined(func_.results);
  return out + "\n}\n";
}

std::string print(const Module& module) {
  std::string out;
  for (const Global& g : module.globals) {
    out += fmt::format("global @{} : {}\n", g.name, to_string(g.type));
  }
  for (const Func& func : module.funcs) {
    if (!out.empty()) out += "\n";
    out += print(module, func);
  }
  return out;
}

std::string print(const Module& module, const Func& func) { return Printer(module, func).func(); }

std::string print_op(const Module& module, const Func& func, const Op& op) {
  std::string text = Printer(module, func).op(op);
  // One op is one line of a message: without the line break at its end.
  if (!text.empty()) text.pop_back();
  return text;
}

}  // namespace sinter::ir
