// Reverse-mode differentiation (Griewank and Walther, "Evaluating Derivatives", 2008, chapter 3) on
// the graph. The derivative of each op comes from the table; no op is named here but `gradient`.
//
// Invariants. A value is active when it is floating, leads from a wanted value and to the loss;
// only active values get a cotangent. The cotangent that is kept has the type of its value. The ops
// of one loss stand where its first `gradient` stood, so what they read is defined before them, and
// a later loss may use their results: gradients of gradients are this same walk once more.
#include <algorithm>
#include <iterator>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "compiler/passes/passes.h"
#include "ir/op.h"

namespace sinter::compiler {

namespace {

using namespace ir;

// The value in the user's words: its name, or its type where it has none.
std::string label(const Module& module, const Func& func, ValueId v) {
  const ValueInfo& info = func[v];
  if (info.def == ValueDef::global) return module.globals[static_cast<size_t>(info.index)].name;
  return info.name.empty() ? fmt::format("a value of type {}", to_string(info.type)) : info.name;
}

// All gradients of one loss, by one walk backwards over the ops `before` them.
class LossGradients {
 public:
  LossGradients(Module& module, Func& func, const std::vector<Op>& before,
                std::vector<const Op*> requests)
      : module_(module),
        func_(func),
        before_(before),
        requests_(std::move(requests)),
        b_(module, func, ops),
        loss_(requests_[0]->operands[0]),
        cotangents_(func.values.size()) {
    for (const ValueInfo& value : func.values) names_.insert(value.name);
  }

  // Leaves the new ops in `ops`; returns the derivative for each request, in order.
  std::vector<ValueId> run() {
    mark_dependents();
    b_.set_loc(requests_[0]->loc);
    cotangents_[at(loss_)] = b_.constant(1, func_.type(loss_)).id();
    name_cotangent(loss_);
    for (auto op = before_.rbegin(); op != before_.rend(); ++op) {
      const bool carries = op->result.valid() && cotangents_[at(op->result)].valid() &&
                           std::any_of(op->operands.begin(), op->operands.end(),
                                       [&](ValueId v) { return dependent_[at(v)]; });
      if (carries) pass_back(*op);
    }
    std::vector<ValueId> out;
    for (const Op* request : requests_) {
      const ValueId wrt = request->operands[1];
      if (!cotangents_[at(wrt)].valid()) no_path(*request);
      name_cotangent(wrt);
      out.push_back(cotangents_[at(wrt)]);
    }
    return out;
  }

  std::vector<Op> ops;

 private:
  static size_t at(ValueId v) { return static_cast<size_t>(v.index); }

  // The floating values that depend on a wanted one.
  void mark_dependents() {
    dependent_.assign(func_.values.size(), false);
    for (const Op* request : requests_) dependent_[at(request->operands[1])] = true;
    for (const Op& op : before_) {
      if (!op.result.valid() || !is_float(func_.type(op.result).dtype)) continue;
      for (ValueId v : op.operands) {
        if (dependent_[at(v)]) dependent_[at(op.result)] = true;
      }
    }
  }

  // Turns the cotangent of the result into cotangents of the operands.
  void pass_back(const Op& op) {
    name_cotangent(op.result);
    b_.set_loc(op.loc);
    Vjp rule(b_, op, cotangents_[at(op.result)]);
    if (const VjpRule::Fn derivative = def(op).vjp.fn) derivative(rule);
    for (size_t i = 0; i < op.operands.size(); ++i) {
      if (!dependent_[at(op.operands[i])]) continue;
      bool passed = false;
      for (const auto& [operand, cotangent] : rule.out) {
        if (operand != static_cast<int>(i)) continue;
        add_to_cotangent(op.operands[i], cotangent);
        passed = true;
      }
      if (!passed) no_rule(op, op.operands[i]);
    }
  }

  void add_to_cotangent(ValueId value, ValueId cotangent) {
    const Type to = func_.type(value), from = func_.type(cotangent);
    SINTER_CHECK(from.dtype == to.dtype && broadcasts_to(to.shape, from.shape),
                 "a derivative rule gives {} for an operand {}", to_string(from), to_string(to));
    const Expr term = sum_to({b_, cotangent}, to.shape);
    ValueId& total = cotangents_[at(value)];
    total = total.valid() ? (Expr(b_, total) + term).id() : term.id();
  }

  // The cotangent of %h prints as %d.h.
  void name_cotangent(ValueId value) {
    const ValueInfo& of = func_[value];
    ValueInfo& cotangent = func_[cotangents_[at(value)]];
    if (!cotangent.name.empty()) return;
    if (of.def == ValueDef::op && of.name.empty()) return;
    const std::string wanted = "d." + label(module_, func_, value);
    cotangent.name = wanted;
    for (int i = 2; !names_.insert(cotangent.name).second; ++i) {
      cotangent.name = fmt::format("{}_{}", wanted, i);
    }
  }

  bool has_name(ValueId v) const {
    return func_[v].def == ValueDef::global || !func_[v].name.empty();
  }

  std::string describe(ValueId v) const {
    std::string text = fmt::format("{} : {}", has_name(v) ? label(module_, func_, v) : "a value",
                                   to_string(func_.type(v)));
    for (const Op& op : before_) {
      if (op.result == v && op.loc.known()) text += "  from " + op.loc.source().to_string();
    }
    return text;
  }

