// sinter ulp: how far compiled functions of f32 are from the exact value, over all floats.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <random>

#include <fmt/format.h>

#include "ir/interpret.h"
#include "ir/op.h"
#include "ir/text/text.h"
#include "tools/sinter/command.h"

namespace sinter::command {

namespace {

using Columns = std::vector<std::vector<float>>;

constexpr size_t kBlock = 1 << 15;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kSmallest = std::numeric_limits<float>::min();

// What is measured: an op of the table, or one that the library writes with several.
struct Function {
  std::string name, body;  // the body with {} for the type of the operands and of %y
  size_t operands;
};

bool is_rounded(ir::Prim prim) {
  switch (prim) {
    case ir::Prim::exp:
    case ir::Prim::log:
    case ir::Prim::log1p:
    case ir::Prim::sqrt:
    case ir::Prim::tanh:
    case ir::Prim::sin:
    case ir::Prim::cos:
    case ir::Prim::erf:
    case ir::Prim::pow:
      return true;
    default:
      return false;
  }
}

// Every elementwise op whose meaning has a function that libm has, and rsqrt.
std::vector<Function> functions() {
  std::vector<Function> out;
  for (ir::OpKind kind : ir::all_ops()) {
    const ir::OpDef& d = ir::def(kind);
    const auto operands = static_cast<size_t>(d.operands);
    if (!d.is(ir::Trait::elementwise) || d.is(ir::Trait::typed_result) || operands > 2) continue;
    const std::vector<ir::Type> types(operands, ir::Type{DType::f32, {}});
    if (ir::infer_type(kind, types, {}, std::nullopt).dtype != DType::f32) continue;
    ir::Op op;
    op.kind = kind;
    const std::vector<DType> dtypes(operands, DType::f32);
    const ir::ScalarProgram program = ir::scalar_program(op, dtypes, DType::f32);
    if (std::none_of(program.nodes.begin(), program.nodes.end(),
                     [](const ir::ScalarNode& node) { return is_rounded(node.prim); })) {
      continue;
    }
    out.push_back({std::string(d.name),
                   fmt::format("%y = {} %x0{} : {{0}}\n", d.name, operands == 2 ? ", %x1" : ""),
                   operands});
  }
  out.push_back({"rsqrt",
                 "%root = sqrt %x0 : {0}\n%one = constant {{value = 1.0}} : f32[]\n"
                 "%y = div %one, %root : {0}\n",
                 1});
  return out;
}

ir::Module module_of(const Function& f, const std::string& type) {
  std::string args, body = fmt::format(fmt::runtime(f.body), type);
  for (size_t i = 0; i < f.operands; ++i) {
    args += fmt::format("{}%x{}: {}", i == 0 ? "" : ", ", i, type);
  }
  return ir::parse(fmt::format("func @f({}) {{\n{}return %y\n}}\n", args, body), f.name);
}

// One way in which code for a function comes out: how many elements a vector holds, and of what.
class Form {
 public:
  Form(const Function& f, std::string name, const std::string& type, int64_t rows, size_t elements,
       const compiler::Options& options)
      : name_(std::move(name)), rows_(rows), elements_(elements) {
    compiler::Options own = options;
    own.max_batch = rows;
    own.threads = 1;
    code_ = compile_native(module_of(f, type), "f", own);
  }

  const std::string& name() const { return name_; }
  size_t elements() const { return elements_; }
  // `y` from elements `first` on of `x`, both of at least elements() from there.
  void run(const Columns& x, size_t first, std::vector<float>& y) const {
    std::array<void*, 3> buffers{};
    for (size_t i = 0; i < x.size(); ++i) buffers[i] = const_cast<float*>(x[i].data() + first);
    buffers[x.size()] = y.data() + first;
    code_->run(buffers.data(), rows_);
  }

 private:
  std::string name_;
  int64_t rows_;
  size_t elements_;
  std::unique_ptr<compiler::Executable> code_;
};

// The element furthest from what it should be.
struct Worst {
  double ulps = 0;
  std::array<float, 2> x{};
  float got = 0;
  double want = 0;
};

// In units of the last place of the float nearest to `want`; 2^128 stands for infinity, so that
// the last finite float and infinity are one unit apart. Infinite where one is NaN or of the other
// sign. Denormal results count as zero.
double ulps_off(float got, double want) {
  if (std::isnan(want) || std::isnan(got))
    return std::isnan(want) && std::isnan(got) ? 0 : kInfinity;
  if (std::abs(double{got}) < kSmallest && std::abs(want) < kSmallest) {
    return std::signbit(got) == std::signbit(want) ? 0 : kInfinity;
  }
  const auto bounded = [](double v) { return std::clamp(v, -0x1p128, 0x1p128); };
  const double exact = bounded(want);
  if (bounded(double{got}) == exact) return 0;
  const int exponent = std::clamp(std::ilogb(exact), -126, 127);
  return std::abs(bounded(double{got}) - exact) / std::ldexp(1.0, exponent - 23);
}

// Denormal operands count as zero.
float flushed(float x) {
  return std::abs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0F, x) : x;
}

// Operands, block by block.
class Operands {
 public:
  Operands(size_t count, uint64_t every) : columns_(count), every_(every) {
    for (std::vector<float>& c : columns_) c.resize(kBlock);
  }

