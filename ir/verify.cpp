// The invariants of the IR. A module that satisfies them prints to text that parses back to it, and
// every pass may rely on them, on entry and on exit.
//
// Names. Globals, functions and the named values of a function have different names, made of
// letters, digits, `_`, `.` and `-`; a value is not named by digits alone, since those stand for
// the values without a name.
//
// Types. At most max_rank axes, every dimension at least 1, at most max_elements for n = 1. Globals
// do not follow the batch.
//
// Values. An argument or an op's result is defined once; an op reads what is defined before it in
// execution order. `@w` is one value of the function, the global's on entry, with its type.
//
// Ops. As many operands as the table says, every attribute of the schema in its order, and a
// result of the type that the op's rule gives. Ops with the trait `effect` have no result.
//
// Assign. The first operand is a global, which is assigned at most once in a function.
//
// Kernels. They hold ops but neither kernels nor barriers. The outputs are exactly those results of
// the body that something outside reads (a later op or `return`), in order of definition; nothing
// else of a body is visible outside.
//
// Plans. Without max_batch there is no arena. Storage belongs to outputs of kernels alone, and for
// max_batch rows it ends inside the arena.
#include "ir/verify.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "ir/check.h"
#include "ir/op.h"
#include "ir/text/lex.h"
#include "ir/text/print.h"

namespace sinter::ir {

namespace {

struct Fail {
  std::string message;
  std::string help;
};

[[noreturn]] void fail(std::string message, std::string help) {
  throw Fail{std::move(message), std::move(help)};
}

void check_name(std::string_view what, std::string_view name) {
  if (const auto problem = name_problem(name)) {
    fail(fmt::format("the name \"{}\" of a {} {}", name, what, *problem),
         "a name is made of letters, digits, '_', '.' and '-'");
  }
}

void check_type(const std::string& what, const Type& type) {
  if (const auto problem = shape_problem(type.shape)) {
    fail(fmt::format("{} {}", what, *problem), "use a shape that fits in memory");
  }
}

class FuncCheck {
 public:
  FuncCheck(const Module& module, const Func& func)
      : module_(module), func_(func), printer_(module, func) {}

  void run() {
    check_header();
    find_reads();
    check_ops(func_.body, nullptr);
    op_ = op_count_;
    for (ValueId v : func_.results) check_read(v, "return");
    check_storage();
  }
  // The op that the check has come to.
  int op() const { return op_; }

 private:
  enum class State : uint8_t { undefined, visible, hidden };

  size_t at(ValueId id) const { return static_cast<size_t>(id.index); }
  bool in_range(ValueId id) const { return id.valid() && at(id) < func_.values.size(); }
  std::string show(ValueId id) const { return printer_.value(id); }

  void check_header() {
    state_.assign(func_.values.size(), State::undefined);
    check_name("function", func_.name);
    if (func_.max_batch < 0 || func_.arena_bytes < 0) {
      fail(fmt::format("max_batch {} and arena {} cannot be negative", func_.max_batch,
                       func_.arena_bytes),
           "plan the function again");
    }
    if (!func_.planned() && func_.arena_bytes > 0) {
      fail(fmt::format("an arena of {} bytes without max_batch", func_.arena_bytes),
           "write `max_batch B` before `arena`");
    }
    for (size_t i = 0; i < func_.args.size(); ++i) {
      const ValueId v = func_.args[i];
      if (!in_range(v) || func_[v].def != ValueDef::argument || at_index(v) != i) {
        fail(fmt::format("argument {} is not a value that stands for it", i),
             "make arguments with Func::add_argument");
      }
      define(v);
    }
    for (size_t i = 0; i < func_.global_values.size(); ++i) {
      const ValueId v = func_.global_values[i];
      if (!v.valid()) continue;
      if (i >= module_.globals.size() || !in_range(v) || func_[v].def != ValueDef::global ||
          at_index(v) != i || func_.type(v) != module_.globals[i].type) {
        fail(fmt::format("global {} is not a value that stands for it", i),
             "make it with Module::global_value");
      }
      state_[at(v)] = State::visible;
    }
  }

  size_t at_index(ValueId v) const { return static_cast<size_t>(func_[v].index); }

