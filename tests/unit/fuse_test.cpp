// Fusion and memory planning keep the meaning of a program: random programs that look like training
// steps are run as recorded, with the memory of the plan (updates in place, values at their offsets
// in one arena), and compiled.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "compiler/compile.h"
#include "compiler/forms/kernel.h"
#include "compiler/pipeline.h"
#include "ir/interpret.h"
#include "ir/op.h"
#include "ir/text/text.h"
#include "ir/verify.h"
#include "tests/unit/module_run.h"

namespace sinter::compiler {

namespace {

using namespace ir;

// ---- Random programs --------------------------------------------------------------------------

// A training step: a net of random parts on x [n, features], a loss, gradients and updates.
class RandomStep {
 public:
  // `large`: wide enough for kernels to run on several threads.
  RandomStep(uint64_t seed, DType dtype, bool large)
      : random_(seed), dtype_(dtype), large_(large) {}

  Module make() {
    module_.funcs.emplace_back().name = "step";
    const int64_t features = large_ ? pick(30, 60) : pick(1, 9);
    Func& func = module_.funcs[0];
    const Expr x = argument({batch_dim, features}, "x");
    const Expr rate = argument({}, "rate");
    Expr h = x;
    const int64_t layers = large_ ? pick(3, 5) : pick(1, 3);
    for (int64_t i = 0; i < layers; ++i) h = layer(h);
    const Expr loss = loss_of(h);
    func.results.push_back(loss.id());
    // Each parameter takes one of several kinds of update.
    for (const ValueId weight : weights_) update(Expr(builder(), weight), loss, rate);
    scalar_state(rate);
    if (chance(3)) func.results.push_back(h.id());
    if (chance(4)) func.results.push_back(weights_[0]);
    if (chance(4)) func.results.push_back(loss.id());
    if (chance(4)) func.results.push_back(func.args[0]);
    // A value made from a parameter that has its update already.
    if (chance(2)) {
      const Expr w(builder(), weights_[index(weights_.size())]);
      func.results.push_back(sum(w * w, all_axes(w), false).id());
    }
    return std::move(module_);
  }

 private:
  int64_t pick(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }
  bool chance(int64_t one_in) { return pick(1, one_in) == 1; }
  size_t index(size_t count) { return static_cast<size_t>(pick(0, int64_t(count) - 1)); }
  // One Builder for all: Func lives in the module, which does not move.
  Builder& builder() {
    if (!builder_) builder_.emplace(module_, module_.funcs[0]);
    return *builder_;
  }
  Expr argument(Shape shape, const std::string& name) {
    return {builder(), module_.funcs[0].add_argument({dtype_, std::move(shape)}, name)};
  }
  Expr state(Shape shape, const std::string& name) {
    const int global = module_.add_global(fmt::format("{}{}", name, module_.globals.size()),
                                          {dtype_, std::move(shape)});
    return {builder(), module_.global_value(module_.funcs[0], global)};
  }
  Expr parameter(Shape shape) {
    const Expr p = state(std::move(shape), "w");
    weights_.push_back(p.id());
    return p;
  }
  static std::vector<int64_t> all_axes(Expr x) {
    std::vector<int64_t> axes;
    for (int i = 0; i < x.type().rank(); ++i) axes.push_back(i);
    return axes;
  }
  Expr apply(OpKind kind, const std::vector<Expr>& x, Attrs attrs = {}) {
    return builder().apply(kind, x, std::move(attrs));
  }

