#include "tools/sinter/fuzz/make_graph.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>

#include <fmt/format.h>

#include <sinter/error.h>

#include "compiler/pass_order.h"
#include "compiler/pipeline.h"

namespace sinter::fuzz {

namespace {

using ir::Expr;
using ir::OpKind;
using ir::Type;
using ir::ValueId;

std::vector<int64_t> all_axes(const Type& type) {
  std::vector<int64_t> axes(type.shape.size());
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

// ---- How it is compiled
// ---------------------------------------------------------------------------

// Processors whose code this machine can run, the one at hand as "".
std::vector<std::string> runnable_cpus() {
  std::vector<std::string> out{"", "x86-64-v2"};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) out.push_back("x86-64-v3");
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd")) {
    out.push_back("x86-64-v4");
  }
#else
  out = {""};
#endif
  return out;
}

// The pipeline with optional passes left out, and others run once more at places where the order of
// the required ones allows it.
std::vector<std::string> random_passes(Random& random) {
  std::vector<std::string> list;
  std::vector<std::string> optional;
  for (const compiler::Pass& pass : compiler::passes()) {
    if (!pass.required) optional.emplace_back(pass.name);
    if (pass.required || !random.chance(15)) list.emplace_back(pass.name);
  }
  const auto place_of = [&](std::string_view name) {
    return std::find(list.begin(), list.end(), name) - list.begin();
  };
  for (int64_t extras = random.pick(0, 2); extras > 0; --extras) {
    const std::string& name = random.of(optional);
    // After the last required pass that must precede it, before the first that must follow.
    int64_t first = 0, last = place_of("fuse");
    for (const compiler::PassOrder& order : compiler::pass_order()) {
      const auto required = [](std::string_view pass) {
        return compiler::find_pass(pass)->required;
      };
      if (order.after == name && required(order.before)) {
        first = std::max(first, place_of(order.before) + 1);
      }
      if (order.before == name && required(order.after)) {
        last = std::min(last, place_of(order.after));
      }
    }
    list.insert(list.begin() + static_cast<ptrdiff_t>(random.pick(first, last)), name);
  }
  return list;
}

// ---- The program
// ----------------------------------------------------------------------------------

class Training {
 public:
  Training(Trial& trial, uint64_t seed)
      : trial_(trial), forward_(seed, "forward"), rest_(seed, "rest") {}

  void make(const Extra& extra) {
    ir::Func& func = trial_.module.funcs.emplace_back();
    func.name = trial_.func = "step";
    const DType dtype = forward_.chance(70) ? DType::f32 : DType::f64;
    grown_.emplace(trial_.module, forward_, trial_.inputs, trial_.rows, trial_.options.max_batch,
                   dtype);
    const ir::Dim width{grown_->random_size()};
    grown_->argument({dtype, {ir::batch_dim, width}});
    if (forward_.chance(60)) grown_->parameter({dtype, {ir::Dim{grown_->random_size()}, width}});
    const int64_t ops = forward_.chance(15) ? forward_.pick(12, 24) : forward_.pick(1, 10);
    for (int64_t i = 0; i < ops; ++i) grown_->grow();
    const std::vector<int> uses = ir::use_counts(func);
    for (ValueId v : grown_->pool()) {
      const bool unused = uses[static_cast<size_t>(v.index)] == 0;
      if (unused && func[v].def == ir::ValueDef::op && func.type(v).dtype == dtype) {
        leaves_.push_back(v);
      }
    }
    std::vector<ValueId> ends;
    twin_ = static_cast<bool>(extra);
    if (extra) ends = extra(*grown_);
    finish(std::move(ends));
  }

 private:
  ir::Func& func() { return trial_.module.funcs[0]; }
  ir::Builder& b() { return grown_->builder(); }
  Expr expr(ValueId v) { return {b(), v}; }
  Expr number(double value) { return b().scalar(value, grown_->dtype()); }
  Expr square_sum(Expr x) { return sum(x * x, all_axes(x.type()), false); }
  Expr apply(OpKind kind, std::vector<Expr> operands) { return b().apply(kind, operands); }

  void finish(std::vector<ValueId> ends) {
    std::vector<ValueId> floats, others;
    for (ValueId v : grown_->pool()) {
      const bool op = func()[v].def == ir::ValueDef::op;
      if (func().type(v).dtype == grown_->dtype()) floats.push_back(v);
      if (op && func().type(v).dtype != grown_->dtype()) others.push_back(v);
    }
    for (int64_t more = rest_.pick(1, 3); more > 0; --more) {
      ends.push_back(rest_.of(leaves_.empty() || rest_.chance(10) ? floats : leaves_));
    }
    const Expr loss = make_loss(ends);
    std::vector<ValueId> results{loss.id()};
    train(loss, results);
    for (const std::vector<ValueId>* list : {&floats, &others}) {
      if (!list->empty() && rest_.chance(50)) results.push_back(rest_.of(*list));
      if (!list->empty() && rest_.chance(30)) results.push_back(list->back());
    }
    if (rest_.chance(10)) results.push_back(results[0]);
    func().results = results;
  }