  void define(ValueId v) {
    if (state_[at(v)] != State::undefined) {
      fail(fmt::format("{} is defined twice", show(v)), "give one of the two another name");
    }
    state_[at(v)] = State::visible;
    check_type(show(v), func_.type(v));
    if (func_.planned() && !checked_bytes(func_.type(v), func_.max_batch)) {
      fail(fmt::format("{} : {} is too large for {} rows", show(v), to_string(func_.type(v)),
                       func_.max_batch),
           "make max_batch smaller");
    }
    const std::string& name = func_[v].name;
    if (name.empty()) return;
    check_name("value", name);
    if (std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      fail(fmt::format("a value is named by the number {}", name),
           "numbers stand for values without a name; put a letter in it");
    }
    if (!names_.emplace(name, v).second) {
      fail(fmt::format("two values are named {}", show(v)), "give one of the two another name");
    }
  }

  // Learns which values the body of a kernel makes, and which of them are read outside.
  void find_reads() {
    home_.assign(func_.values.size(), -1);
    leaves_.assign(func_.values.size(), false);
    const auto read = [&](ValueId v, int where) {
      if (in_range(v) && home_[at(v)] >= 0 && home_[at(v)] != where) leaves_[at(v)] = true;
    };
    for_each_kernel([&](const Op& inner, int kernel) {
      if (in_range(inner.result)) home_[at(inner.result)] = kernel;
    });
    for_each_kernel([&](const Op& inner, int kernel) {
      for (ValueId v : inner.operands) read(v, kernel);
    });
    for (const Op& op : func_.body) {
      for (ValueId v : op.operands) read(v, -1);
    }
    for (ValueId v : func_.results) read(v, -1);
  }

  // Calls f(op, kernel) for the ops inside kernels; kernels go by their number among all ops.
  template <class F>
  void for_each_kernel(F f) const {
    int number = 0;
    for (const Op& kernel : func_.body) {
      const int self = number++;
      for_each_op(kernel.body, [&](const Op& inner) {
        f(inner, self);
        ++number;
      });
    }
  }

  void check_ops(const std::vector<Op>& ops, const Op* kernel) {
    for (const Op& op : ops) {
      op_ = op_count_++;
      const OpDef& d = def(op);
      for (ValueId v : op.operands) check_read(v, d.name);
      check_attrs(op);
      check_result(op);
      if (op.loc.line < 0) {
        fail(fmt::format("line {} of a source location is negative", op.loc.line),
             "use 0 where the line is unknown");
      }
      if (op.kind == OpKind::assign) check_assign(op);
      if (kernel && (op.kind == OpKind::kernel || op.kind == OpKind::barrier)) {
        fail(fmt::format("a {} inside a kernel", d.name), "put it between kernels");
      }
      if (op.kind == OpKind::kernel) {
        const int self = op_;
        check_ops(op.body, &op);
        op_ = self;
        check_outputs(op);
      } else if (!op.body.empty() || !op.outputs.empty()) {
        fail(fmt::format("{} has a body", d.name), "only a kernel has ops of its own");
      }
    }
  }

  void check_read(ValueId v, std::string_view reader) {
    if (in_range(v) && state_[at(v)] == State::visible) return;
    if (in_range(v) && state_[at(v)] == State::hidden) {
      fail(fmt::format("{} reads {}, which its kernel does not store", reader, show(v)),
           "add it to the outputs of the kernel");
    }
    fail(fmt::format("{} reads {} before it is defined", reader, show(v)),
         "an op comes after the ops whose results it reads");
  }

  void check_attrs(const Op& op) {
    const OpDef& d = def(op);
    const std::vector<Attr>& attrs = op.attrs.list();
    const bool in_order =
        attrs.size() == d.attrs.size() &&
        std::equal(attrs.begin(), attrs.end(), d.attrs.begin(),
                   [](const Attr& a, const AttrSpec& spec) { return a.name == spec.name; });
    if (!in_order) {
      fail(fmt::format("the attributes of {} are not those of its schema, in its order", d.name),
           "complete them with complete_attrs");
    }
    for (const Attr& attr : attrs) {
      const Shape* shape = std::get_if<Shape>(&attr.value);
      if (shape) check_type(fmt::format("attribute \"{}\"", attr.name), {DType::f32, *shape});
    }
  }

