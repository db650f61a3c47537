// The graph: a module holds globals (parameters and state, updated in place) and functions; a
// function is a list of ops in execution order over values in SSA form. Passes rewrite the lists.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <sinter/error.h>

#include "ir/type.h"

namespace sinter::ir {

// One enumerator for each line of ops.def.
enum class OpKind : uint8_t {
#define SINTER_OP(name) name,
#include "ir/ops.def"
#undef SINTER_OP
};

// Index of a value in its function; prints as %3 or under the value's own name.
struct ValueId {
  int32_t index = -1;
  bool valid() const { return index >= 0; }
  friend auto operator<=>(const ValueId&, const ValueId&) = default;
};

// Where an op comes from: the user's source line and the path of the module that recorded it.
struct Loc {
  std::string file;
  int line = 0;
  std::string scope;
  bool known() const { return line > 0; }
  SourceLoc source() const { return {file, line}; }
  friend bool operator==(const Loc&, const Loc&) = default;
};

using AttrValue = std::variant<int64_t, double, bool, std::string, std::vector<int64_t>, Shape>;

struct Attr {
  std::string name;
  AttrValue value;
  // Reals are equal when they print alike: any NaN equals any other, and -0 differs from 0.
  friend bool operator==(const Attr& a, const Attr& b);
};

class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<Attr> list) : list_(list) {}
  const AttrValue* find(std::string_view name) const;
  void set(std::string_view name, AttrValue value);
  int64_t integer(std::string_view name) const;
  double real(std::string_view name) const;
  bool flag(std::string_view name) const;
  const std::string& text(std::string_view name) const;
  const std::vector<int64_t>& integers(std::string_view name) const;
  const Shape& shape(std::string_view name) const;
  std::vector<Attr>& list() { return list_; }
  const std::vector<Attr>& list() const { return list_; }
  friend bool operator==(const Attrs&, const Attrs&) = default;

 private:
  const AttrValue& get(std::string_view name) const;
  std::vector<Attr> list_;
};

struct Op {
  OpKind kind;
  std::vector<ValueId> operands;
  Attrs attrs{};
  ValueId result{};  // invalid for ops that only have an effect
  Loc loc{};

  // A kernel only: the ops it runs, and the values that it stores for others.
  std::vector<Op> body{};
  std::vector<ValueId> outputs{};
  // Remarks of passes, printed as comments; not part of the meaning.
  std::vector<std::string> notes{};
};

enum class ValueDef : uint8_t { argument, global, op };

// Where a planned value lives: a place in the arena that the compiled function is given.
struct Storage {
  int64_t offset = 0;  // bytes from the start of the arena
  // Elements from one row (all axes but the last) to the next, where rows are padded; 0: they lie
  // without gaps.
  int64_t pitch = 0;
  friend bool operator==(const Storage&, const Storage&) = default;
};

struct ValueInfo {
  Type type;
  std::string name;  // unique in the function, or empty for a number
  ValueDef def = ValueDef::op;
  int32_t index = 0;  // of the argument or of the global
  std::optional<Storage> storage;
};

// A parameter or a state tensor of the module. `@name` means its value on entry everywhere.
struct Global {
  std::string name;
  Type type;
  friend bool operator==(const Global&, const Global&) = default;
};

struct Func {
  std::string name;
  std::vector<ValueInfo> values;
  std::vector<ValueId> args;
  std::vector<ValueId> global_values;  // by global index; invalid while the global is not used
  std::vector<Op> body;
  std::vector<ValueId> results;
  // Set by plan_memory.
  int64_t max_batch = 0;
  int64_t arena_bytes = 0;
  bool planned() const { return max_batch > 0; }

  ValueInfo& operator[](ValueId id) { return values[static_cast<size_t>(id.index)]; }
  const ValueInfo& operator[](ValueId id) const { return values[static_cast<size_t>(id.index)]; }
  const Type& type(ValueId id) const { return (*this)[id].type; }
  // The type under which a value lies in memory: where rows are padded, the last axis is longer.
  Type stored_type(ValueId id) const;

  ValueId add_value(Type type, std::string name, ValueDef def, int32_t index = 0);
  ValueId add_argument(Type type, std::string name);
  // `wanted`, or `wanted_2`, `wanted_3`, ... so that it is new in this function.
  std::string unique_name(std::string_view wanted) const;
};

struct Module {
  std::vector<Global> globals;
  std::vector<Func> funcs;

  Func* find(std::string_view name);
  const Func* find(std::string_view name) const;
  int find_global(std::string_view name) const;  // -1 when there is none
  int add_global(std::string name, Type type);
  // The value that stands for a global inside `func`, made at first use.
  ValueId global_value(Func& func, int global) const;
};

// Visits every op in execution order, those inside kernels included, kernels before their bodies.
template <class F>
void for_each_op(const std::vector<Op>& ops, F&& f) {
  for (const Op& op : ops) {
    f(op);
    for_each_op(op.body, f);
  }
}

// The op that defines each value (null for arguments and globals). Invalidated by any rewrite.
std::vector<const Op*> definitions(const Func& func);
// How many times each value is read: as an operand anywhere, or as a result.
std::vector<int> use_counts(const Func& func);
// Makes every operand and result that reads `from[i]` read `to[i]` instead.
void replace_uses(Func& func, const std::vector<std::pair<ValueId, ValueId>>& replacements);
// Drops values that no op defines or reads and renumbers the rest in order of definition.
void compact(Func& func);

// Same meaning, text and places: equal up to the numbering of values and to notes.
bool equal(const Module& a, const Module& b);

}  // namespace sinter::ir
