// sinter diff: runs two modules in the interpreter and finds the first op whose values part.
#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "ir/interpret.h"
#include "ir/op.h"
#include "ir/text/print.h"
#include "ir/text/text.h"
#include "tools/sinter/command.h"
#include "tools/sinter/program_inputs.h"

namespace sinter::command {

namespace {

// One of the two programs, with every value it computes.
class Side {
 public:
  Side(ir::Module module, const std::string& func) : module_(std::move(module)) {
    bool lower = false;
    for (const ir::Op& op : find_func(module_, func).body) {
      lower = lower || op.kind == ir::OpKind::gradient;
    }
    if (lower) {
      const compiler::Pass* const list[] = {find_pass("differentiate")};
      compiler::run_passes(module_, list, {});
    }
    func_ = &find_func(module_, func);
    ir::for_each_op(func_->body, [&](const ir::Op& op) {
      if (op.result.valid()) ops_.push_back(&op);
    });
    printer_.emplace(module_, *func_);
  }
  Side(Side&&) = delete;

  void run(const Loaded& inputs) {
    // The interpreter hands back what a function returns: here everything.
    ir::Func everything = *func_;
    for (const ir::Op* op : ops_) everything.results.push_back(op->result);
    std::vector<ir::Array<double>> globals = inputs.globals;
    values_ = ir::interpret<double>(module_, everything, inputs.args, globals, inputs.n);
  }

  const ir::Module& module() const { return module_; }
  const ir::Func& func() const { return *func_; }
  const std::vector<const ir::Op*>& ops() const { return ops_; }
  const ir::Array<double>& result(size_t i) const { return values_[i]; }
  const ir::Array<double>& value(size_t op) const { return values_[func_->results.size() + op]; }
  std::string line(size_t op) const { return printer_->op_line(*ops_[op]); }

  // For each op what it is the same as in another module: its name, or how it is computed from
  // arguments and globals.
  std::vector<std::string> keys() const {
    std::map<ir::ValueId, std::string> structure;
    const auto key_of = [&](ir::ValueId v) {
      const auto it = structure.find(v);
      return it == structure.end() ? printer_->value(v) : it->second;
    };
    std::vector<std::string> out;
    for (const ir::Op* op : ops_) {
      ir::Op plain = *op;
      std::vector<std::string> operands;
      for (ir::ValueId v : op->operands) operands.push_back(key_of(v));
      std::string attrs;
      for (const ir::Attr& a : op->attrs.list()) {
        attrs += " " + a.name + "=" + attr_text(a.value);
      }
      std::string key = fmt::format("{}({}){}:{}", def(*op).name, fmt::join(operands, ","), attrs,
                                    to_string(func_->type(op->result)));
      // Chains of keys would grow without bound.
      constexpr size_t kLong = 200;
      if (key.size() > kLong) key = fmt::format("#{:x}", std::hash<std::string>()(key));
      const std::string& name = (*func_)[op->result].name;
      if (!name.empty()) key = "%" + name;
      structure[op->result] = key;
      out.push_back(std::move(key));
    }
    return out;
  }

 private:
  static std::string attr_text(const ir::AttrValue& value) {
    return std::visit(
        [](const auto& v) -> std::string {
          using T = std::decay_t<decltype(v)>;
          if constexpr (std::is_same_v<T, ir::Shape>) {
            return to_string(v);
          } else if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
            return fmt::format("[{}]", fmt::join(v, ","));
          } else {
            return fmt::format("{}", v);
          }
        },
        value);
  }

  ir::Module module_;
  const ir::Func* func_ = nullptr;
  std::vector<const ir::Op*> ops_;
  std::optional<ir::Printer> printer_;
  std::vector<ir::Array<double>> values_;
};

struct Diff {
  std::string a, b, func;
  ProgramInputs inputs;
  double tolerance = 1e-9;

  int run() const {
    const ir::Module first = read_module(a), second = read_module(b);
    if (first.funcs.empty()) throw Error("{} has no function", a).help("write one");
    const std::string name = func.empty() ? first.funcs.front().name : func;
    Side x(first, name), y(second, name);
    check_signatures(x, y);
    const Loaded loaded = load_inputs(inputs, x.module(), x.func());
    x.run(loaded);
    y.run(loaded);
    return report(x, y);
  }