  void check_result(const Op& op) {
    const OpDef& d = def(op);
    if (op.result.valid() == d.is(Trait::effect)) {
      const bool needless = op.result.valid();
      fail(fmt::format("{} has {} result", d.name, needless ? "a" : "no"),
           needless ? "it only has an effect" : "give it one");
    }
    std::vector<Type> types;
    for (ValueId v : op.operands) types.push_back(func_.type(v));
    if (op.result.valid() && (!in_range(op.result) || func_[op.result].def != ValueDef::op)) {
      fail(fmt::format("the result of {} is not a value of the function", d.name),
           "make it with Func::add_value");
    }
    std::optional<Type> declared;
    if (d.is(Trait::typed_result)) declared = func_.type(op.result);
    Type inferred;
    try {
      inferred = infer_type(op.kind, types, op.attrs, declared);
    } catch (const Error& e) {
      fail(e.message(), e.help_text().empty() ? "see the op's type rule" : e.help_text());
    }
    if (!op.result.valid()) return;
    if (inferred != func_.type(op.result)) {
      fail(fmt::format("{} is {} but {} makes {}", show(op.result),
                       to_string(func_.type(op.result)), d.name, to_string(inferred)),
           "give the value the type that the op makes");
    }
    define(op.result);
  }

  void check_assign(const Op& op) {
    const ValueId to = op.operands[0];
    if (func_[to].def != ValueDef::global) {
      fail(fmt::format("assign to {}, which is not a global", show(to)),
           "the first operand of assign is a global, as in assign @w, %new");
    }
    assigned_.resize(module_.globals.size(), false);
    if (assigned_[at_index(to)]) {
      fail(fmt::format("{} is assigned twice", show(to)),
           "all assigns take effect at the end; keep the last one");
    }
    assigned_[at_index(to)] = true;
  }

  void check_outputs(const Op& kernel) {
    std::vector<ValueId> wanted;
    for (const Op& op : kernel.body) {
      if (!op.result.valid()) continue;
      const bool leaves = leaves_[at(op.result)];
      if (leaves) wanted.push_back(op.result);
      if (!leaves) state_[at(op.result)] = State::hidden;
    }
    std::vector<ValueId> listed = kernel.outputs;
    std::sort(listed.begin(), listed.end());
    const auto twice = std::adjacent_find(listed.begin(), listed.end());
    if (twice != listed.end()) {
      fail(fmt::format("the kernel lists {} twice", show(*twice)), "list each output once");
    }
    for (ValueId v : kernel.outputs) {
      if (!in_range(v) || home_[at(v)] != op_) {
        fail(fmt::format("the kernel stores {}, which its body does not make", show(v)),
             "list results of the body only");
      }
      if (!leaves_[at(v)]) {
        fail(fmt::format("the kernel stores {}, which nothing outside reads", show(v)),
             "drop it from the outputs of the kernel");
      }
      if (func_[v].storage) check_place(v);
    }
    for (ValueId v : wanted) {
      if (!std::binary_search(listed.begin(), listed.end(), v)) {
        fail(fmt::format("the kernel does not store {}, which is read outside", show(v)),
             "add it to the outputs of the kernel");
      }
    }
    if (kernel.outputs != wanted) {
      fail("the kernel lists its outputs in another order than its body makes them",
           fmt::format("list {} first", show(wanted.front())));
    }
  }

  void check_place(ValueId v) {
    const int64_t offset = func_[v].storage->offset;
    const int64_t pitch = func_[v].storage->pitch;
    ++placed_;
    const Shape& shape = func_.type(v).shape;
    if (pitch != 0 && (shape.size() < 2 || shape.back().batch || pitch < shape.back().scale)) {
      fail(fmt::format("{} : {} cannot have rows {} elements apart", show(v),
                       to_string(func_.type(v)), pitch),
           "drop the pitch, or make it at least the size of the last axis, which is not n");
    }
    const std::optional<int64_t> bytes = checked_bytes(func_.stored_type(v), func_.max_batch);
    if (!func_.planned()) {
      fail(fmt::format("{} has a place but the function has no plan", show(v)),
           "write `max_batch B arena BYTES` after the arguments");
    }
    if (offset < 0 || !bytes || offset > func_.arena_bytes || *bytes > func_.arena_bytes - offset) {
      fail(fmt::format("{} of {} bytes at {} ends outside the arena of {}", show(v),
                       bytes ? fmt::format("{}", *bytes) : "too many", offset, func_.arena_bytes),
           "make the arena larger, or max_batch smaller");
    }
  }

  void check_storage() {
    op_ = -1;
    int storages = 0;
    for (size_t i = 0; i < func_.values.size(); ++i) {
      if (state_[i] != State::undefined && func_.values[i].storage) ++storages;
    }
    if (storages == placed_) return;
    fail("a value that no kernel stores has a place in the arena",
         "only outputs of kernels have storage");
  }

