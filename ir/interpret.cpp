#include "ir/interpret.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

#include <fmt/format.h>

#include "ir/op.h"

namespace sinter::ir {

namespace {

// Elements that a scalar program works on at a time: its nodes run one after the other over a block
// that stays in the first-level cache, so that every loop is tight.
constexpr size_t kBlock = 256;

int64_t quotient(int64_t a, int64_t b) {
  if (b == 0) return 0;
  // The smallest integer divided by -1 is the one quotient that overflows.
  return b == -1 ? static_cast<int64_t>(0 - static_cast<uint64_t>(a)) : a / b;
}

int64_t integer_op(Prim prim, int64_t a, int64_t b, DType dtype) {
  const auto x = static_cast<uint64_t>(a), y = static_cast<uint64_t>(b);
  switch (prim) {
    case Prim::add:
      return wrapped(x + y, dtype);
    case Prim::sub:
      return wrapped(x - y, dtype);
    case Prim::mul:
      return wrapped(x * y, dtype);
    case Prim::div:
      return wrapped(static_cast<uint64_t>(quotient(a, b)), dtype);
    case Prim::neg:
      return wrapped(0 - x, dtype);
    case Prim::bit_and:
      return static_cast<int64_t>(x & y);
    case Prim::bit_xor:
      return static_cast<int64_t>(x ^ y);
    case Prim::shift_right:
      return y < 64 ? static_cast<int64_t>(x >> y) : 0;
    default:
      SINTER_CHECK(false, "no integer primitive {}", static_cast<int>(prim));
  }
}

// Truncates towards zero; what does not fit becomes the nearest that does, and NaN 0.
template <class T>
int64_t to_integer(T from, DType dtype) {
  const auto value = static_cast<double>(from);
  if (std::isnan(value)) return 0;
  const bool narrow = dtype == DType::i32;
  // Both ends as doubles: the upper one is the first number that does not fit.
  const double low = narrow ? -0x1p31 : -0x1p63, end = narrow ? 0x1p31 : 0x1p63;
  if (value <= low)
    return narrow ? std::numeric_limits<int32_t>::min() : std::numeric_limits<int64_t>::min();
  if (value >= end)
    return narrow ? std::numeric_limits<int32_t>::max() : std::numeric_limits<int64_t>::max();
  return static_cast<int64_t>(value);
}

// An f32 constant has an f32 value whatever the interpreter computes in.
template <class T>
T constant_of(const ScalarNode& node) {
  return T(node.dtype == DType::f32 ? static_cast<float>(node.real) : node.real);
}

// Reads the elements of an operand in the order of the result that it is broadcast to.
template <class T>
class BroadcastReader {
 public:
  BroadcastReader(const Array<T>& from, const std::vector<int64_t>& to) : from_(from), to_(to) {
    const size_t extra = to.size() - from.dims.size();
    step_.assign(to.size(), 0);
    int64_t stride = 1;
    for (size_t d = from.dims.size(); d-- > 0;) {
      if (from.dims[d] != 1) step_[d + extra] = stride;
      stride *= from.dims[d];
    }
    contiguous_ = from.dims == to;
    at_.assign(to.size(), 0);
  }

  bool repeats_one() const { return from_.size() == 1; }

  // The next `count` elements, into `out`.
  template <class U>
  void read(const std::vector<U>& values, U* out, size_t count) {
    if (contiguous_ || repeats_one()) {
      const size_t move = contiguous_ ? 1 : 0;
      for (size_t i = 0; i < count; ++i) out[i] = values[next_ + i * move];
      next_ += count * move;
      return;
    }
    for (size_t i = 0; i < count; ++i) {
      out[i] = values[next_];
      advance();
    }
  }

 private:
  void advance() {
    for (size_t d = to_.size(); d-- > 0;) {
      next_ += static_cast<size_t>(step_[d]);
      if (++at_[d] < to_[d]) return;
      next_ -= static_cast<size_t>(step_[d] * to_[d]);
      at_[d] = 0;
    }
  }

