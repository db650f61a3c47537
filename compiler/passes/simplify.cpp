// Algebra on the graph. The laws stand first; the machine that applies them follows.
//
// Every law keeps the bits of every result, with one written exception: folding a transcendental
// function of a constant rounds once where the compiled polynomial may be 2 ULP away.
//
// A law looks only at an op and at the ops that define its operands, and those are final when the
// op is reached: one walk in execution order is the fixpoint. The walk ends, because every law
// strictly lowers, in this order: the arithmetic ops on the way to a result, the rank of the
// operands of elementwise ops, the number of views.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"
#include "ir/interpret.h"
#include "ir/op.h"

namespace sinter::compiler {

namespace {

using namespace ir;

// Nothing where the law does not apply, else the value that replaces the result of the op.
using Found = std::optional<Expr>;

// The op at hand, as laws see it. New ops are made through `b` and simplified in turn.
struct Site {
  const Op& op;
  Builder& b;
  const std::vector<Op>& done;         // simplified ops
  const std::vector<int>& defined_at;  // by value: its place in `done`, or -1
  const std::vector<bool>& stays;      // by value: something else than a transpose reads it

  Expr x(size_t i) const { return {b, op.operands[i]}; }
  Type type() const { return b.func().type(op.result); }
  // The op that makes operand i, if it is a `kind`.
  const Op* made_by(OpKind kind, size_t i = 0) const;
  Expr operand_of(const Op& other, size_t i = 0) const { return {b, other.operands[i]}; }
  std::optional<double> constant(size_t i) const;
  // Exactly this constant; -0 is not 0.
  bool is(size_t i, double value) const;
  // x in the type of the result: an elementwise op of two operands may broadcast.
  Expr fit(Expr value) const { return broadcast(value, type().shape); }
  Expr fit(size_t i) const { return fit(x(i)); }
};

Found fold_constants(const Site& s);
Found view_of_constant(const Site& s);
Found implicit_broadcast(const Site& s);
Found fold_extent(const Site& s);
Found exact_cast_chain(const Site& s);
Found composed_transpose(const Site& s);
Found swapped_contraction(const Site& s);
Found contraction_of_transpose(const Site& s);

struct Law {
  Trait family;  // applies to ops with this trait, where no `kind` is given
  std::optional<OpKind> kind;
  Found (*apply)(const Site& s);
};

constexpr Trait no = Trait::none;

const Law kLaws[] = {
    // f(1, 2) = 3, in the arithmetic of the dtype
    {Trait::elementwise, {}, fold_constants},

    // x + 0 = x; a float needs -0, because -0 + 0 is 0
    {no, OpKind::add,
     [](const Site& s) -> Found {
       const double zero = is_float(s.type().dtype) ? -0.0 : 0.0;
       if (s.is(0, zero)) return s.fit(1);
       if (s.is(1, zero)) return s.fit(size_t{0});
       return {};
     }},
    // a + -b = a - b
    {no, OpKind::add,
     [](const Site& s) -> Found {
       if (const Op* neg = s.made_by(OpKind::neg, 1)) return s.x(0) - s.operand_of(*neg);
       if (const Op* neg = s.made_by(OpKind::neg, 0)) return s.x(1) - s.operand_of(*neg);
       return {};
     }},
    // x - 0 = x
    {no, OpKind::sub,
     [](const Site& s) -> Found { return s.is(1, 0.0) ? Found(s.fit(size_t{0})) : Found(); }},
    // a - -b = a + b
    {no, OpKind::sub,
     [](const Site& s) -> Found {
       if (const Op* neg = s.made_by(OpKind::neg, 1)) return s.x(0) + s.operand_of(*neg);
       return {};
     }},
    // x * 1 = x; x * 0 stays: it is NaN where x is NaN or infinite
    {no, OpKind::mul,
     [](const Site& s) -> Found {
       if (s.is(0, 1.0)) return s.fit(1);
       if (s.is(1, 1.0)) return s.fit(size_t{0});
       return {};
     }},
    // x / 1 = x; x / c stays: x * (1 / c) rounds twice
    {no, OpKind::div,
     [](const Site& s) -> Found { return s.is(1, 1.0) ? Found(s.fit(size_t{0})) : Found(); }},
    // --x = x
    {no, OpKind::neg,
     [](const Site& s) -> Found {
       if (const Op* neg = s.made_by(OpKind::neg)) return s.operand_of(*neg);
       return {};
     }},

    // select(true, a, b) = a, select(false, a, b) = b
    {no, OpKind::select,
     [](const Site& s) -> Found {
       if (const std::optional<double> condition = s.constant(0)) {
         return s.fit(*condition != 0 ? size_t{1} : size_t{2});
       }
       return {};
     }},
    // select(c, a, a) = a
    {no, OpKind::select,
     [](const Site& s) -> Found {
       const std::optional<double> a = s.constant(1);
       const bool same = s.op.operands[1] == s.op.operands[2] || (a && s.is(2, *a));
       return same ? Found(s.fit(1)) : Found();
     }},

    // cast(x : t, t) = x
    {no, OpKind::cast,
     [](const Site& s) -> Found {
       return s.x(0).type().dtype == s.type().dtype ? Found(s.x(0)) : Found();
     }},
    // cast(cast(x)) = cast(x), where the inner one loses nothing
    {no, OpKind::cast, exact_cast_chain},

    // extent([10, 5]) = 50
    {no, OpKind::extent, fold_extent},

    // A view of one value in every element is that value under another shape.
    {Trait::view, {}, view_of_constant},
    // reshape(x, shape of x) = x
    {no, OpKind::reshape,
     [](const Site& s) -> Found { return s.x(0).type() == s.type() ? Found(s.x(0)) : Found(); }},
    // reshape(reshape(x)) = reshape(x)
    {no, OpKind::reshape,
     [](const Site& s) -> Found {
       if (const Op* inner = s.made_by(OpKind::reshape)) {
         return reshape(s.operand_of(*inner), s.type().shape);
       }
       return {};
     }},
    // broadcast(x, shape of x) = x
    {no, OpKind::broadcast,
     [](const Site& s) -> Found { return s.x(0).type() == s.type() ? Found(s.x(0)) : Found(); }},
    // broadcast(broadcast(x)) = broadcast(x)
    {no, OpKind::broadcast,
     [](const Site& s) -> Found {
       if (const Op* inner = s.made_by(OpKind::broadcast)) return s.fit(s.operand_of(*inner));
       return {};
     }},
    // a * broadcast(b) = a * b: elementwise ops repeat by themselves
    {Trait::elementwise, {}, implicit_broadcast},
    // transpose(transpose(x, p), q) = transpose(x, p q); transpose(x, identity) = x
    {no, OpKind::transpose, composed_transpose},
    // (A B)^T = B^T A^T
    {no, OpKind::transpose, swapped_contraction},
    // contraction(x^T, y) = contraction(x, y) over the axes where they lie in x
    {no, OpKind::contraction, contraction_of_transpose},

};

const Op* Site::made_by(OpKind kind, size_t i) const {
  const auto value = static_cast<size_t>(op.operands[i].index);
  const int place = value < defined_at.size() ? defined_at[value] : -1;
  if (place < 0 || done[static_cast<size_t>(place)].kind != kind) return nullptr;
  return &done[static_cast<size_t>(place)];
}

std::optional<double> Site::constant(size_t i) const {
  const Op* c = made_by(OpKind::constant, i);
  return c ? std::optional(c->attrs.real("value")) : std::nullopt;
}

bool Site::is(size_t i, double value) const {
  const std::optional<double> c = constant(i);
  return c && std::bit_cast<uint64_t>(*c) == std::bit_cast<uint64_t>(value);
}

// --- constants ---

// Evaluates the op on one element, in T; nothing where a constant could not hold the result.
template <class T>
std::optional<double> evaluate_one(const Site& s) {
  std::vector<Array<T>> values;
  for (size_t i = 0; i < s.op.operands.size(); ++i) {
    // By the constant's own meaning: 0.1 is true, and 2.5 is 2 among integers.
    const Type element{s.x(i).type().dtype, {}};
    values.push_back(evaluate<T>(*s.made_by(OpKind::constant, i), element, {}, 1));
  }
  std::vector<const Array<T>*> operands;
  for (const Array<T>& v : values) operands.push_back(&v);
  const DType dtype = s.type().dtype;
  const Array<T> out = evaluate<T>(s.op, Type{dtype, {}}, operands, 1);
  if (out.floats()) {
    const auto value = static_cast<double>(out.f[0]);
    const double rounded = dtype == DType::f32 ? static_cast<float>(value) : value;
    return std::isfinite(rounded) ? std::optional(rounded) : std::nullopt;
  }
  // Constants are written as doubles, which hold integers of 53 bits.
  constexpr int64_t exact = int64_t{1} << 53;
  const int64_t limit = dtype == DType::i32 ? std::numeric_limits<int32_t>::max() : exact;
  if (out.i[0] > limit || out.i[0] < -limit) return {};
  return static_cast<double>(out.i[0]);
}

Found fold_constants(const Site& s) {
  bool wide = s.type().dtype == DType::f64;
  for (size_t i = 0; i < s.op.operands.size(); ++i) {
    if (!s.constant(i)) return {};
    wide |= s.x(i).type().dtype == DType::f64;
  }
  const std::optional<double> value = wide ? evaluate_one<double>(s) : evaluate_one<float>(s);
  return value ? Found(s.b.constant(*value, s.type())) : Found();
}

Found view_of_constant(const Site& s) {
  const std::optional<double> value = s.constant(0);
  return value ? Found(s.b.constant(*value, s.type())) : Found();
}

Found fold_extent(const Site& s) {
  const Type counted{s.type().dtype, s.op.attrs.shape("of")};
  if (counted.follows_batch()) return {};
  return s.b.constant(static_cast<double>(counted.numel(1)), s.type());
}

// Whether every value of `from` is one of `to`.
bool exact_cast(DType from, DType to) {
  if (from == to || from == DType::boolean) return true;
  if (from == DType::f32) return to == DType::f64;
  return from == DType::i32 && (to == DType::i64 || to == DType::f64);
}

Found exact_cast_chain(const Site& s) {
  const Op* inner = s.made_by(OpKind::cast);
  if (!inner) return {};
  const Expr x = s.operand_of(*inner);
  if (!exact_cast(x.type().dtype, s.x(0).type().dtype)) return {};
  return cast(x, s.type().dtype);
}

// --- shapes ---

// A smaller value that an elementwise op repeats to the same elements as operand i.
Found unrepeated(const Site& s, size_t i) {
  if (const Op* wide = s.made_by(OpKind::broadcast, i)) return s.operand_of(*wide);
  const Type type = s.x(i).type();
  if (const std::optional<double> value = s.constant(i); value && !type.is_scalar()) {
    return s.b.scalar(*value, type.dtype);
  }
  if (const Op* inner = s.made_by(OpKind::reshape, i)) {
    // A reshape that only adds axes of size 1 in front.
    const Expr x = s.operand_of(*inner);
    const Shape &from = x.type().shape, &to = type.shape;
    if (from.size() < to.size() && std::equal(from.rbegin(), from.rend(), to.rbegin()) &&
        broadcasts_to(from, to) &&
        std::all_of(to.begin(), to.end() - static_cast<std::ptrdiff_t>(from.size()),
                    [](const Dim& d) { return d.is_one(); })) {
      return x;
    }
  }
  return {};
}

Found implicit_broadcast(const Site& s) {
  for (size_t i = 0; i < s.op.operands.size(); ++i) {
    Shape others;
    bool fits = true;
    for (size_t j = 0; j < s.op.operands.size(); ++j) {
      Shape joined;
      if (j != i) fits = fits && broadcast_shapes(others, s.x(j).type().shape, joined);
      if (j != i) others = joined;
    }
    // The others alone must give the shape of the result.
    if (!fits || others != s.type().shape) continue;
    const Found small = unrepeated(s, i);
    if (!small) continue;
    std::vector<Expr> operands;
    for (size_t j = 0; j < s.op.operands.size(); ++j) operands.push_back(j == i ? *small : s.x(j));
    return s.b.apply(s.op.kind, operands, s.op.attrs, s.type());
  }
  return {};
}

Found composed_transpose(const Site& s) {
  const std::vector<int64_t>& outer = s.op.attrs.integers("permutation");
  std::vector<int64_t> identity(outer.size());
  std::iota(identity.begin(), identity.end(), 0);
  if (outer == identity) return s.x(0);
  const Op* inner = s.made_by(OpKind::transpose);
  if (!inner) return {};
  std::vector<int64_t> both;
  for (int64_t axis : outer) {
    both.push_back(inner->attrs.integers("permutation")[static_cast<size_t>(axis)]);
  }
  const Expr x = s.operand_of(*inner);
  return transpose(x, std::move(both));
}

// --- products ---

Found swapped_contraction(const Site& s) {
  const Op* product = s.made_by(OpKind::contraction);
  // Where the product itself is wanted too, one more of it costs more than a view.
  if (!product || s.stays[static_cast<size_t>(product->result.index)]) return {};
  if (product->attrs.integer("parts") > 1) return {};
  const Expr a = s.operand_of(*product, 0), b = s.operand_of(*product, 1);
  const Attrs& attrs = product->attrs;
  const auto batch = static_cast<int64_t>(attrs.integers("a_batch").size());
  const auto folded = static_cast<int64_t>(attrs.integers("a").size());
  const int64_t free_a = a.type().rank() - batch - folded;
  const int64_t free_b = b.type().rank() - batch - folded;
  std::vector<int64_t> swapped(static_cast<size_t>(batch + free_a + free_b));
  const auto halves = swapped.begin() + batch;
  std::iota(swapped.begin(), halves, 0);
  std::iota(halves, halves + free_b, batch + free_a);
  std::iota(halves + free_b, swapped.end(), batch);
  if (s.op.attrs.integers("permutation") != swapped) return {};
  return s.b.apply(OpKind::contraction, {b, a},
                   {{"a", attrs.integers("b")},
                    {"b", attrs.integers("a")},
                    {"a_batch", attrs.integers("b_batch")},
                    {"b_batch", attrs.integers("a_batch")}});
}

Found contraction_of_transpose(const Site& s) {
  const char* const folded_name[] = {"a", "b"};
  const char* const batch_name[] = {"a_batch", "b_batch"};
  for (size_t i : {0, 1}) {
    const Op* view = s.made_by(OpKind::transpose, i);
    if (!view) continue;
    const std::vector<int64_t>& permutation = view->attrs.integers("permutation");
    std::vector<bool> is_free(permutation.size(), true);
    const auto through_view = [&](const char* name) {
      std::vector<int64_t> axes = s.op.attrs.integers(name);
      for (int64_t& axis : axes) {
        is_free[static_cast<size_t>(axis)] = false;
        axis = permutation[static_cast<size_t>(axis)];
      }
      return axes;
    };
    Attrs attrs = s.op.attrs;
    attrs.set(folded_name[i], through_view(folded_name[i]));
    attrs.set(batch_name[i], through_view(batch_name[i]));
    // The free axes come out in their order, which the view must not have changed.
    std::vector<int64_t> free_axes;
    for (size_t axis = 0; axis < permutation.size(); ++axis) {
      if (is_free[axis]) free_axes.push_back(permutation[axis]);
    }
    if (!std::is_sorted(free_axes.begin(), free_axes.end())) continue;
    std::vector<Expr> operands{s.x(0), s.x(1)};
    operands[i] = s.operand_of(*view);
    return s.b.apply(OpKind::contraction, operands, attrs);
  }
  return {};
}

// --- the machine ---

class Simplifier {
 public:
  Simplifier(Module& module, Func& func)
      : module_(module),
        func_(func),
        defined_at_(func.values.size(), -1),
        stays_(func.values.size(), false),
        now_(func.values.size()) {
    std::iota(now_.begin(), now_.end(), 0);
    mark_what_stays();
  }