  const Columns& columns() const { return columns_; }
  // How many of the next block count, 0 in the end; the rest is the last one again.
  size_t next() {
    const size_t count = columns_.size() == 1 ? next_floats() : next_pairs();
    for (std::vector<float>& c : columns_) {
      if (count > 0) std::fill(c.begin() + static_cast<ptrdiff_t>(count), c.end(), c[count - 1]);
    }
    return count;
  }

 private:
  static float float_of(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
  }

  // Every `every`th bit pattern, each moved on by one more, so that the low bits differ too.
  size_t next_floats() {
    size_t count = 0;
    for (; count < kBlock && at_ < kAll; ++count, at_ += every_) {
      columns_[0][count] = float_of(static_cast<uint32_t>(at_ + shift_ % every_));
      shift_ += 1;
    }
    return count;
  }

  // The special numbers against each other, then random pairs: half of any floats, half of such
  // whose power is finite.
  size_t next_pairs() {
    constexpr float inf = std::numeric_limits<float>::infinity();
    constexpr float special[] = {0,
                                 0.5F,
                                 1,
                                 1.5F,
                                 2,
                                 3,
                                 4,
                                 0.25F,
                                 127,
                                 16777215.F,
                                 16777216.F,
                                 2147483648.F,
                                 1e-38F,
                                 1e-40F,
                                 3e38F,
                                 0x1.fffffep-1F,
                                 0x1.000002p0F,
                                 33.5F,
                                 inf,
                                 std::numeric_limits<float>::quiet_NaN()};
    constexpr size_t each = 2 * std::size(special), specials = each * each;
    size_t count = 0;
    for (; count < kBlock && at_ < kAll; ++count, at_ += every_, ++shift_) {
      const auto number = [&](size_t i) { return i % 2 == 0 ? special[i / 2] : -special[i / 2]; };
      float &x = columns_[0][count], &y = columns_[1][count];
      if (shift_ < specials) {
        x = number(shift_ / each);
        y = number(shift_ % each);
        continue;
      }
      const uint64_t bits = random_();
      x = float_of(static_cast<uint32_t>(bits));
      y = float_of(static_cast<uint32_t>(bits >> 32));
      const float log2 = std::log2(std::abs(x));
      if (shift_ % 2 == 0 || !std::isfinite(log2) || log2 == 0) continue;
      // Up to 140, a little more than the largest float has.
      const double power = static_cast<double>(bits >> 40) * 0x1p-24 * 280 - 140;
      y = static_cast<float>(power / double{log2});
      if (shift_ % 4 == 1) y = std::nearbyint(y);
    }
    return count;
  }

  static constexpr uint64_t kAll = uint64_t{1} << 32;
  Columns columns_;
  uint64_t every_, at_ = 0, shift_ = 0;
  std::mt19937_64 random_{1};
};

// What the interpreter makes of the operands in double precision, where its functions are libm's.
class Exact {
 public:
  explicit Exact(const Function& f)
      : module_(module_of(f, fmt::format("f32[{}]", kBlock))),
        args_(f.operands, ir::Array<double>(DType::f32, {static_cast<int64_t>(kBlock)})) {}

  const std::vector<double>& operator()(const Columns& x) {
    for (size_t i = 0; i < x.size(); ++i) {
      std::transform(x[i].begin(), x[i].end(), args_[i].f.begin(), flushed);
    }
    std::vector<ir::Array<double>> no_globals;
    results_ = ir::interpret<double>(module_, module_.funcs.front(), args_, no_globals, 1);
    return results_.front().f;
  }

 private:
  ir::Module module_;
  std::vector<ir::Array<double>> args_, results_;
};

// The processors whose code this one runs, one for each width of vectors.
std::vector<std::string> runnable_processors() {
#if defined(__x86_64__)
  std::vector<std::string> out{"x86-64"};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) out.push_back("x86-64-v3");
  if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw")) {
    out.push_back("x86-64-v4");
  }
  return out;
#else
  return {""};
#endif
}

struct Ulp {
  std::vector<std::string> only, cpus;
  uint64_t every = 256;
  double limit = 2;

  int run() const {
    const std::vector<Function> all = functions();
    for (const std::string& name : only) {
      if (std::any_of(all.begin(), all.end(), [&](const Function& f) { return f.name == name; })) {
        continue;
      }
      std::vector<std::string> names;
      for (const Function& f : all) names.push_back(f.name);
      throw Error("there is no function \"{}\" to measure", name)
          .help("it may be {}", fmt::join(names, ", "));
    }
    const std::vector<std::string> processors = cpus.empty() ? runnable_processors() : cpus;
    fmt::print("{:<9}{:<12}{:>12} {:>6}  {}\n", "function", "processor", "inputs", "ULP", "worst");
    int status = exit_good;
    for (const Function& f : all) {
      if (!only.empty() && std::count(only.begin(), only.end(), f.name) == 0) continue;
      if (!measure(f, processors)) status = exit_no;
    }
    return status;
  }

