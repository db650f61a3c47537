#include "tools/sinter/fuzz/rounding.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <functional>
#include <limits>

#include <sinter/error.h>

#include "ir/interpret.h"
#include "ir/op.h"

namespace sinter::fuzz {

namespace {

using ir::Array;
using ir::Prim;
using ir::Trait;

constexpr double infinity = std::numeric_limits<double>::infinity();
// How many roundings a perturbation is worth: those of one op that is right to 2 units in the last
// place, and then some, so that a few runs show what many roundings could do together.
constexpr double kRoundings = 8;
// Spreads of a few runs are samples of what rounding does, not its maximum.
constexpr double kSafety = 4;

// IEEE 754 says what all others give, to the last bit; these may be off by a little.
bool correctly_rounded(Prim prim) {
  switch (prim) {
    case Prim::exp:
    case Prim::log:
    case Prim::log1p:
    case Prim::tanh:
    case Prim::sin:
    case Prim::cos:
    case Prim::erf:
    case Prim::pow:
      return false;
    default:
      return true;
  }
}

bool correctly_rounded(const ir::Op& op, const std::vector<const Array<double>*>& operands,
                       DType result) {
  if (!def(op).scalar) return true;
  std::vector<DType> dtypes;
  for (const Array<double>* x : operands) dtypes.push_back(x->dtype);
  const ir::ScalarProgram program = scalar_program(op, dtypes, result);
  return std::all_of(program.nodes.begin(), program.nodes.end(),
                     [](const ir::ScalarNode& node) { return correctly_rounded(node.prim); });
}

// What a compiled f32 keeps of a number: nothing below its normal range or above its largest.
double in_range(double v, DType dtype) {
  if (dtype != DType::f32) return std::abs(v) < DBL_MIN ? 0 : v;
  if (std::abs(v) < FLT_MIN) return 0;
  return std::abs(v) > FLT_MAX ? std::copysign(infinity, v) : v;
}

// Moves the elements of a result by what rounding may do to them.
class Perturbation {
 public:
  Perturbation(const ir::Op& op, const std::vector<const Array<double>*>& operands, int64_t n,
               Random& random)
      : op_(op), operands_(operands), n_(n), random_(random) {}

  void apply(Array<double>& result, const ir::Type& type) {
    if (!result.floats() || def(op_).is(Trait::view)) return;
    const bool exact_where_it_fits = correctly_rounded(op_, operands_, type.dtype);
    const std::vector<double> sizes = magnitudes(result, type);
    const std::vector<bool> overflows = may_overflow(result, type);
    const double scale = roundings(result) * unit_roundoff(type.dtype);
    // Every other op keeps more bits than its type has, as a product does that a sum takes in.
    const bool on_grid = type.dtype == DType::f32 && random_.chance(50);
    // Every other op moves all elements alike, as roundings of equal elements are equal.
    const bool alike = random_.chance(50);
    const double common = 2 * random_.unit() - 1;
    for (size_t i = 0; i < result.f.size(); ++i) {
      double& v = result.f[i];
      if (overflows[i] && random_.chance(50)) v = std::numeric_limits<double>::quiet_NaN();
      if (!std::isfinite(v)) continue;
      const double size = std::isfinite(sizes[i]) ? sizes[i] : std::abs(v);
      if (exact_where_it_fits && fits(v, size)) continue;
      const double move = alike ? common : 2 * random_.unit() - 1;
      v = in_range(v + move * scale * size, type.dtype);
      if (on_grid) v = static_cast<float>(v);
    }
  }

 private:
  // Whether no rounding took place, most likely: the result fits into f32, and that of a sum with
  // so many bits to spare that its terms and partial sums must have done so too.
  bool fits(double v, double size) const {
    if (def(op_).scalar) return v == static_cast<double>(static_cast<float>(v));
    constexpr int kBits = 12;
    if (size == 0) return true;
    const double step = std::ldexp(1.0, std::ilogb(size) - kBits + 1);
    return std::fmod(v, step) == 0 && std::fmod(size, step) == 0;
  }

  // What the roundings are relative to: of an elementwise op its result, of a sum the sizes of all
  // that it adds up.
  std::vector<double> magnitudes(const Array<double>& result, const ir::Type& type) const {
    std::vector<double> out(result.f.size());
    if (def(op_).scalar) {
      std::transform(result.f.begin(), result.f.end(), out.begin(),
                     [](double v) { return std::abs(v); });
      return out;
    }
    Arrays sizes;
    for (const Array<double>* x : operands_) {
      sizes.push_back(*x);
      for (double& v : sizes.back().f) v = std::abs(v);
    }
    std::vector<const Array<double>*> pointers;
    for (const Array<double>& x : sizes) pointers.push_back(&x);
    const Array<double> sum = ir::evaluate<double>(op_, type, pointers, n_);
    for (size_t i = 0; i < out.size(); ++i) out[i] = std::abs(sum.f[i]);
    return out;
  }