  const Array<T>& from_;
  const std::vector<int64_t>& to_;
  std::vector<int64_t> step_, at_;
  bool contiguous_ = false;
  size_t next_ = 0;
};

// Runs the scalar program of one op over all elements of its result.
template <class T>
class ScalarRun {
 public:
  ScalarRun(const ScalarProgram& program, const std::vector<const Array<T>*>& operands,
            Array<T>& result, int64_t n)
      : nodes_(program.nodes),
        operands_(operands),
        result_(result),
        n_(n),
        floats_(nodes_.size()),
        integers_(nodes_.size()) {
    for (const Array<T>* x : operands) readers_.emplace_back(*x, result.dims);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const size_t most = std::min(kBlock, result.size());
      is_float(nodes_[i].dtype) ? floats_[i].resize(most) : integers_[i].resize(most);
    }
    result_node_ = static_cast<size_t>(program.result);
  }

  void run() {
    const size_t total = result_.size();
    for (first_ = 0; first_ < total; first_ += kBlock) {
      count_ = std::min(kBlock, total - first_);
      for (size_t i = 0; i < nodes_.size(); ++i) {
        // The same in every block; the first one is the longest.
        if (first_ > 0 && is_fixed(nodes_[i])) continue;
        is_float(nodes_[i].dtype) ? float_node(nodes_[i], floats_[i].data())
                                  : integer_node(nodes_[i], integers_[i].data());
      }
      const auto to = static_cast<ptrdiff_t>(first_);
      if (result_.floats()) {
        std::copy_n(floats_[result_node_].begin(), count_, result_.f.begin() + to);
      } else {
        std::copy_n(integers_[result_node_].begin(), count_, result_.i.begin() + to);
      }
    }
  }

 private:
  bool is_fixed(const ScalarNode& node) const {
    if (node.prim == Prim::operand) return readers_[static_cast<size_t>(node.index)].repeats_one();
    return node.prim == Prim::constant || node.prim == Prim::rows;
  }
  const T* f(int node) const { return floats_[static_cast<size_t>(node)].data(); }
  const int64_t* i(int node) const { return integers_[static_cast<size_t>(node)].data(); }
  bool on_floats(int node) const { return is_float(nodes_[static_cast<size_t>(node)].dtype); }

  template <class U, class F>
  void fill(U* out, F value) {
    for (size_t k = 0; k < count_; ++k) out[k] = value(k);
  }

  void float_node(const ScalarNode& node, T* out) {
    using std::exp, std::log, std::log1p, std::sqrt, std::tanh;
    using std::sin, std::cos, std::erf, std::pow, std::floor, std::rint;
    const T *a = node.a >= 0 ? f(node.a) : nullptr, *b = node.b >= 0 ? f(node.b) : nullptr;
    switch (node.prim) {
      case Prim::operand: {
        const auto at = static_cast<size_t>(node.index);
        readers_[at].read(operands_[at]->f, out, count_);
        return;
      }
      case Prim::constant:
        return fill(out, [&](size_t) { return constant_of<T>(node); });
      case Prim::add:
        return fill(out, [&](size_t k) { return a[k] + b[k]; });
      case Prim::sub:
        return fill(out, [&](size_t k) { return a[k] - b[k]; });
      case Prim::mul:
        return fill(out, [&](size_t k) { return a[k] * b[k]; });
      case Prim::div:
        return fill(out, [&](size_t k) { return a[k] / b[k]; });
      case Prim::neg:
        return fill(out, [&](size_t k) { return -a[k]; });
      case Prim::exp:
        return fill(out, [&](size_t k) { return exp(a[k]); });
      case Prim::log:
        return fill(out, [&](size_t k) { return log(a[k]); });
      case Prim::sqrt:
        return fill(out, [&](size_t k) { return sqrt(a[k]); });
      case Prim::tanh:
        return fill(out, [&](size_t k) { return tanh(a[k]); });
      case Prim::log1p:
        return fill(out, [&](size_t k) { return log1p(a[k]); });
      case Prim::sin:
        return fill(out, [&](size_t k) { return sin(a[k]); });
      case Prim::cos:
        return fill(out, [&](size_t k) { return cos(a[k]); });
      case Prim::erf:
        return fill(out, [&](size_t k) { return erf(a[k]); });
      case Prim::pow:
        return fill(out, [&](size_t k) { return pow(a[k], b[k]); });
      case Prim::floor:
        return fill(out, [&](size_t k) { return floor(a[k]); });
      // In the default rounding mode halves go to the even one.
      case Prim::round:
        return fill(out, [&](size_t k) { return rint(a[k]); });
      case Prim::select: {
        const int64_t* condition = i(node.a);
        const T *yes = f(node.b), *no = f(node.c);
        return fill(out, [&](size_t k) { return condition[k] ? yes[k] : no[k]; });
      }
      case Prim::cast: {
        if (on_floats(node.a)) return fill(out, [&](size_t k) { return a[k]; });
        const int64_t* from = i(node.a);
        return fill(out, [&](size_t k) { return T(static_cast<Real>(from[k])); });
      }
      default:
        SINTER_CHECK(false, "no float primitive {}", static_cast<int>(node.prim));
    }
  }

