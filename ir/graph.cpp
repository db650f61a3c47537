#include "ir/graph.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "ir/op.h"

namespace sinter::ir {

bool operator==(const Attr& a, const Attr& b) {
  const auto *x = std::get_if<double>(&a.value), *y = std::get_if<double>(&b.value);
  if (a.name != b.name || !x || !y) return a.name == b.name && a.value == b.value;
  return (std::isnan(*x) && std::isnan(*y)) ||
         std::bit_cast<uint64_t>(*x) == std::bit_cast<uint64_t>(*y);
}

const AttrValue* Attrs::find(std::string_view name) const {
  for (const Attr& a : list_) {
    if (a.name == name) return &a.value;
  }
  return nullptr;
}

void Attrs::set(std::string_view name, AttrValue value) {
  for (Attr& a : list_) {
    if (a.name == name) {
      a.value = std::move(value);
      return;
    }
  }
  list_.push_back({std::string(name), std::move(value)});
}

const AttrValue& Attrs::get(std::string_view name) const {
  const AttrValue* value = find(name);
  SINTER_CHECK(value != nullptr, "no attribute {}", name);
  return *value;
}

int64_t Attrs::integer(std::string_view name) const { return std::get<int64_t>(get(name)); }
double Attrs::real(std::string_view name) const { return std::get<double>(get(name)); }
bool Attrs::flag(std::string_view name) const { return std::get<bool>(get(name)); }
const std::string& Attrs::text(std::string_view name) const {
  return std::get<std::string>(get(name));
}
const std::vector<int64_t>& Attrs::integers(std::string_view name) const {
  return std::get<std::vector<int64_t>>(get(name));
}
const Shape& Attrs::shape(std::string_view name) const { return std::get<Shape>(get(name)); }

Type Func::stored_type(ValueId id) const {
  Type out = type(id);
  const std::optional<Storage>& storage = (*this)[id].storage;
  if (storage && storage->pitch != 0) out.shape.back() = Dim{storage->pitch, false};
  return out;
}

ValueId Func::add_value(Type type, std::string value_name, ValueDef value_def, int32_t index) {
  values.push_back({std::move(type), std::move(value_name), value_def, index, std::nullopt});
  return {static_cast<int32_t>(values.size()) - 1};
}

ValueId Func::add_argument(Type type, std::string value_name) {
  const auto index = static_cast<int32_t>(args.size());
  args.push_back(add_value(std::move(type), std::move(value_name), ValueDef::argument, index));
  return args.back();
}

std::string Func::unique_name(std::string_view wanted) const {
  const auto taken = [&](std::string_view candidate) {
    return std::any_of(values.begin(), values.end(),
                       [&](const ValueInfo& v) { return v.name == candidate; });
  };
  std::string candidate(wanted);
  for (int i = 2; taken(candidate); ++i) candidate = fmt::format("{}_{}", wanted, i);
  return candidate;
}

Func* Module::find(std::string_view name) {
  for (Func& f : funcs) {
    if (f.name == name) return &f;
  }
  return nullptr;
}

const Func* Module::find(std::string_view name) const {
  return const_cast<Module*>(this)->find(name);
}

int Module::find_global(std::string_view name) const {
  for (size_t i = 0; i < globals.size(); ++i) {
    if (globals[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

int Module::add_global(std::string name, Type type) {
  SINTER_CHECK(find_global(name) < 0, "two globals named {}", name);
  globals.push_back({std::move(name), std::move(type)});
  return static_cast<int>(globals.size()) - 1;
}

ValueId Module::global_value(Func& func, int global) const {
  const auto at = static_cast<size_t>(global);
  if (func.global_values.size() <= at) func.global_values.resize(globals.size());
  ValueId& value = func.global_values[at];
  if (!value.valid()) {
    value = func.add_value(globals[at].type, "", ValueDef::global, global);
  }
  return value;
}

std::vector<const Op*> definitions(const Func& func) {
  std::vector<const Op*> out(func.values.size(), nullptr);
  for_each_op(func.body, [&](const Op& op) {
    if (op.result.valid()) out[static_cast<size_t>(op.result.index)] = &op;
  });
  return out;
}

std::vector<int> use_counts(const Func& func) {
  std::vector<int> out(func.values.size(), 0);
  for_each_op(func.body, [&](const Op& op) {
    for (ValueId v : op.operands) ++out[static_cast<size_t>(v.index)];
  });
  for (ValueId v : func.results) ++out[static_cast<size_t>(v.index)];
  return out;
}

namespace {

template <class F>
void map_reads(std::vector<Op>& ops, F&& f) {
  for (Op& op : ops) {
    for (ValueId& v : op.operands) v = f(v);
    for (ValueId& v : op.outputs) v = f(v);
    map_reads(op.body, f);
  }
}

}  // namespace

void replace_uses(Func& func, const std::vector<std::pair<ValueId, ValueId>>& replacements) {
  std::vector<ValueId> to(func.values.size());
  for (size_t i = 0; i < to.size(); ++i) to[i] = {static_cast<int32_t>(i)};
  for (const auto& [from, by] : replacements) to[static_cast<size_t>(from.index)] = by;
  const auto resolve = [&](ValueId v) {
    while (to[static_cast<size_t>(v.index)] != v) v = to[static_cast<size_t>(v.index)];
    return v;
  };
  map_reads(func.body, resolve);
  for (ValueId& v : func.results) v = resolve(v);
}

void compact(Func& func) {
  const std::vector<int> uses = use_counts(func);
  std::vector<ValueId> to(func.values.size());
  std::vector<ValueInfo> values;
  const auto keep = [&](ValueId v) {
    ValueId& id = to[static_cast<size_t>(v.index)];
    if (id.valid()) return;
    id = {static_cast<int32_t>(values.size())};
    values.push_back(std::move(func[v]));
  };
  for (ValueId v : func.args) keep(v);
  for (ValueId v : func.global_values) {
    if (v.valid() && uses[static_cast<size_t>(v.index)] > 0) keep(v);
  }
  for_each_op(func.body, [&](const Op& op) {
    if (op.result.valid()) keep(op.result);
  });
  const auto renumber = [&](ValueId v) { return v.valid() ? to[static_cast<size_t>(v.index)] : v; };
  func.values = std::move(values);
  for (ValueId& v : func.args) v = renumber(v);
  for (ValueId& v : func.global_values) v = renumber(v);
  for (ValueId& v : func.results) v = renumber(v);
  const auto walk = [&](auto& self, std::vector<Op>& ops) -> void {
    for (Op& op : ops) {
      op.result = renumber(op.result);
      for (ValueId& v : op.operands) v = renumber(v);
      for (ValueId& v : op.outputs) v = renumber(v);
      self(self, op.body);
    }
  };
  walk(walk, func.body);
}

namespace {

// Compares two functions, learning along the way which value of `b` stands for which of `a`.
class Comparison {
 public:
  Comparison(const Func& a, const Func& b) : a_(a), b_(b) {}

  bool run() {
    if (a_.name != b_.name || a_.args.size() != b_.args.size() ||
        a_.results.size() != b_.results.size() || a_.max_batch != b_.max_batch ||
        a_.arena_bytes != b_.arena_bytes) {
      return false;
    }
    for (size_t i = 0; i < a_.args.size(); ++i) {
      if (!define(a_.args[i], b_.args[i])) return false;
    }
    return same_ops(a_.body, b_.body) && same_all(a_.results, b_.results);
  }

 private:
  bool same_ops(const std::vector<Op>& p, const std::vector<Op>& q) {
    if (p.size() != q.size()) return false;
    for (size_t i = 0; i < p.size(); ++i) {
      const Op &x = p[i], &y = q[i];
      if (x.kind != y.kind || x.attrs != y.attrs || x.loc != y.loc ||
          x.result.valid() != y.result.valid() || !same_all(x.operands, y.operands) ||
          !same_ops(x.body, y.body) || !same_all(x.outputs, y.outputs)) {
        return false;
      }
      if (x.result.valid() && !define(x.result, y.result)) return false;
    }
    return true;
  }

  bool same_all(const std::vector<ValueId>& p, const std::vector<ValueId>& q) {
    if (p.size() != q.size()) return false;
    for (size_t i = 0; i < p.size(); ++i) {
      if (!same(p[i], q[i])) return false;
    }
    return true;
  }

  bool same(ValueId x, ValueId y) {
    const ValueInfo &u = a_[x], &v = b_[y];
    if (u.def == ValueDef::global) return v.def == ValueDef::global && u.index == v.index;
    const auto it = map_.find(x.index);
    return it != map_.end() && it->second == y.index;
  }

  bool define(ValueId x, ValueId y) {
    map_[x.index] = y.index;
    const ValueInfo &u = a_[x], &v = b_[y];
    return u.type == v.type && u.name == v.name && u.storage == v.storage;
  }

  const Func &a_, &b_;
  std::map<int32_t, int32_t> map_;
};

}  // namespace

bool equal(const Module& a, const Module& b) {
  if (a.globals != b.globals || a.funcs.size() != b.funcs.size()) return false;
  for (size_t i = 0; i < a.funcs.size(); ++i) {
    if (!Comparison(a.funcs[i], b.funcs[i]).run()) return false;
  }
  return true;
}

}  // namespace sinter::ir