  [[noreturn]] void no_rule(const Op& op, ValueId operand) const {
    Error error(fmt::format("{} has no derivative with respect to {}", def(op).name,
                            label(module_, func_, operand)));
    if (op.loc.known()) error.at(op.loc.source());
    throw error.note(describe(operand))
        .note(describe(loss_))
        .help(fmt::format("leave {} out of the way from {} to the loss", def(op).name,
                          label(module_, func_, operand)));
  }

  // The wanted value does not lead to the loss; says so rather than giving zero.
  [[noreturn]] void no_path(const Op& request) const {
    const ValueId wrt = request.operands[1];
    const std::string name = label(module_, func_, wrt);
    const Op* blocker = first_op_without_derivative(wrt);
    Error error(
        (blocker ? "no derivative passes from the loss to " : "the loss does not depend on ") +
        name);
    if (request.loc.known()) error.at(request.loc.source());
    error.note(describe(wrt)).note(describe(loss_));
    if (blocker) {
      error.note(fmt::format(
          "its way to the loss leads through {}, whose result is {}{}", def(*blocker).name,
          dtype_name(func_.type(blocker->result).dtype),
          blocker->loc.known() ? " at " + blocker->loc.source().to_string() : std::string()));
    }
    throw error.help(
        fmt::format("use {} in floating-point arithmetic that leads to the loss, or do "
                    "not ask for its gradient",
                    has_name(wrt) ? name : "it"));
  }

  // Where `wrt` reaches the loss at all, the first op on its way whose result is not floating.
  const Op* first_op_without_derivative(ValueId wrt) const {
    std::vector<const Op*> blocker(func_.values.size(), nullptr);
    std::vector<bool> reached(func_.values.size(), false);
    reached[at(wrt)] = true;
    for (const Op& op : before_) {
      if (!op.result.valid()) continue;
      for (ValueId v : op.operands) {
        if (!reached[at(v)] || reached[at(op.result)]) continue;
        reached[at(op.result)] = true;
        const bool floating = is_float(func_.type(op.result).dtype);
        blocker[at(op.result)] = blocker[at(v)] || floating ? blocker[at(v)] : &op;
      }
    }
    return blocker[at(loss_)];
  }

  Module& module_;
  Func& func_;
  const std::vector<Op>& before_;
  std::vector<const Op*> requests_;
  Builder b_;
  ValueId loss_;
  std::unordered_set<std::string> names_;  // Func::unique_name reads all names for each new one
  std::vector<bool> dependent_;
  std::vector<ValueId> cotangents_;  // by value, of those that had one when the walk began
};

// Each order of a derivative may have several times the ops of the one before.
constexpr size_t kMostOps = 100'000;

// The result of the gradient op named its derivative, as in %hidden.weight.grad; the first of
// several names for one value stays.
void keep_name(Func& func, ValueId requested, ValueId derivative, std::vector<ValueId>& named) {
  std::string& name = func[requested].name;
  const bool taken = std::find(named.begin(), named.end(), derivative) != named.end();
  if (name.empty() || taken) return;
  func[derivative].name = std::exchange(name, {});
  named.push_back(derivative);
}

void differentiate(Module& module, Func& func) {
  const auto is_gradient = [](const Op& op) { return op.kind == OpKind::gradient; };
  if (std::none_of(func.body.begin(), func.body.end(), is_gradient)) return;
  std::vector<Op> todo = std::exchange(func.body, {});
  std::vector<std::pair<ValueId, ValueId>> derivatives;
  std::vector<ValueId> now(func.values.size()), named;
  for (size_t i = 0; i < now.size(); ++i) now[i] = {static_cast<int32_t>(i)};
  const auto current = [&](ValueId v) { return now[static_cast<size_t>(v.index)]; };

  for (size_t i = 0; i < todo.size(); ++i) {
    Op& op = todo[i];
    for (ValueId& v : op.operands) v = current(v);
    if (!is_gradient(op)) {
      func.body.push_back(std::move(op));
      continue;
    }
    if (current(op.result) != op.result) continue;  // came with an earlier one of its loss
    std::vector<const Op*> requests;
    for (size_t j = i; j < todo.size(); ++j) {
      if (!is_gradient(todo[j]) || current(todo[j].operands[0]) != op.operands[0]) continue;
      for (ValueId& v : todo[j].operands) v = current(v);
      requests.push_back(&todo[j]);
    }
    if (func.body.size() > kMostOps) {
      Error error("@{} has {} ops to differentiate, more than {}", func.name, func.body.size(),
                  kMostOps);
      if (op.loc.known()) error.at(op.loc.source());
      throw error.help(
          "ask for fewer orders of derivatives: each has several times the ops of the last");
    }
    LossGradients walk(module, func, func.body, requests);
    const std::vector<ValueId> results = walk.run();
    for (size_t k = 0; k < requests.size(); ++k) {
      const ValueId requested = requests[k]->result;
      keep_name(func, requested, results[k], named);
      now[static_cast<size_t>(requested.index)] = results[k];
      derivatives.emplace_back(requested, results[k]);
    }
    std::move(walk.ops.begin(), walk.ops.end(), std::back_inserter(func.body));
    while (now.size() < func.values.size()) now.push_back({static_cast<int32_t>(now.size())});
  }
  replace_uses(func, derivatives);
  compact(func);
}

}  // namespace

void differentiate(Module& module, const Options&) {
  for (Func& func : module.funcs) differentiate(module, func);
}

}  // namespace sinter::compiler