  void integer_node(const ScalarNode& node, int64_t* out) {
    switch (node.prim) {
      case Prim::operand: {
        const auto at = static_cast<size_t>(node.index);
        readers_[at].read(operands_[at]->i, out, count_);
        return;
      }
      case Prim::constant:
        return fill(out, [&](size_t) { return node.integer; });
      case Prim::rows:
        return fill(out, [&](size_t) { return n_; });
      case Prim::linear_index:
        return fill(out, [&](size_t k) { return static_cast<int64_t>(first_ + k); });
      case Prim::index:
        return index_node(static_cast<size_t>(node.index), out);
      case Prim::equal:
        return compare(node, out, [](const auto& p, const auto& q) { return p == q; });
      case Prim::less:
        return compare(node, out, [](const auto& p, const auto& q) { return p < q; });
      case Prim::less_equal:
        return compare(node, out, [](const auto& p, const auto& q) { return p <= q; });
      case Prim::select: {
        const int64_t *condition = i(node.a), *yes = i(node.b), *no = i(node.c);
        return fill(out, [&](size_t k) { return condition[k] ? yes[k] : no[k]; });
      }
      case Prim::cast:
        return cast_node(node, out);
      default: {
        const int64_t *a = i(node.a), *b = node.b >= 0 ? i(node.b) : a;
        return fill(out, [&](size_t k) { return integer_op(node.prim, a[k], b[k], node.dtype); });
      }
    }
  }

  void index_node(size_t axis, int64_t* out) {
    size_t stride = 1;
    for (size_t d = axis + 1; d < result_.dims.size(); ++d) {
      stride *= static_cast<size_t>(result_.dims[d]);
    }
    const auto size = static_cast<size_t>(result_.dims[axis]);
    fill(out, [&](size_t k) { return static_cast<int64_t>((first_ + k) / stride % size); });
  }

  template <class F>
  void compare(const ScalarNode& node, int64_t* out, F holds) {
    const bool floats = on_floats(node.a);
    if (floats) {
      const T *a = f(node.a), *b = f(node.b);
      return fill(out, [&](size_t k) { return int64_t{holds(a[k], b[k])}; });
    }
    const int64_t *a = i(node.a), *b = i(node.b);
    fill(out, [&](size_t k) { return int64_t{holds(a[k], b[k])}; });
  }

  void cast_node(const ScalarNode& node, int64_t* out) {
    const bool floats = on_floats(node.a), to_bool = node.dtype == DType::boolean;
    if (floats) {
      const T* from = f(node.a);
      if (to_bool) return fill(out, [&](size_t k) { return int64_t{from[k] != T(0)}; });
      return fill(out, [&](size_t k) { return to_integer(from[k], node.dtype); });
    }
    const int64_t* from = i(node.a);
    if (to_bool) return fill(out, [&](size_t k) { return int64_t{from[k] != 0}; });
    fill(out, [&](size_t k) { return wrapped(static_cast<uint64_t>(from[k]), node.dtype); });
  }