  void check_signatures(const Side& x, const Side& y) const {
    const auto types = [](const Side& s) {
      std::vector<std::string> out;
      for (ir::ValueId v : s.func().args) out.push_back(to_string(s.func().type(v)));
      for (const ir::Global& g : s.module().globals) {
        out.push_back("@" + g.name + " : " + to_string(g.type));
      }
      return out;
    };
    if (types(x) == types(y) && x.func().results.size() == y.func().results.size()) return;
    throw Error("func @{} has other arguments, globals or results in {} than in {}", x.func().name,
                a, b)
        .note("{}: {}; {} results", a, fmt::join(types(x), ", "), x.func().results.size())
        .note("{}: {}; {} results", b, fmt::join(types(y), ", "), y.func().results.size())
        .help("compare two forms of one function");
  }

  // The first element that differs by more than the tolerance.
  std::optional<size_t> parting(const ir::Array<double>& p, const ir::Array<double>& q) const {
    if (p.dims != q.dims || p.dtype != q.dtype) return 0;
    for (size_t i = 0; i < p.i.size(); ++i) {
      if (p.i[i] != q.i[i]) return i;
    }
    for (size_t i = 0; i < p.f.size(); ++i) {
      const double u = p.f[i], v = q.f[i];
      if (u == v || (std::isnan(u) && std::isnan(v))) continue;
      if (!(std::abs(u - v) <= tolerance * (1 + std::abs(v)))) return i;
    }
    return std::nullopt;
  }

  static std::string text(const ir::Array<double>& a, size_t i) {
    return a.floats() ? fmt::format("{}", a.f[i]) : fmt::format("{}", a.i[i]);
  }

  int report(const Side& x, const Side& y) const {
    std::map<std::string, size_t> by_key;
    const std::vector<std::string> keys = y.keys();
    for (size_t i = 0; i < keys.size(); ++i) by_key.emplace(keys[i], i);
    size_t compared = 0;
    const std::vector<std::string> mine = x.keys();
    for (size_t i = 0; i < mine.size(); ++i) {
      const auto it = by_key.find(mine[i]);
      if (it == by_key.end()) continue;
      const ir::Array<double>&p = x.value(i), &q = y.value(it->second);
      if (p.dims != q.dims) continue;
      ++compared;
      const std::optional<size_t> at = parting(p, q);
      if (!at) continue;
      fmt::print("values part at {}: {} in {}, {} in {}\n  {}: {}\n  {}: {}\n",
                 index_text(*at, p.dims), text(p, *at), a, text(q, *at), b, a, x.line(i), b,
                 y.line(it->second));
      return exit_no;
    }
    for (size_t i = 0; i < x.func().results.size(); ++i) {
      const std::optional<size_t> at = parting(x.result(i), y.result(i));
      if (!at) continue;
      fmt::print(
          "result {} parts at {}: {} in {}, {} in {}; the {} values that both compute agree\n", i,
          index_text(*at, x.result(i).dims), text(x.result(i), *at), a, text(y.result(i), *at), b,
          compared);
      return exit_no;
    }
    fmt::print("{} results agree, and the {} values that both compute\n", x.func().results.size(),
               compared);
    return exit_good;
  }
};

}  // namespace

void add_diff(CommandLine& program) {
  const auto diff = std::make_shared<Diff>();
  CommandLine line = program.subcommand(
      "diff", "Run two forms of a function in the interpreter and find where their values part");
  line.option("A", diff->a, "Module as .sir text, or - for stdin").required();
  line.option("B", diff->b, "Another form of it").required();
  line.option("--func", diff->func, "Function to compare (default: the first of A)");
  diff->inputs.add_to(line);
  line.option("--tolerance", diff->tolerance,
              "Largest |a - b| / (1 + |b|) that is no difference (default 1e-9)")
      .non_negative();
  line.footer(
      "Values are matched by name, those without one by how they are computed.\n\n"
      "Example:\n  sinter diff recorded.sir simplified.sir --inputs x.npy --n 16");
  line.runs([diff] { return diff->run(); });
}

}  // namespace sinter::command