  // Where some order of its factors takes a product out of the range of its type on the way: a zero
  // is lost among large numbers then, and a number among small ones.
  std::vector<bool> may_overflow(const Array<double>& result, const ir::Type& type) const {
    std::vector<bool> out(result.f.size(), false);
    if (op_.kind != ir::OpKind::prod) return out;
    Array<double> large = *operands_[0], small = *operands_[0];
    for (double& v : large.f) v = std::max(1.0, std::abs(v));
    for (double& v : small.f) v = v == 0 ? 1 : std::min(1.0, std::abs(v));
    const Array<double> most = ir::evaluate<double>(op_, type, {&large}, n_);
    const Array<double> least = ir::evaluate<double>(op_, type, {&small}, n_);
    const bool single = type.dtype == DType::f32;
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] =
          most.f[i] > (single ? FLT_MAX : DBL_MAX) || least.f[i] < (single ? FLT_MIN : DBL_MIN);
    }
    return out;
  }

  // Of a sum of k terms in any order: about the square root of k, and a few.
  double roundings(const Array<double>& result) const {
    if (def(op_).scalar) return kRoundings;
    double terms = 1;
    for (const Array<double>* x : operands_) {
      terms = std::max(terms, static_cast<double>(x->size()) /
                                  static_cast<double>(std::max<size_t>(result.size(), 1)));
    }
    return kRoundings + 4 * std::sqrt(terms);
  }

  const ir::Op& op_;
  const std::vector<const Array<double>*>& operands_;
  int64_t n_;
  Random& random_;
};

// What an op may do to its result beyond computing it.
using AfterOp =
    std::function<void(const ir::Op&, const std::vector<const Array<double>*>&, Array<double>&)>;

Outcome run(const ir::Module& module, const ir::Func& func, const Arrays& args,
            const Arrays& globals, int64_t n, const AfterOp& after) {
  Outcome out;
  out.ops.resize(func.values.size());
  std::vector<const Array<double>*> values(func.values.size(), nullptr);
  const auto at = [](ir::ValueId v) { return static_cast<size_t>(v.index); };
  for (size_t i = 0; i < args.size(); ++i) values[at(func.args[i])] = &args[i];
  for (size_t i = 0; i < func.global_values.size(); ++i) {
    if (func.global_values[i].valid()) values[at(func.global_values[i])] = &globals[i];
  }
  Arrays next = globals;
  for (const ir::Op& op : func.body) {
    if (op.kind == ir::OpKind::assign) {
      next[static_cast<size_t>(func[op.operands[0]].index)] = *values[at(op.operands[1])];
      continue;
    }
    std::vector<const Array<double>*> operands;
    for (ir::ValueId v : op.operands) operands.push_back(values[at(v)]);
    Array<double>& result = out.ops[at(op.result)];
    result = ir::evaluate<double>(op, func.type(op.result), operands, n);
    if (after) after(op, operands, result);
    values[at(op.result)] = &result;
  }
  for (ir::ValueId v : func.results) out.values.push_back(*values[at(v)]);
  for (Array<double>& g : next) out.values.push_back(std::move(g));
  SINTER_CHECK(out.values.size() == func.results.size() + module.globals.size(), "one value each");
  return out;
}

// How many times farther than in this run rounding may move a number, in a run that looks at what
// becomes of ties.
constexpr double kReach = 4;

// Numbers that may as well be 0 become 0.
void settle_at_zero(Array<double>& result, const Array<double>& exact) {
  for (size_t i = 0; i < result.f.size(); ++i) {
    double& v = result.f[i];
    if (std::abs(v) <= kReach * std::abs(v - exact.f[i])) v = 0;
  }
}

// By how much rounding moved each element of an operand in this run.
Array<double> moved_by(ir::ValueId v, const Array<double>& now, const Outcome& exact) {
  const Array<double>& before = exact.ops[static_cast<size_t>(v.index)];
  Array<double> out = now;
  for (size_t i = 0; i < out.f.size(); ++i) {
    // What no op computed is an input, and exact.
    out.f[i] = before.f.empty() ? 0 : std::abs(now.f[i] - before.f[i]);
  }
  return out;
}