  // [n, a] to [n, b].
  Expr layer(Expr h) {
    const Dim width = h.type().shape[1];
    switch (pick(0, 12)) {
      case 0: {  // two layers with one weight
        const Expr w = parameter({width, width}), b = parameter({width});
        h = apply(OpKind::tanh, {apply(OpKind::linear, {h, w, b})});
        return apply(OpKind::linear, {h, w, b});
      }
      case 1:
        return apply(OpKind::softmax, {h}, {{"axis", int64_t{1}}});
      case 2:
        return h - sum(h, {1}, true) / static_cast<double>(width.scale);
      case 3: {  // centred over the batch
        const Expr mean = sum(h, {0}, true) / builder().extent({batch_dim}, dtype_);
        return h - mean;
      }
      case 4: {
        const Expr scale = parameter({width});
        return h * scale + parameter({Dim{1}, width});
      }
      case 5: {  // gated by a comparison
        const Expr zero = builder().scalar(0, dtype_);
        return select(less(h, zero), h * parameter({}), h);
      }
      case 6: {  // a view of three axes and back
        const Expr wide = reshape(h, {batch_dim, Dim{1}, width});
        const Expr mixed = wide * parameter({Dim{2}, width});
        return sum(mixed, {1}, false);
      }
      case 7: {  // transposed and back
        const Expr t = transpose(h, {1, 0});
        const Expr scaled = t * parameter({width, Dim{1}});
        return transpose(scaled, {1, 0}) + h;
      }
      case 8: {  // columns in another order of memory
        const Expr t = transpose(exp(h * 0.1), {1, 0});
        const Expr wide = reshape(t, {width, Dim{1}, batch_dim});
        return transpose(reshape(wide, {width, batch_dim}), {1, 0});
      }
      case 9: {  // rows of a table, chosen by what h looks like
        const Expr rows = argmax(h, 1);
        return h + apply(OpKind::gather, {parameter({width, width}), rows});
      }
      case 10: {
        const Expr most = ir::max(h, 1, true);
        return h / (1.0 + most * most);
      }
      default: {
        const Dim out{large_ || chance(3) ? pick(30, 40) : pick(1, 12)};
        const Expr w = parameter({out, width}), b = parameter({out});
        h = apply(OpKind::linear, {h, w, b});
        return chance(2) ? apply(OpKind::relu, {h}) : apply(OpKind::tanh, {h});
      }
    }
  }

  Expr loss_of(Expr h) {
    if (weights_.empty()) h = h * parameter({});
    switch (pick(0, 3)) {
      case 0: {
        const Expr target = argument(h.type().shape, "y");
        return apply(OpKind::mse_loss, {h, target});
      }
      case 1: {
        Expr labels = argmax(argument(h.type().shape, "y"), 1);
        return apply(OpKind::cross_entropy, {h, labels});
      }
      case 2:
        return sum(h * h, {0, 1}, false) / builder().extent({batch_dim}, dtype_);
      default: {
        const Expr logs = apply(OpKind::log_softmax, {h}, {{"axis", int64_t{1}}});
        return sum(logs * argument(h.type().shape, "y"), {0, 1}, false) * 0.01;
      }
    }
  }

  void assign(Expr to, Expr value) { builder().create(OpKind::assign, {to.id(), value.id()}); }

  void update(Expr w, Expr loss, Expr rate) {
    const Expr g = apply(OpKind::gradient, {loss, w});
    switch (pick(0, 4)) {
      case 0:
        return;  // frozen
      case 1: {  // momentum
        const Expr v = state(w.type().shape, "v");
        const Expr next = v * 0.9 + g;
        assign(v, next);
        return assign(w, w - rate * next);
      }
      case 2: {  // moments as in Adam
        const Expr m = state(w.type().shape, "m"), v = state(w.type().shape, "s");
        const Expr m2 = 0.9 * m + 0.1 * g, v2 = 0.99 * v + 0.01 * (g * g);
        assign(m, m2);
        assign(v, v2);
        return assign(w, w - rate * m2 / (sqrt(sqrt(v2 * v2)) + 1e-3));
      }
      case 3: {  // scaled by the length of the gradient
        const Expr length = sum(g * g, all_axes(g), false);
        return assign(w, w - rate * g / (1.0 + length));
      }
      default:
        return assign(w, w - rate * g);
    }
  }

  // Scalars that read each other, as in a pair of coupled recurrences.
  void scalar_state(Expr rate) {
    if (chance(2)) {
      const Expr a = state({}, "a"), b = state({}, "b");
      assign(a, a + rate * b);
      assign(b, b - rate * a);
    }
    if (chance(4)) {
      const Expr p = state({Dim{3}, Dim{4}}, "p"), q = state({Dim{3}, Dim{4}}, "q");
      assign(p, q);
      assign(q, p);
    }
    if (chance(4)) {
      const Expr p = state({Dim{5}, Dim{5}}, "p");
      assign(p, transpose(p, {1, 0}));
    }
    if (chance(4)) {  // a row that is read again after its first sum
      const Expr p = state({Dim{3}, Dim{pick(2, 90)}}, "p");
      const Expr next = p * 0.5;
      assign(p, next);
      const Expr shares = apply(OpKind::softmax, {next}, {{"axis", int64_t{1}}});
      module_.funcs[0].results.push_back(shares.id());
    }
  }

