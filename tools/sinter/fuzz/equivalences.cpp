#include "tools/sinter/fuzz/equivalences.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <sinter/error.h>

#include "tools/sinter/fuzz/laws.h"
#include "tools/sinter/fuzz/make_graph.h"
#include "tools/sinter/fuzz/reference.h"

namespace sinter::fuzz {

namespace {

struct DoesNotFit {};

std::optional<Trial> make_side(uint64_t seed, const Law& law, bool left) {
  const auto middle = [&](Growth& g) -> std::vector<ir::ValueId> {
    const std::optional<Operands> operands = law.pick(g);
    if (!operands || !g.settle()) throw DoesNotFit();
    const size_t mark = g.pool().size();
    ir::Expr side = (left ? law.left : law.right)(*operands);
    // A side that is an operand becomes a value of its own, as the other side is: a gradient by the
    // operand would take in what else reads it.
    const auto is_side = [&](const ir::Expr& x) { return x.id() == side.id(); };
    if (std::any_of(operands->begin(), operands->end(), is_side)) {
      side = side.builder().apply(ir::OpKind::reshape, {side}, {}, side.type());
    }
    const ir::ValueId result = side.id();
    if (!g.settle()) throw DoesNotFit();
    g.forget_since(mark, result);
    return {result};
  };
  try {
    return make_trial(seed, middle);
  } catch (const DoesNotFit&) {
    return std::nullopt;
  } catch (const Error&) {  // a type rule: the operands do not go together
    return std::nullopt;
  }
}

}  // namespace

std::vector<std::string_view> laws() {
  std::vector<std::string_view> out;
  for (const Law& law : all_laws()) out.push_back(law.name);
  return out;
}

std::optional<Twins> make_twins(uint64_t seed) {
  Random random(seed, "law");
  const Law& law = all_laws()[random.index(all_laws().size())];
  std::optional<Trial> left = make_side(seed, law, true);
  if (!left) return std::nullopt;
  std::optional<Trial> right = make_side(seed, law, false);
  if (!right) return std::nullopt;
  return Twins{law.name, std::move(*left), std::move(*right)};
}

Verdict judge_twins(const Twins& twins) {
  const auto side = [&](const Trial& trial, std::string_view name) {
    Verdict v = judge(trial);
    if (is_failure(v.kind)) v.message = fmt::format("{} of {}: {}", name, twins.law, v.message);
    return v;
  };
  Verdict verdict = side(twins.left, "left");
  if (verdict.kind != Kind::good) return verdict;
  const Verdict other = side(twins.right, "right");
  if (other.kind != Kind::good) return other;
  verdict.elements += other.elements;
  verdict.tight += other.tight;

  const FirstStep left(twins.left), right(twins.right);
  const Outcome a = left.run(), b = right.run();
  Bound near_a(a), near_b(b);
  constexpr int kRuns = 5;
  Random random(twins.left.inputs.seed, "twins");
  try {
    for (int i = 0; i < kRuns; ++i) {
      near_a.widen(left.run_perturbed(a, random));
      near_b.widen(right.run_perturbed(b, random));
    }
  } catch (const Error&) {
    return verdict;
  }
  const auto differ = [&](std::string text) {
    return Verdict{Kind::differs, fmt::format("the sides of {} differ: {}", twins.law, text)};
  };
  if (a.values.size() != b.values.size()) return differ("in how many values there are");
  for (size_t k = 0; k < a.values.size(); ++k) {
    const ir::Array<double>&x = a.values[k], &y = b.values[k];
    if (x.dims != y.dims || x.dtype != y.dtype) return differ(fmt::format("in the type of {}", k));
    for (size_t i = 0; i < x.size(); ++i) {
      const double allowed = near_a.tolerance(k, i) + near_b.tolerance(k, i);
      if (std::isinf(allowed)) continue;
      const double p = x.floats() ? x.f[i] : static_cast<double>(x.i[i]);
      const double q = y.floats() ? y.f[i] : static_cast<double>(y.i[i]);
      if (p == q || (std::isnan(p) && std::isnan(q)) || std::abs(p - q) <= allowed) continue;
      return differ(fmt::format("value {} at element {} is {} and {}, rounding allows {:.2e}", k, i,
                                p, q, allowed));
    }
  }
  return verdict;
}

}  // namespace sinter::fuzz