// Elements that `equal` may as well find equal are so.
void settle_ties(const ir::Op& equal, const ir::Type& type,
                 const std::vector<const Array<double>*>& operands, const Outcome& exact, int64_t n,
                 Array<double>& result) {
  const auto broadcast = [&](ir::OpKind kind, const Array<double>& x, const Array<double>& y) {
    ir::Op op;
    op.kind = kind;
    return ir::evaluate<double>(op, ir::Type{DType::f64, type.shape}, {&x, &y}, n);
  };
  Array<double> left = *operands[0], right = *operands[1];
  Array<double> left_moved = moved_by(equal.operands[0], left, exact);
  Array<double> right_moved = moved_by(equal.operands[1], right, exact);
  for (Array<double>* x : {&left, &right, &left_moved, &right_moved}) x->dtype = DType::f64;
  const Array<double> apart = broadcast(ir::OpKind::sub, left, right);
  const Array<double> reach = broadcast(ir::OpKind::add, left_moved, right_moved);
  for (size_t i = 0; i < result.i.size(); ++i) {
    if (std::abs(apart.f[i]) <= kReach * reach.f[i]) result.i[i] = 1;
  }
}

}  // namespace

double unit_roundoff(DType dtype) { return dtype == DType::f32 ? 0x1p-24 : 0x1p-53; }

Outcome run_reference(const ir::Module& module, const ir::Func& func, const Arrays& args,
                      const Arrays& globals, int64_t n) {
  return run(module, func, args, globals, n, nullptr);
}

Outcome run_perturbed(const ir::Module& module, const ir::Func& func, const Arrays& args,
                      const Arrays& globals, int64_t n, const Outcome& exact, Random& random) {
  const bool ties = random.chance(50);
  return run(module, func, args, globals, n,
             [&](const ir::Op& op, const std::vector<const Array<double>*>& operands,
                 Array<double>& result) {
               const ir::Type& type = func.type(op.result);
               Perturbation(op, operands, n, random).apply(result, type);
               if (!ties) return;
               if (result.floats()) {
                 settle_at_zero(result, exact.ops[static_cast<size_t>(op.result.index)]);
               } else if (op.kind == ir::OpKind::equal && operands[0]->floats()) {
                 settle_ties(op, type, operands, exact, n, result);
               }
             });
}

Bound::Bound(const Outcome& reference) : reference_(&reference) {
  for (const Array<double>& value : reference.values) {
    spread_.emplace_back(value.size(), 0.0);
    double largest = 0;
    for (double v : value.f) {
      if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
    }
    largest_.push_back(largest);
  }
}

void Bound::widen(const Outcome& perturbed) {
  for (size_t k = 0; k < spread_.size(); ++k) {
    const Array<double>&a = reference_->values[k], &b = perturbed.values[k];
    for (size_t i = 0; i < spread_[k].size(); ++i) {
      double difference = 0;
      if (!a.floats()) {
        difference = a.i[i] == b.i[i] ? 0 : infinity;
      } else if (a.f[i] != b.f[i] && !(std::isnan(a.f[i]) && std::isnan(b.f[i]))) {
        difference = std::abs(a.f[i] - b.f[i]);
        if (std::isnan(difference)) difference = infinity;
      }
      spread_[k][i] = std::max(spread_[k][i], difference);
    }
  }
}

double Bound::tolerance(size_t which, size_t at) const {
  const Array<double>& expected = reference_->values[which];
  if (!expected.floats()) return spread_[which][at];
  const double tiny = expected.dtype == DType::f32 ? FLT_MIN : DBL_MIN;
  const double size = std::isfinite(expected.f[at]) ? std::abs(expected.f[at]) : 0;
  return kSafety * (spread_[which][at] + unit_roundoff(expected.dtype) * size) + tiny;
}

bool Bound::allows(size_t which, size_t at, const Array<double>& actual) const {
  const Array<double>& expected = reference_->values[which];
  const double tolerance = this->tolerance(which, at);
  if (tolerance == infinity) return true;
  if (!expected.floats()) return actual.i[at] == expected.i[at];
  const double a = actual.f[at], e = expected.f[at];
  if (a == e || (std::isnan(a) && std::isnan(e))) return true;
  return std::abs(a - e) <= tolerance;
}

bool Bound::is_tight(size_t which, size_t at) const {
  const Array<double>& expected = reference_->values[which];
  if (!expected.floats()) return spread_[which][at] == 0;
  return tolerance(which, at) <= 0.01 * std::max(largest_[which], 1e-30);
}

}  // namespace sinter::fuzz
