#include "tools/sinter/dot.h"

#include <fmt/format.h>

#include "ir/op.h"
#include "ir/text/print.h"

namespace sinter::command {

namespace {

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

class Dot {
 public:
  Dot(const ir::Module& module, const ir::Func& func)
      : func_(func), printer_(module, func), nodes_(func.values.size()) {}

  std::string run() {
    out_ = fmt::format("digraph \"{}\" {{\n  node [shape=box, fontname=monospace];\n", func_.name);
    for (size_t i = 0; i < func_.values.size(); ++i) {
      const ir::ValueInfo& info = func_.values[i];
      const ir::ValueId v{static_cast<int32_t>(i)};
      if (info.def == ir::ValueDef::op) continue;
      nodes_[i] = fmt::format("v{}", i);
      out_ += fmt::format("  {} [label=\"{}\", shape={}];\n", nodes_[i], printer_.value(v),
                          info.def == ir::ValueDef::global ? "cylinder" : "ellipse");
    }
    add_ops(func_.body, "  ");
    for (size_t i = 0; i < func_.results.size(); ++i) {
      out_ += fmt::format("  r{} [label=\"result {}\", shape=ellipse];\n", i, i);
      add_edge(func_.results[i], fmt::format("r{}", i), "  ");
    }
    return out_ + "}\n";
  }

 private:
  void add_ops(const std::vector<ir::Op>& ops, const std::string& indent) {
    for (const ir::Op& op : ops) {
      if (op.kind == ir::OpKind::kernel) {
        out_ += fmt::format("{}subgraph cluster_{} {{\n{}  label=\"{}\";\n", indent, next_, indent,
                            escaped(op.attrs.text("name")));
        ++next_;
        add_ops(op.body, indent + "  ");
        out_ += indent + "}\n";
        continue;
      }
      const std::string node = fmt::format("o{}", next_++);
      out_ += fmt::format("{}{} [label=\"{}\"];\n", indent, node, escaped(label(op)));
      for (ir::ValueId v : op.operands) add_edge(v, node, indent);
      if (op.result.valid()) nodes_[static_cast<size_t>(op.result.index)] = node;
    }
  }

  // "%h = linear": a result without a name needs none here.
  std::string label(const ir::Op& op) const {
    const std::string name(def(op).name);
    if (!op.result.valid() || func_[op.result].name.empty()) return name;
    return printer_.value(op.result) + " = " + name;
  }

  void add_edge(ir::ValueId from, const std::string& to, const std::string& indent) {
    out_ +=
        fmt::format("{}{} -> {} [label=\"{}\"];\n", indent, nodes_[static_cast<size_t>(from.index)],
                    to, escaped(to_string(func_.type(from))));
  }

  const ir::Func& func_;
  ir::Printer printer_;
  std::vector<std::string> nodes_;  // by value
  std::string out_;
  int next_ = 0;
};

}  // namespace

std::string to_dot(const ir::Module& module, const ir::Func& func) {
  return Dot(module, func).run();
}

}  // namespace sinter::command