  std::mt19937_64 random_;
  DType dtype_;
  bool large_;
  Module module_;
  std::optional<Builder> builder_;
  std::vector<ValueId> weights_;
};

// ---- Execution with the memory of the plan ----------------------------------------------------

// Runs a planned function kernel by kernel: outputs go to their bytes in the arena, updates to the
// globals at once. The bytes hold marks of the value that wrote them, so that whoever overwrites
// them too early is found out, and the numbers lie beside them in full precision.
class PlannedRun {
 public:
  PlannedRun(const Module& module, Inputs inputs, int64_t n)
      : module_(module),
        func_(module.funcs[0]),
        in_(std::move(inputs)),
        n_(n),
        defs_(definitions(func_)),
        arena_(static_cast<size_t>(func_.arena_bytes) + 8, 0xFF) {}

  // `backwards`: between two barriers, parallel kernels run first and in reverse, but for those
  // that go by parts of rows: they keep their order, as each thread keeps to rows of its own.
  // Threads may do so: some of them pass by the serial kernels, and by parallel ones with little to
  // do.
  void run(bool backwards) {
    std::vector<const Op*> region;
    for (const Op& op : func_.body) {
      if (op.kind == OpKind::kernel) region.push_back(&op);
      if (op.kind == OpKind::barrier) run_region(region, backwards);
    }
    run_region(region, backwards);
  }

  Values results() {
    Values out;
    for (ValueId v : func_.results) out.push_back(load(v));
    return out;
  }
  const Values& globals() const { return in_.globals; }

 private:
  // Serial kernels keep their order, as one thread runs them.
  void run_region(std::vector<const Op*>& region, bool backwards) {
    const auto parallel = [](const Op* op) { return op->attrs.flag("parallel"); };
    if (backwards) {
      std::vector<const Op*> order;
      const auto by_parts = [](const Op* op) { return op->attrs.integer("parts") > 1; };
      for (size_t i = region.size(); i-- > 0;) {
        if (parallel(region[i]) && !by_parts(region[i])) order.push_back(region[i]);
      }
      for (const Op* op : region) {
        if (parallel(op) && by_parts(op)) order.push_back(op);
      }
      for (const Op* op : region) {
        if (!parallel(op)) order.push_back(op);
      }
      region = order;
    }
    for (const Op* kernel : region) run_kernel(*kernel);
    region.clear();
  }

  void run_kernel(const Op& kernel) {
    std::map<ValueId, Array<double>> local;
    std::vector<std::pair<size_t, Array<double>>> updates;
    const auto read = [&](ValueId v) {
      const auto it = local.find(v);
      return it != local.end() ? it->second : load(v);
    };
    for (const Op& op : kernel.body) {
      if (op.kind == OpKind::assign) {
        updates.emplace_back(static_cast<size_t>(func_[op.operands[0]].index),
                             read(op.operands[1]));
        continue;
      }
      Values operands;
      std::vector<const Array<double>*> pointers;
      for (ValueId v : op.operands) operands.push_back(read(v));
      for (const Array<double>& a : operands) pointers.push_back(&a);
      local[op.result] = evaluate<double>(op, func_.type(op.result), pointers, n_);
    }
    for (ValueId v : kernel.outputs) store(v, local.at(v));
    for (auto& [global, value] : updates) in_.globals[global] = std::move(value);
  }

  Array<double> load(ValueId v) {
    const ValueInfo& info = func_[v];
    if (info.def == ValueDef::argument) return in_.args[static_cast<size_t>(info.index)];
    if (info.def == ValueDef::global) return in_.globals[static_cast<size_t>(info.index)];
    if (const auto it = results_.find(v); it != results_.end()) return it->second;
    const Op* op = defs_[static_cast<size_t>(v.index)];
    if (!info.storage) {
      // A view at the top level; anything else without memory is a bug.
      if (!op || !def(*op).is(Trait::view)) throw Error("a read of what is not stored").help("");
      const Array<double> from = load(op->operands[0]);
      return evaluate<double>(*op, info.type, {&from}, n_);
    }
    Array<double> out(info.type.dtype, info.type.dims(n_));
    const unsigned char* at = &arena_[static_cast<size_t>(info.storage->offset)];
    const size_t size = dtype_size(info.type.dtype);
    const auto found = kept_.find(v);
    if (found == kept_.end()) throw Error("a read before the write").help("");
    for (size_t i = 0; i < out.size(); ++i) {
      unsigned char mark[8];
      mark_of(v, i, mark);
      if (std::memcmp(at + i * size, mark, size) != 0) {
        throw Error("value {} is overwritten while alive, or was not written", v.index).help("");
      }
    }
    return found->second;
  }