  const Module& module_;
  const Func& func_;
  const Printer printer_;
  std::vector<State> state_;
  std::unordered_map<std::string_view, ValueId> names_;
  std::vector<int> home_;     // by value: the kernel whose body makes it, or -1
  std::vector<bool> leaves_;  // by value: made in a kernel and read outside
  std::vector<bool> assigned_;
  int op_ = -1, op_count_ = 0, placed_ = 0;
};

// Appends the op at fault, marked, between those around it.
void note_context(Error& error, const Module& module, const Func& func, int at) {
  const Printer printer(module, func);
  constexpr int around = 3;
  std::string text = fmt::format("in func @{}:", func.name);
  int next = 0;
  const Op* culprit = nullptr;
  const auto walk = [&](auto& self, const std::vector<Op>& ops, int indent) -> void {
    for (const Op& op : ops) {
      const int here = next++;
      if (here == at) culprit = &op;
      if (here >= at - around && here <= at + around) {
        text += fmt::format("\n{:>{}}{}", here == at ? "> " : "", indent, printer.op_line(op));
      }
      self(self, op.body, indent + 2);
    }
  };
  walk(walk, func.body, 4);
  if (at >= next - around) {
    std::string results;
    for (ValueId v : func.results) results += (results.empty() ? " " : ", ") + printer.value(v);
    text += fmt::format("\n{:>4}return{}", at == next ? "> " : "", results);
  }
  error.note(std::move(text));
  if (culprit && culprit->loc.known()) error.at(culprit->loc.source());
}

void check_module(const Module& module, int& func_index, int& op_index) {
  std::unordered_map<std::string_view, int> names;
  for (const Global& g : module.globals) {
    check_name("global", g.name);
    check_type("@" + g.name, g.type);
    if (g.type.follows_batch()) {
      fail(fmt::format("global @{} : {} follows the batch", g.name, to_string(g.type)),
           "what outlives a step has a fixed size; write a number for n");
    }
    if (!names.emplace(g.name, 0).second) {
      fail(fmt::format("two globals are named @{}", g.name), "rename one of them");
    }
  }
  names.clear();
  for (const Func& func : module.funcs) {
    ++func_index;
    op_index = -1;
    FuncCheck check(module, func);
    try {
      check.run();
    } catch (const Fail&) {
      op_index = check.op();
      throw;
    }
    if (!names.emplace(func.name, 0).second) {
      fail(fmt::format("two functions are named @{}", func.name), "rename one of them");
    }
  }
}

}  // namespace

std::optional<std::string> name_problem(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > max_name_length) return fmt::format("has {} characters", name.size());
  if (!std::all_of(name.begin(), name.end(), is_name_character)) return "cannot be written";
  return std::nullopt;
}

std::optional<std::string> shape_problem(const Shape& shape) {
  if (shape.size() > static_cast<size_t>(max_rank)) {
    return fmt::format("has {} axes, more than {}", shape.size(), max_rank);
  }
  int64_t count = 1;
  for (const Dim& d : shape) {
    if (d.scale < 1) return fmt::format("has a dimension of {}", d.scale);
    if (__builtin_mul_overflow(count, d.scale, &count) || count > max_elements) {
      return fmt::format("has too many elements: {}", to_string(shape));
    }
  }
  return std::nullopt;
}

std::optional<int64_t> checked_bytes(const Type& type, int64_t n) {
  auto bytes = static_cast<int64_t>(dtype_size(type.dtype));
  for (const Dim& d : type.shape) {
    if (__builtin_mul_overflow(bytes, d.scale, &bytes)) return std::nullopt;
    if (d.batch && __builtin_mul_overflow(bytes, n, &bytes)) return std::nullopt;
  }
  return bytes;
}

std::optional<Violation> find_violation(const Module& module) {
  Violation found;
  try {
    check_module(module, found.func, found.op);
    return std::nullopt;
  } catch (Fail& f) {
    found.message = std::move(f.message);
    found.help = std::move(f.help);
    return found;
  }
}

void verify(const Module& module) {
  const std::optional<Violation> found = find_violation(module);
  if (!found) return;
  Error error(found->message);
  if (found->func >= 0) {
    const Func& func = module.funcs[static_cast<size_t>(found->func)];
    if (found->op >= 0) {
      note_context(error, module, func, found->op);
    } else {
      error.note(fmt::format("in func @{}", func.name));
    }
  }
  throw std::move(error.help(found->help));
}

}  // namespace sinter::ir