  void run() {
    done_.reserve(func_.body.size());
    for (Op& op : std::exchange(func_.body, {})) visit(std::move(op));
    func_.body = std::move(done_);
    if (replaced_.empty()) return;
    replace_uses(func_, replaced_);
    compact(func_);
  }

 private:
  static size_t at(ValueId v) { return static_cast<size_t>(v.index); }

  void mark_what_stays() {
    const auto mark = [&](const std::vector<ValueId>& values) {
      for (ValueId v : values) stays_[at(v)] = true;
    };
    mark(func_.results);
    for_each_op(func_.body, [&](const Op& op) {
      if (op.kind != OpKind::transpose) mark(op.operands);
      mark(op.outputs);
    });
  }

  // Appends the op to `done_`, or what the first law that applies makes of it.
  void visit(Op op) {
    grow();
    for (ValueId& v : op.operands) v = current(v);
    if (op.result.valid()) {
      for (const Law& law : kLaws) {
        if (law.kind ? op.kind != *law.kind : !def(op).is(law.family)) continue;
        if (rewrite(op, law)) return;
      }
      defined_at_[at(op.result)] = static_cast<int>(done_.size());
    }
    done_.push_back(std::move(op));
  }

  bool rewrite(const Op& op, const Law& law) {
    std::vector<Op> made;
    Builder b(module_, func_, made);
    b.set_loc(op.loc);
    const Found found = law.apply({op, b, done_, defined_at_, stays_});
    if (!found) return false;
    SINTER_CHECK(found->type() == func_.type(op.result), "a law turns {} : {} into {}",
                 def(op).name, to_string(func_.type(op.result)), to_string(found->type()));
    grow();
    for (Op& part : made) visit(std::move(part));
    const ValueId heir = current(found->id());
    if (stays_[at(op.result)]) stays_[at(heir)] = true;
    now_[at(op.result)] = heir.index;
    replaced_.emplace_back(op.result, heir);
    hand_over_name(func_, op.result, heir);
    return true;
  }

  // The value that stands for `v` now; an heir has its final number when it is recorded.
  ValueId current(ValueId v) const { return {now_[at(v)]}; }

  void grow() {
    defined_at_.resize(func_.values.size(), -1);
    stays_.resize(func_.values.size(), false);
    while (now_.size() < func_.values.size()) now_.push_back(static_cast<int32_t>(now_.size()));
  }

  Module& module_;
  Func& func_;
  std::vector<Op> done_;
  std::vector<int> defined_at_;
  std::vector<bool> stays_;
  std::vector<int32_t> now_;
  std::vector<std::pair<ValueId, ValueId>> replaced_;
};

}  // namespace

void simplify(Module& module, const Options&) {
  for (Func& func : module.funcs) Simplifier(module, func).run();
}

}  // namespace sinter::compiler