  // What an integer becomes first: straight to float, so that f32 rounds once.
  using Real = std::conditional_t<std::is_same_v<T, float>, float, double>;

  const std::vector<ScalarNode>& nodes_;
  const std::vector<const Array<T>*>& operands_;
  Array<T>& result_;
  int64_t n_;
  std::vector<BroadcastReader<T>> readers_;
  std::vector<std::vector<T>> floats_;  // by node
  std::vector<std::vector<int64_t>> integers_;
  size_t result_node_ = 0, first_ = 0, count_ = 0;
};

Type type_of(DType dtype, const std::vector<int64_t>& dims) {
  Type out{dtype, {}};
  for (int64_t d : dims) out.shape.emplace_back(d);
  return out;
}

// A composite means what it lowers to: lowers it into a function of its own, for exactly these
// sizes, and runs that.
template <class T>
Array<T> evaluate_composite(const Op& op, const std::vector<const Array<T>*>& operands, int64_t n) {
  Module scratch;
  Func& func = scratch.funcs.emplace_back();
  func.name = def(op).name;
  Op local = op;
  std::vector<Array<T>> args, no_globals;
  for (size_t i = 0; i < operands.size(); ++i) {
    local.operands[i] = func.add_argument(type_of(operands[i]->dtype, operands[i]->dims), "");
    args.push_back(*operands[i]);
  }
  Builder b(scratch, func);
  b.set_loc(op.loc);
  const ValueId result = def(op).expand(b, local).id();
  func.results = {result};
  return std::move(interpret<T>(scratch, func, args, no_globals, n)[0]);
}

template <class T>
void check_fits(const Array<T>& value, const Type& type, int64_t n, const std::string& name) {
  const std::vector<int64_t> dims = type.dims(n);
  const size_t stored = value.floats() ? value.f.size() : value.i.size();
  if (value.dtype == type.dtype && value.dims == dims && stored == value.size()) return;
  throw Error(fmt::format("{} is {} but must be {}", name,
                          to_string(type_of(value.dtype, value.dims)),
                          to_string(type_of(type.dtype, dims))))
      .help(fmt::format("its type is {}, here with n = {}", to_string(type), n));
}

// One call of a function.
template <class T>
class Call {
 public:
  Call(const Module& module, const Func& func, const std::vector<Array<T>>& args,
       std::vector<Array<T>>& globals, int64_t n)
      : func_(func),
        globals_(globals),
        n_(n),
        owned_(func.values.size()),
        values_(func.values.size(), nullptr),
        reads_left_(use_counts(func)) {
    if (n < 1) throw Error(fmt::format("{} rows", n)).help("run on at least one row");
    if (args.size() != func.args.size() || globals.size() != module.globals.size()) {
      throw Error(fmt::format("{} takes {} arguments and {} globals but got {} and {}", func.name,
                              func.args.size(), module.globals.size(), args.size(), globals.size()))
          .help("pass one array for each, in order");
    }
    for (size_t i = 0; i < args.size(); ++i) {
      const ValueInfo& info = func[func.args[i]];
      check_fits(args[i], info.type, n,
                 info.name.empty() ? fmt::format("argument {}", i) : info.name);
      values_[at(func.args[i])] = &args[i];
    }
    for (size_t i = 0; i < globals.size(); ++i) {
      check_fits(globals[i], module.globals[i].type, n, module.globals[i].name);
      if (i < func.global_values.size() && func.global_values[i].valid()) {
        values_[at(func.global_values[i])] = &globals[i];
      }
    }
  }

  std::vector<Array<T>> run() {
    run_ops(func_.body);
    std::vector<Array<T>> results;
    for (ValueId v : func_.results) results.push_back(value(v));
    // Only now: until here a global has the value it had on entry.
    for (auto& [global, next] : assigned_) globals_[global] = std::move(next);
    return results;
  }