  Expr make_loss(const std::vector<ValueId>& ends) {
    std::optional<Expr> loss;
    for (ValueId v : ends) {
      const Expr x = expr(v);
      Expr term = x;
      if (x.type().is_scalar()) {
        if (rest_.chance(30)) term = x * x;
      } else if (rest_.chance(50)) {
        term = square_sum(x) / b().extent(x.type().shape, x.type().dtype);
      } else if (rest_.chance(50)) {
        term = sum(x, all_axes(x.type()), false) * number(0.125);
      } else {
        const Expr target = grown_->value_of(x.type());
        term = apply(OpKind::mse_loss, {x, target});
      }
      loss = loss ? *loss + term : term;
    }
    return *loss;
  }

  // Whether the derivative exists: differentiate says so on a copy.
  bool has_gradient(Expr loss, ValueId x) {
    ir::Module copy = trial_.module;
    ir::Func& f = copy.funcs[0];
    ir::Builder builder(copy, f);
    f.results = {builder.create(OpKind::gradient, {loss.id(), x})};
    const compiler::Pass* const list[] = {compiler::find_pass("differentiate")};
    try {
      compiler::run_passes(copy, list, {});
    } catch (const Error&) {
      return false;
    }
    return true;
  }

  void train(Expr loss, std::vector<ValueId>& results) {
    // Not those that the optimizer makes for its state.
    const size_t parameters = trial_.module.globals.size();
    const Expr rate = expr(func().add_argument({grown_->dtype(), {}}, "rate"));
    for (size_t i = 0; i < parameters; ++i) {
      const ValueId w = trial_.module.global_value(func(), static_cast<int>(i));
      const Type type = func().type(w);
      if (type.dtype != grown_->dtype() || rest_.chance(10) || !has_gradient(loss, w)) continue;
      const Expr g = apply(OpKind::gradient, {loss, expr(w)});
      if (rest_.chance(12)) {  // a penalty on the gradient: what follows is of second order
        const Expr penalized = loss + square_sum(g) * number(0.01);
        if (has_gradient(penalized, w)) loss = penalized;
      }
      update(expr(w), g, rate);
    }
    // Gradients by inputs and by inner values. Twins have none of these: a gradient by an inner
    // value of what holds a gradient depends on what the derivative is written in.
    for (int64_t i = rest_.pick(0, 2); i > 0; --i) {
      const ValueId x = rest_.of(grown_->pool());
      if (twin_ && func()[x].def == ir::ValueDef::op) continue;
      if (!is_float(func().type(x).dtype) || !has_gradient(loss, x)) continue;
      results.push_back(apply(OpKind::gradient, {loss, expr(x)}).id());
    }
  }

  Expr state(const Type& type, const char* name) {
    const int global =
        trial_.module.add_global(fmt::format("{}{}", name, trial_.module.globals.size()), type);
    return b().global(global);
  }
  void assign(Expr to, Expr value) { b().create(OpKind::assign, {to.id(), value.id()}); }

  void update(Expr w, Expr g, Expr rate) {
    const Type type = w.type();
    if (rest_.chance(20)) g = g + w * number(0.01);  // weight decay
    if (rest_.chance(10)) g = g / (number(1) + square_sum(g));
    switch (rest_.pick(0, 5)) {
      case 0: {  // momentum
        const Expr v = state(type, "v");
        const Expr next = v * number(0.875) + g;
        assign(v, next);
        return assign(w, w - rate * next);
      }
      case 1: {  // as Adam, without its correction
        const Expr m = state(type, "m"), s = state(type, "s");
        const Expr m2 = number(0.9) * m + number(0.1) * g;
        const Expr s2 = number(0.99) * (s * s) + number(0.01) * (g * g);
        assign(m, m2);
        assign(s, s2);
        return assign(w, w - rate * (m2 / (sqrt(s2) + number(1e-3))));
      }
      case 2: {  // by the sign of the gradient
        const Expr zero = number(0);
        return assign(w, w - rate * select(less(zero, g), number(1),
                                           select(less(g, zero), number(-1), zero)));
      }
      case 3: {  // a running sum, used before it is updated
        const Expr s = state(type, "a");
        assign(w, w - rate * s);
        return assign(s, s + g * g);
      }
      default:
        return assign(w, w - rate * g);
    }
  }

  Trial& trial_;
  // The forward part has a stream of its own: twins of an equivalence share all but its middle.
  Random forward_, rest_;
  std::optional<Growth> grown_;
  std::vector<ValueId> leaves_;  // of the forward part: read by no op
  bool twin_ = false;            // one side of an equivalence
};

}  // namespace

Trial make_trial(uint64_t seed) { return make_trial(seed, {}); }

Trial make_trial(uint64_t seed, const Extra& extra) {
  static const std::vector<std::string> cpus = runnable_cpus();
  Random random(seed, "trial");
  Trial trial;
  const int64_t most = random.chance(20) ? random.pick(1, 4) : random.pick(5, 40);
  trial.options.max_batch = most;
  for (int i = 0; i < 3; ++i) trial.rows.push_back(random.pick(1, most));
  if (random.chance(30)) trial.rows[0] = most;
  trial.inputs.seed = seed;
  trial.inputs.integers = random.pick(2, 6);
  // On a grid many elements are equal, and where a program has a kink, laws hold on neither side.
  trial.inputs.grid = !extra && random.chance(25) ? 4 : 0;
  trial.options.threads = static_cast<int>(random.pick(1, 4));
  trial.options.oversubscribe = true;
  trial.options.cpu = random.of(cpus);
  if (random.chance(50)) trial.passes = random_passes(random);
  Training(trial, seed).make(extra);
  return trial;
}

}  // namespace sinter::fuzz
