#include "tools/sinter/fuzz/sample_op.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include <sinter/error.h>

#include "ir/check.h"
#include "ir/interpret.h"

namespace sinter::fuzz {

namespace {

using ir::AttrKind;
using ir::Dim;
using ir::OpDef;
using ir::OpKind;
using ir::Shape;
using ir::Trait;
using ir::Type;
using ir::ValueId;

// Guesses for one op before another is drawn.
constexpr int kGuesses = 150;
// Steps on whose inputs a growing program is tried.
constexpr size_t kTriedSteps = 2;

enum class Family : uint8_t { elementwise, view, source, reduction, other };

Family family_of(const OpDef& def) {
  if (def.is(Trait::elementwise)) return Family::elementwise;
  if (def.is(Trait::view)) return Family::view;
  if (def.is(Trait::source)) return Family::source;
  if (def.is(Trait::reduction)) return Family::reduction;
  return Family::other;
}

// Percentages: elementwise ops are most of the table and of real programs, products and losses are
// where kernels differ.
Family draw_family(Random& random) {
  const int64_t p = random.pick(1, 100);
  if (p <= 40) return Family::elementwise;
  if (p <= 55) return Family::view;
  if (p <= 58) return Family::source;
  if (p <= 72) return Family::reduction;
  return Family::other;
}

std::vector<int64_t> all_axes(const Type& type) {
  std::vector<int64_t> axes(type.shape.size());
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

void shuffle(std::vector<int64_t>& list, Random& random) {
  for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[random.index(i)]);
}

}  // namespace

const std::vector<OpKind>& growable_ops() {
  static const std::vector<OpKind> list = [] {
    std::vector<OpKind> out;
    for (OpKind kind : ir::all_ops()) {
      const OpDef& d = ir::def(kind);
      // What has a meaning of its own: `gradient` and the structure of programs have none.
      if (!d.is(Trait::effect) && (d.scalar || d.expand || d.eval)) out.push_back(kind);
    }
    return out;
  }();
  return list;
}

std::vector<std::string> text_choices(const OpDef& def, const ir::AttrSpec& spec) {
  std::vector<std::string> out;
  if (spec.default_value) out.push_back(std::get<std::string>(*spec.default_value));
  ir::Attrs attrs;
  for (const ir::AttrSpec& s : def.attrs) {
    if (s.default_value) attrs.set(s.name, *s.default_value);
  }
  attrs.set(spec.name, std::string("unheard of"));
  const std::vector<Type> operands(static_cast<size_t>(def.operands), Type{DType::f32, {}});
  try {
    def.infer({operands, attrs, Type{}});
  } catch (const Error& e) {
    const std::string& help = e.help_text();
    for (size_t open = help.find('"'); open != std::string::npos;) {
      const size_t close = help.find('"', open + 1);
      if (close == std::string::npos) break;
      out.push_back(help.substr(open + 1, close - open - 1));
      open = help.find('"', close + 1);
    }
  }
  return out;
}

Growth::Growth(ir::Module& module, Random& random, const InputRule& inputs,
               std::vector<int64_t> rows, int64_t max_batch, DType dtype)
    : module_(module),
      func_(module.funcs[0]),
      random_(random),
      inputs_(inputs),
      rows_(std::move(rows)),
      max_batch_(max_batch),
      dtype_(dtype),
      builder_(module, module.funcs[0]) {
  rows_.resize(std::min(rows_.size(), kTriedSteps));
  known_.resize(rows_.size());
}

int64_t Growth::random_size() {
  static const std::vector<int64_t> edges{1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 70};
  const int64_t p = random_.pick(1, 100);
  if (p <= 45) {  // one that is there already, so that shapes fit each other
    std::vector<int64_t> seen;
    for (ValueId v : pool_) {
      for (const Dim& d : func_.type(v).shape) {
        if (!d.batch) seen.push_back(d.scale);
      }
    }
    if (!seen.empty()) return random_.of(seen);
  }
  if (p <= 70) return random_.pick(1, 9);
  return p <= 85 ? random_.of(edges) : random_.pick(1, 40);
}

Type Growth::random_type() {
  const int64_t p = random_.pick(1, 100);
  DType dtype = dtype_;
  if (p > 75) {
    dtype = p <= 85   ? DType::i64
            : p <= 90 ? DType::i32
            : p <= 96 ? DType::boolean
                      : (dtype_ == DType::f32 ? DType::f64 : DType::f32);
  }
  const Dim n = ir::batch_dim, a{random_size()}, b{random_size()};
  switch (random_.pick(0, 12)) {
    case 0:
      return {dtype, {}};
    case 1:
      return {dtype, {n}};
    case 2:
      return {dtype, {a}};
    case 3:
      return {dtype, {a, b}};
    case 4:
      return {dtype, {n, a, b}};
    case 5:
      return {dtype, {a, n, b}};
    case 6:
      return {dtype, {a, n}};
    case 7:
      return {dtype, {Dim{random_.pick(2, 3), true}, a}};
    default:
      return {dtype, {n, a}};
  }
}

void Growth::forget_since(size_t count, ValueId kept) {
  pool_.resize(count);
  pool_.push_back(kept);
}

bool Growth::small(const Type& type) const {
  if (type.rank() > 5) return false;
  double count = 1;
  for (const Dim& d : type.shape) count *= static_cast<double>(d.at(max_batch_));
  return count <= static_cast<double>(kMostElements);
}

ir::Expr Growth::argument(Type type) {
  const std::string name = fmt::format("x{}", func_.args.size());
  const ValueId v = func_.add_argument(type, name);
  for (size_t step = 0; step < known_.size(); ++step) {
    known_[step].resize(func_.values.size());
    known_[step].back() = draw(inputs_, "%" + name, type, rows_[step], static_cast<int64_t>(step));
  }
  pool_.push_back(v);
  return {builder_, v};
}

ir::Expr Growth::parameter(Type type) {
  const std::string name = fmt::format("w{}", module_.globals.size());
  const ValueId v = module_.global_value(func_, module_.add_global(name, type));
  for (Arrays& known : known_) {
    known.resize(func_.values.size());
    known.back() = draw(inputs_, "@" + name, type, 1, 0);
  }
  pool_.push_back(v);
  return {builder_, v};
}

ir::Expr Growth::value_of(const Type& type) {
  std::vector<ValueId> matches;
  for (ValueId v : pool_) {
    if (func_.type(v) == type) matches.push_back(v);
  }
  if (!matches.empty() && random_.chance(60)) return {builder_, random_.of(matches)};
  if (type.follows_batch()) return argument(type);
  if (is_float(type.dtype) && random_.chance(80)) return parameter(type);
  if (is_float(type.dtype) && random_.chance(50)) {
    const ir::Expr out = builder_.constant(static_cast<double>(random_.pick(-8, 8)) / 4, type);
    settle();
    return out;
  }
  return argument(type);
}

Growth::Slot Growth::first_operand() {
  const int64_t p = random_.pick(1, 100);
  if (pool_.empty() || p > 88) return {{}, random_type()};
  const size_t recent = p <= 45 ? 1 : p <= 65 ? 3 : pool_.size();
  const ValueId v = pool_[pool_.size() - 1 - random_.index(std::min(recent, pool_.size()))];
  return {v, func_.type(v)};
}

Growth::Slot Growth::next_operand(const std::vector<Slot>& before) {
  const Type& x = before[random_.chance(60) ? 0 : before.size() - 1].type;
  Type type = x;
  const Dim k{random_size()};
  const auto pick_dim = [&] {
    return x.shape.empty() ? k : x.shape[random_.index(x.shape.size())];
  };
  const Dim last = x.shape.empty() ? k : x.shape.back();
  switch (random_.pick(0, 10)) {
    case 0:
    case 1:
      break;  // the same
    case 2:   // broadcasts to it
      while (!type.shape.empty() && random_.chance(40)) type.shape.erase(type.shape.begin());
      for (Dim& d : type.shape) {
        if (random_.chance(25)) d = Dim{1};
      }
      break;
    case 3:
      type.shape = {k, last};
      break;
    case 4:
      type.shape = {last, k};
      break;
    case 5:
      type.shape = {pick_dim(), k};
      break;
    case 6:
      type.shape = {pick_dim()};
      break;
    case 7:
      type.shape = {};
      break;
    case 8: {  // its axes in another order
      std::vector<int64_t> order = all_axes(x);
      shuffle(order, random_);
      for (size_t i = 0; i < order.size(); ++i) {
        type.shape[i] = x.shape[static_cast<size_t>(order[i])];
      }
      break;
    }
    case 9:  // one axis of another size
      if (!type.shape.empty()) type.shape[random_.index(type.shape.size())] = k;
      break;
    default: {
      const ValueId v = pool_.empty() ? ValueId{} : random_.of(pool_);
      if (v.valid()) return {v, func_.type(v)};
    }
  }
  const int64_t p = random_.pick(1, 100);
  if (p <= 25) type.dtype = dtype_;
  if (p > 75) type.dtype = random_type().dtype;
  return {{}, type};
}

Shape Growth::reshaped(Shape shape) {
  for (int64_t edits = random_.pick(1, 2); edits > 0; --edits) {
    const size_t at = shape.empty() ? 0 : random_.index(shape.size());
    const auto place = shape.begin() + static_cast<ptrdiff_t>(at);
    switch (random_.pick(0, 3)) {
      case 0:
        shape.insert(place, Dim{1});
        break;
      case 1:  // two axes become one
        if (at + 1 < shape.size() && !(shape[at].batch && shape[at + 1].batch)) {
          shape[at] =
              Dim(shape[at].scale * shape[at + 1].scale, shape[at].batch || shape[at + 1].batch);
          shape.erase(shape.begin() + static_cast<ptrdiff_t>(at) + 1);
        }
        break;
      case 2:  // one axis becomes two
        if (!shape.empty()) {
          std::vector<int64_t> factors;
          for (int64_t f = 1; f <= shape[at].scale; ++f) {
            if (shape[at].scale % f == 0) factors.push_back(f);
          }
          const int64_t factor = random_.of(factors);
          shape[at].scale /= factor;
          shape.insert(shape.begin() + static_cast<ptrdiff_t>(at + (random_.chance(50) ? 1 : 0)),
                       Dim{factor});
        }
        break;
      default:
        if (!shape.empty() && shape[at].is_one()) shape.erase(place);
    }
  }
  return shape;
}

Type Growth::draw_declared(const std::vector<Slot>& operands) {
  if (operands.empty()) return random_type();
  Type type = operands[0].type;
  switch (random_.pick(0, 5)) {
    case 0:
      type.dtype = random_type().dtype;
      break;
    case 1:
      type.shape = reshaped(type.shape);
      break;
    case 2:  // repeated
      for (Dim& d : type.shape) {
        if (d.is_one()) d = random_.chance(20) ? ir::batch_dim : Dim{random_size()};
      }
      if (random_.chance(60)) {
        type.shape.insert(type.shape.begin(),
                          random_.chance(30) ? ir::batch_dim : Dim{random_size()});
      }
      break;
    case 3:  // as long as something static, as wide as the operand
      if (!type.shape.empty()) type.shape[random_.index(type.shape.size())] = Dim{random_size()};
      break;
    case 4:
      type = random_type();
      break;
    default:
      type.shape = random_type().shape;
  }
  return type;
}

ir::AttrValue Growth::draw_attr(const OpDef& def, const ir::AttrSpec& spec, const Type& like) {
  if (spec.default_value && random_.chance(50)) return *spec.default_value;
  const int64_t rank = like.rank();
  const Dim some = rank > 0 ? like.shape[random_.index(like.shape.size())] : Dim{1};
  switch (spec.kind) {
    case AttrKind::integer:
      switch (random_.pick(0, 3)) {
        case 0:
          return random_.pick(0, 3);
        case 1:
          return random_.pick(0, some.scale);
        default:
          return random_.pick(0, std::max<int64_t>(rank - 1, 0));
      }
    case AttrKind::real: {
      static const std::vector<double> values{0, 1, -1, 0.5, 2, -0.25, 3, 0.1, 1e-3};
      return random_.of(values);
    }
    case AttrKind::flag:
      return random_.chance(50);
    case AttrKind::text: {
      const std::vector<std::string> choices = text_choices(def, spec);
      return choices.empty() ? std::string("a") : random_.of(choices);
    }
    case AttrKind::shape: {
      Shape shape = like.shape;
      if (!shape.empty() && random_.chance(50)) shape.erase(shape.begin());
      return random_.chance(30) ? reshaped(shape) : shape;
    }
    case AttrKind::integers:
      break;
  }
  std::vector<int64_t> list = all_axes(like);
  switch (random_.pick(0, 5)) {
    case 0:
      shuffle(list, random_);
      break;  // a permutation
    case 1:   // one axis
      list.clear();
      if (rank > 0) list.push_back(random_.pick(0, rank - 1));
      break;
    case 2:  // a number for each axis, up to its size
      for (int64_t& v : list) v = random_.pick(0, like.shape[static_cast<size_t>(v)].scale);
      break;
    case 3:  // a small number for each axis, most of them 0
      for (int64_t& v : list) v = random_.chance(70) ? 0 : random_.pick(0, 3);
      break;
    default:  // some axes in order
      std::erase_if(list, [&](int64_t) { return random_.chance(50); });
  }
  return list;
}

ir::Attrs Growth::draw_attrs(const OpDef& def, const std::vector<Slot>& operands) {
  ir::Attrs attrs;
  for (size_t i = 0; i < def.attrs.size(); ++i) {
    // An attribute is mostly about the first operand; one of several lists about another in turn.
    const Slot* like =
        operands.empty() ? nullptr : &operands[random_.chance(70) ? 0 : i % operands.size()];
    attrs.set(def.attrs[i].name, draw_attr(def, def.attrs[i], like ? like->type : random_type()));
  }
  return attrs;
}

OpKind Growth::draw_kind() {
  while (true) {
    const Family family = draw_family(random_);
    std::vector<OpKind> candidates;
    for (OpKind kind : growable_ops()) {
      if (family_of(ir::def(kind)) == family) candidates.push_back(kind);
    }
    if (!candidates.empty()) return random_.of(candidates);
  }
}

bool Growth::grow() {
  constexpr int kKinds = 20;
  for (int i = 0; i < kKinds; ++i) {
    const OpKind kind = draw_kind();
    for (int k = 0; k < kGuesses; ++k) {
      if (guess(kind)) return true;
    }
  }
  return false;
}

bool Growth::guess(OpKind kind) {
  const OpDef& d = ir::def(kind);
  std::vector<Slot> slots;
  for (int i = 0; i < d.operands; ++i) {
    slots.push_back(i == 0 ? first_operand() : next_operand(slots));
  }
  const ir::Attrs attrs = draw_attrs(d, slots);
  std::optional<Type> declared;
  if (d.is(Trait::typed_result)) declared = draw_declared(slots);
  std::vector<Type> types;
  for (const Slot& s : slots) types.push_back(s.type);
  for (const Type& type : types) {
    if (!small(type)) return false;
  }
  if (declared && !small(*declared)) return false;
  try {
    const Type result = ir::infer_type(kind, types, attrs, declared);
    if (ir::shape_problem(result.shape) || !small(result)) return false;
  } catch (const Error&) {
    return false;
  }
  std::vector<ValueId> operands;
  for (const Slot& s : slots) {
    operands.push_back(s.value.valid() ? s.value : value_of(s.type).id());
  }
  return try_op(kind, operands, attrs, declared);
}

bool Growth::try_op(OpKind kind, const std::vector<ValueId>& operands, const ir::Attrs& attrs,
                    const std::optional<Type>& declared) {
  const size_t values = func_.values.size();
  try {
    builder_.create(kind, operands, attrs, declared);
  } catch (const Error&) {
    return false;
  }
  if (settle()) return true;
  func_.body.pop_back();
  func_.values.resize(values);
  for (Arrays& known : known_) known.resize(std::min(known.size(), values));
  settled_ = func_.body.size();
  return false;
}

bool Growth::settle() {
  for (; settled_ < func_.body.size(); ++settled_) {
    const ir::Op& op = func_.body[settled_];
    if (!op.result.valid()) continue;
    if (!evaluate(op)) return false;
    pool_.push_back(op.result);
  }
  return true;
}

bool Growth::evaluate(const ir::Op& op) {
  for (size_t step = 0; step < known_.size(); ++step) {
    Arrays& known = known_[step];
    known.resize(func_.values.size());
    std::vector<const ir::Array<double>*> operands;
    for (ValueId v : op.operands) operands.push_back(&known[static_cast<size_t>(v.index)]);
    try {
      const Type& type = func_.type(op.result);
      ir::Array<double> result = ir::evaluate<double>(op, type, operands, rows_[step]);
      const auto reasonable = [](double v) { return std::abs(v) <= kLargest; };
      if (!std::all_of(result.f.begin(), result.f.end(), reasonable)) return false;
      known[static_cast<size_t>(op.result.index)] = std::move(result);
    } catch (const Error&) {
      return false;
    }
  }
  return true;
}

}  // namespace sinter::fuzz