  // Prints a line for each processor; false where one is above the limit.
  bool measure(const Function& f, const std::vector<std::string>& processors) const {
    std::vector<std::vector<Form>> forms;
    for (const std::string& cpu : processors) forms.push_back(forms_of(f, cpu));
    std::vector<Worst> worst(forms.size());
    std::vector<std::string> other(forms.size());
    std::vector<float> y(kBlock), again(kBlock);
    Exact exact(f);
    Operands operands(f.operands, every);
    uint64_t inputs = 0;
    while (const size_t count = operands.next()) {
      inputs += count;
      const Columns& x = operands.columns();
      const std::vector<double>& want = exact(x);
      for (size_t p = 0; p < forms.size(); ++p) {
        forms[p].front().run(x, 0, y);
        for (size_t i = 0; i < count; ++i) note(worst[p], x, i, y[i], want[i]);
        for (size_t k = 1; k < forms[p].size(); ++k) {
          if (other[p].empty()) other[p] = difference(forms[p][k], x, y, again);
        }
      }
    }
    bool good = true;
    for (size_t p = 0; p < forms.size(); ++p) {
      const Worst& w = worst[p];
      fmt::print("{:<9}{:<12}{:>12} {:>6.3f}  {} is {}, not {:.9g}\n", f.name,
                 processors[p].empty() ? "this" : processors[p], inputs, w.ulps,
                 call(f.name, w.x, f.operands), w.got, w.want);
      if (!other[p].empty()) fmt::print("{:<9}{}\n", "", other[p]);
      good = good && w.ulps <= limit && other[p].empty();
    }
    std::fflush(stdout);
    return good;
  }

  // Features in lanes with a tail, one element alone, and rows in lanes.
  static std::vector<Form> forms_of(const Function& f, const std::string& cpu) {
    compiler::Options options;
    options.cpu = cpu;
    std::vector<Form> out;
    out.emplace_back(f, "vectors", fmt::format("f32[{}]", kBlock), 1, kBlock, options);
    out.emplace_back(f, "a tail", "f32[13]", 1, 13, options);
    out.emplace_back(f, "scalars", "f32[]", 1, 1, options);
    out.emplace_back(f, "rows in lanes", "f32[n, 2]", 64, 128, options);
    return out;
  }

  static void note(Worst& worst, const Columns& x, size_t i, float got, double want) {
    // The nearest float is at most half a unit off: most are.
    if (worst.ulps > 0.5 && got == static_cast<float>(want)) return;
    const double ulps = ulps_off(got, want);
    if (!(ulps > worst.ulps)) return;
    worst = {ulps, {x.front()[i], x.back()[i]}, got, want};
  }

  // The other forms must have the same bits; they are tried on parts of each block.
  static std::string difference(const Form& form, const Columns& x, const std::vector<float>& y,
                                std::vector<float>& again) {
    constexpr size_t parts = 16;
    const size_t step = (kBlock - form.elements()) / parts;
    for (size_t part = 0; part < parts; ++part) {
      const size_t first = part * step;
      form.run(x, first, again);
      for (size_t i = first; i < first + form.elements(); ++i) {
        if (y[i] == again[i] ? std::signbit(y[i]) == std::signbit(again[i])
                             : std::isnan(y[i]) && std::isnan(again[i])) {
          continue;
        }
        return fmt::format("{} of {} as {}, but {} as vectors", again[i], x.front()[i], form.name(),
                           y[i]);
      }
    }
    return {};
  }

  static std::string call(const std::string& name, const std::array<float, 2>& x, size_t operands) {
    return operands == 1 ? fmt::format("{}({})", name, x[0])
                         : fmt::format("{}({}, {})", name, x[0], x[1]);
  }
};

}  // namespace

void add_ulp(CommandLine& program) {
  const auto ulp = std::make_shared<Ulp>();
  CommandLine line =
      program.subcommand("ulp", "Measure functions of f32 in units of the last place against f64");
  line.option("FUNCTION", ulp->only, "Functions to measure (default: all)");
  line.option("--every", ulp->every, "Try every Kth float, 1 for all (default 256)").positive();
  line.option(
          "--cpu", ulp->cpus,
          "Processors to compile for, as LLVM names them (default: one for each width of vectors "
          "that this one has)")
      .comma_separated();
  line.option("--limit", ulp->limit, "Largest error that is good (default 2)").positive();
  line.footer("Example:\n  sinter ulp exp tanh --every 1");
  line.runs([ulp] { return ulp->run(); });
}

}  // namespace sinter::command