 private:
  static size_t at(ValueId v) { return static_cast<size_t>(v.index); }

  const Array<T>& value(ValueId v) const {
    SINTER_CHECK(values_[at(v)] != nullptr, "value {} of {} is read before it is computed", v.index,
                 func_.name);
    return *values_[at(v)];
  }

  void run_ops(const std::vector<Op>& ops) {
    for (const Op& op : ops) run_op(op);
  }

  void run_op(const Op& op) {
    switch (op.kind) {
      case OpKind::kernel:
        return run_ops(op.body);
      case OpKind::barrier:
        return;
      case OpKind::assign: {
        const ValueInfo& target = func_[op.operands[0]];
        SINTER_CHECK(target.def == ValueDef::global, "assign to what is not a global");
        assigned_.emplace_back(static_cast<size_t>(target.index), value(op.operands[1]));
        return;
      }
      default:
        break;
    }
    std::vector<const Array<T>*> operands;
    for (ValueId v : op.operands) operands.push_back(&value(v));
    Array<T>& result = owned_[at(op.result)];
    try {
      result = evaluate<T>(op, func_.type(op.result), operands, n_);
    } catch (Error& e) {
      if (op.loc.known() && !e.loc()) e.at(op.loc.source());
      throw;
    }
    values_[at(op.result)] = &result;
    for (ValueId v : op.operands) release(v);
  }

  // Gives the memory back after the last read.
  void release(ValueId v) {
    if (--reads_left_[at(v)] == 0) owned_[at(v)] = {};
  }

  const Func& func_;
  std::vector<Array<T>>& globals_;
  int64_t n_;
  std::vector<Array<T>> owned_;          // results of ops, by value
  std::vector<const Array<T>*> values_;  // everything that has been computed, by value
  std::vector<int> reads_left_;
  std::vector<std::pair<size_t, Array<T>>> assigned_;
};

}  // namespace

template <class T>
Array<T> evaluate(const Op& op, const Type& result, const std::vector<const Array<T>*>& operands,
                  int64_t n) {
  const OpDef& d = def(op);
  SINTER_CHECK(operands.size() == static_cast<size_t>(d.operands), "{} has {} operands", d.name,
               operands.size());
  if (d.expand) {
    Array<T> out = evaluate_composite<T>(op, operands, n);
    SINTER_CHECK(out.dtype == result.dtype && out.dims == result.dims(n), "{} : {} lowers to {}",
                 d.name, to_string(result), to_string(type_of(out.dtype, out.dims)));
    return out;
  }
  Array<T> out(result.dtype, result.dims(n));
  if (d.scalar) {
    std::vector<DType> dtypes;
    for (const Array<T>* x : operands) dtypes.push_back(x->dtype);
    const ScalarProgram program = scalar_program(op, dtypes, result.dtype);
    // A source reads all of each operand, which is a scalar; elementwise operands broadcast.
    ScalarRun<T>(program, operands, out, n).run();
    return out;
  }
  SINTER_CHECK(bool(d.eval), "{} has no meaning of its own", d.name);
  EvalArgs<T> args{op, operands, out, n};
  d.eval(args);
  return out;
}

template <class T>
std::vector<Array<T>> interpret(const Module& module, const Func& func,
                                const std::vector<Array<T>>& args, std::vector<Array<T>>& globals,
                                int64_t n) {
  return Call<T>(module, func, args, globals, n).run();
}

#define SINTER_INTERPRET(T)                                                                  \
  template Array<T> evaluate<T>(const Op&, const Type&, const std::vector<const Array<T>*>&, \
                                int64_t);                                                    \
  template std::vector<Array<T>> interpret<T>(                                               \
      const Module&, const Func&, const std::vector<Array<T>>&, std::vector<Array<T>>&, int64_t);
SINTER_INTERPRET(float)
SINTER_INTERPRET(double)
SINTER_INTERPRET(Dual)
#undef SINTER_INTERPRET

}  // namespace sinter::ir