  void store(ValueId v, const Array<double>& value) {
    const ValueInfo& info = func_[v];
    if (!info.storage) {
      results_[v] = value;
      return;
    }
    if (info.storage->offset % 64 != 0) throw Error("an unaligned offset").help("");
    const size_t size = dtype_size(info.type.dtype);
    for (size_t i = 0; i < value.size(); ++i) {
      unsigned char mark[8];
      mark_of(v, i, mark);
      std::memcpy(&arena_.at(static_cast<size_t>(info.storage->offset) + i * size), mark, size);
    }
    kept_[v] = value;
  }

  // Bytes that only element i of v leaves (up to chance for one-byte elements).
  static void mark_of(ValueId v, size_t i, unsigned char* out) {
    const uint64_t mark =
        (uint64_t(v.index) * 0x9E3779B97F4A7C15u) ^ ((uint64_t(i) + 1) * 0xD1B54A32D192ED03u);
    std::memcpy(out, &mark, 8);
  }

  const Module& module_;
  const Func& func_;
  Inputs in_;
  int64_t n_;
  std::vector<const Op*> defs_;
  std::vector<unsigned char> arena_;
  std::map<ValueId, Array<double>> kept_, results_;
};

// ---- Comparison -------------------------------------------------------------------------------

struct Seen {
  int parallel = 0, batch_in_lanes = 0;  // kernels
};

// One random program, with every kind of execution, for these numbers of rows.
void check_program(uint64_t seed, bool large, std::initializer_list<int64_t> rows, Seen& seen,
                   bool batch_in_lanes) {
  const DType dtype = seed % 4 == 0 ? DType::f64 : DType::f32;
  const Module recorded = RandomStep(seed, dtype, large).make();
  INFO("seed " << seed << "\n" << print(recorded));
  ir::verify(recorded);
  Options options{.max_batch = std::max(rows), .threads = seed % 2 ? 1 : 3, .oversubscribe = true};
  // Every third program goes without the optional passes: fusion has to take what comes.
  if (seed % 3 == 0) options.off = {"simplify", "cse"};
  if (!batch_in_lanes) options.off.push_back("fuse_batch");
  Module planned = recorded;
  REQUIRE_NOTHROW(run_pipeline(planned, options));
  INFO("planned:\n" << print(planned));
  for_each_op(planned.funcs[0].body, [&](const Op& op) {
    if (op.kind != OpKind::kernel) return;
    seen.parallel += op.attrs.flag("parallel") ? 1 : 0;
    seen.batch_in_lanes += op.attrs.text("lanes") == "batch" ? 1 : 0;
  });
  const auto executable = make_native(planned, "step", options);
  for (int64_t n : rows) {
    INFO("n = " << n);
    const Inputs in = inputs_for(recorded, n, seed * 100 + static_cast<uint64_t>(n));
    const Run want = interpret_as_recorded(recorded, in, n);
    for (bool backwards : {false, true}) {
      PlannedRun run(planned, in, n);
      REQUIRE_NOTHROW(run.run(backwards));
      REQUIRE(difference({run.results(), run.globals()}, want, 1e-9) == "");
    }
    const Run got = run_compiled(*executable, planned.funcs[0], planned.globals, in, n);
    REQUIRE(difference(got, want, dtype == DType::f64 ? 1e-9 : 3e-4) == "");
  }
}

}  // namespace

TEST_CASE("random steps keep their meaning through fusion, planning and code generation") {
  for (const bool batch_in_lanes : {true, false}) {
    Seen seen;
    for (uint64_t seed = 1; seed <= 150; ++seed) {
      check_program(seed, false, {1, 2 + static_cast<int64_t>(seed % 6), 9}, seen, batch_in_lanes);
    }
    CHECK(seen.parallel == 0);
    CHECK((seen.batch_in_lanes > 10) == batch_in_lanes);
  }
}

TEST_CASE("random steps keep their meaning on several threads") {
  Seen seen;
  for (uint64_t seed = 1000; seed < 1024; ++seed) {
    check_program(seed, true, {1, 67, 160}, seen, true);
  }
  CHECK(seen.parallel > 50);
}

}  // namespace sinter::compiler
