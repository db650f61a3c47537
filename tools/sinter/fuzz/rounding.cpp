#include "tools/sinter/fuzz/rounding.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
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

// IEEE 754 says what these give, to the last bit; a function such as exp may be off by a little.
bool correctly_rounded(Prim prim) {
  switch (prim) {
    case Prim::operand:
    case Prim::constant:
    case Prim::index:
    case Prim::linear_index:
    case Prim::rows:
    case Prim::add:
    case Prim::sub:
    case Prim::mul:
    case Prim::div:
    case Prim::neg:
    case Prim::sqrt:
    case Prim::equal:
    case Prim::less:
    case Prim::less_equal:
    case Prim::select:
    case Prim::cast:
      return true;
    default:
      return false;
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
    const double scale = roundings(result) * unit_roundoff(type.dtype);
    for (size_t i = 0; i < result.f.size(); ++i) {
      double& v = result.f[i];
      if (!std::isfinite(v)) continue;
      const double size = std::isfinite(sizes[i]) ? sizes[i] : std::abs(v);
      if (exact_where_it_fits && fits(v, size)) continue;
      v = in_range(v + (2 * random_.unit() - 1) * scale * size, type.dtype);
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

}  // namespace

double unit_roundoff(DType dtype) { return dtype == DType::f32 ? 0x1p-24 : 0x1p-53; }

Outcome run_reference(const ir::Module& module, const ir::Func& func, const Arrays& args,
                      const Arrays& globals, int64_t n, Random* random) {
  Arrays owned(func.values.size());
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
    const ir::Type& type = func.type(op.result);
    Array<double>& result = owned[at(op.result)];
    result = ir::evaluate<double>(op, type, operands, n);
    if (random) Perturbation(op, operands, n, *random).apply(result, type);
    values[at(op.result)] = &result;
  }
  Outcome out;
  for (ir::ValueId v : func.results) out.values.push_back(*values[at(v)]);
  for (Array<double>& g : next) out.values.push_back(std::move(g));
  SINTER_CHECK(out.values.size() == func.results.size() + module.globals.size(), "one value each");
  return out;
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
