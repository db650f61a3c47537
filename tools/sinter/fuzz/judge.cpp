#include "tools/sinter/fuzz/judge.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include <sinter/error.h>

#include "compiler/compile.h"
#include "ir/text/print.h"
#include "ir/text/text.h"
#include "tools/sinter/buffer.h"
#include "tools/sinter/fuzz/reference.h"

namespace sinter::fuzz {

namespace {

using command::Buffer;
using ir::Array;

// The reference computes one element at a time: a program of more is left to the tests of its ops.
constexpr int64_t kMostElements = int64_t{1} << 24;

// Perturbed runs before a comparison, and more where one fails: rarely do a few runs miss what
// rounding can do, and never do many.
constexpr int kFewRuns = 3, kManyRuns = 40;

struct RoundTripFailure {
  std::string message;
};

// Remarks of passes print as lines of their own; they are no part of a module.
std::string without_remarks(const std::string& text) {
  std::string out;
  size_t start = 0;
  while (start < text.size()) {
    const size_t end = std::min(text.find('\n', start), text.size() - 1) + 1;
    const size_t first = text.find_first_not_of(' ', start);
    if (text.compare(first, 2, "//") != 0) out.append(text, start, end - start);
    start = end;
  }
  return out;
}

void check_round_trip(std::string_view stage, const ir::Module& module) {
  const std::string text = ir::print(module);
  try {
    const ir::Module again = ir::parse(text, "<printed>");
    if (!ir::equal(module, again)) {
      throw RoundTripFailure{fmt::format("stage {} parses back to another module", stage)};
    }
    if (ir::print(again) != without_remarks(text)) {
      throw RoundTripFailure{fmt::format("stage {} prints differently once parsed", stage)};
    }
  } catch (const Error& e) {
    throw RoundTripFailure{fmt::format("stage {} does not parse back: {}", stage, e.what())};
  }
}

std::string index_text(size_t at, const std::vector<int64_t>& dims) {
  std::vector<int64_t> index(dims.size());
  for (size_t d = dims.size(); d-- > 0;) {
    index[d] = static_cast<int64_t>(at) % dims[d];
    at /= static_cast<size_t>(dims[d]);
  }
  return fmt::format("[{}]", fmt::join(index, ", "));
}

class Judge {
 public:
  explicit Judge(const Trial& trial) : trial_(trial) {}

  Verdict run() {
    try {
      lower_reference();
    } catch (const Error& e) {
      // A loss that has no gradient, say.
      return {Kind::undefined, e.what()};
    } catch (const std::exception& e) {
      return {Kind::refused, e.what()};
    }
    if (elements() > kMostElements) {
      return {Kind::undefined, "the reference would take too long"};
    }
    try {
      compile();
    } catch (const RoundTripFailure& e) {
      return {Kind::round_trip, e.message};
    } catch (const std::exception& e) {
      return {Kind::refused, e.what()};
    }
    for (size_t step = 0; step < trial_.rows.size(); ++step) {
      if (!run_step(step)) break;
    }
    return std::move(verdict_);
  }

 private:
  void lower_reference() {
    expanded_ = lowered(trial_.module);
    func_ = expanded_.find(trial_.func);
    SINTER_CHECK(func_ != nullptr, "no function @{}", trial_.func);
  }

  // Of all that the largest step computes.
  int64_t elements() const {
    int64_t out = 0;
    for (const ir::ValueInfo& info : func_->values) {
      int64_t size = 1;
      for (const int64_t d : info.type.dims(trial_.options.max_batch)) size *= d;
      out += size;
    }
    return out;
  }

  void compile() {
    ir::Module compiled = trial_.module;
    compiler::run_passes(compiled, pass_list(trial_), trial_.options,
                         [](std::string_view stage, const ir::Module& module, bool changed) {
                           if (changed) check_round_trip(stage, module);
                         });
    executable_ = compiler::make_native(std::move(compiled), trial_.func, trial_.options);
    const Arrays globals = draw_globals(trial_.inputs, expanded_);
    for (size_t i = 0; i < globals.size(); ++i) {
      globals_.emplace_back(expanded_.globals[i].type, 1).write(globals[i]);
    }
  }

  // False where there is nothing more to find.
  bool run_step(size_t step) {
    const int64_t n = trial_.rows[step];
    args_ = draw_arguments(trial_.inputs, *func_, n, static_cast<int64_t>(step));
    // The reference goes on from the parameters that the compiled step left: errors of one step do
    // not add to those of the next.
    before_.clear();
    for (const Buffer& b : globals_) before_.push_back(b.read());
    std::optional<Outcome> reference;
    try {
      reference = run_reference(expanded_, *func_, args_, before_, n);
    } catch (const Error& e) {
      if (step == 0) verdict_ = {Kind::undefined, e.what()};
      return false;
    }
    std::vector<Buffer> buffers;
    for (size_t i = 0; i < args_.size(); ++i) {
      buffers.emplace_back(func_->type(func_->args[i]), n).write(args_[i]);
    }
    for (ir::ValueId v : func_->results) buffers.emplace_back(func_->type(v), n);
    std::vector<void*> pointers;
    for (size_t i = 0; i < args_.size(); ++i) pointers.push_back(buffers[i].data());
    for (const Buffer& b : globals_) pointers.push_back(b.data());
    for (size_t i = args_.size(); i < buffers.size(); ++i) pointers.push_back(buffers[i].data());
    executable_->run(pointers.data(), n);
    where_ = fmt::format("step {} (n = {})", step, n);
    Arrays actual;
    for (size_t i = args_.size(); i < buffers.size(); ++i) actual.push_back(buffers[i].read());
    for (const Buffer& b : globals_) actual.push_back(b.read());
    return guards_hold(buffers) && inputs_kept(buffers) && agree(*reference, actual, n);
  }

  bool guards_hold(const std::vector<Buffer>& buffers) {
    const auto check = [&](const Buffer& b, const std::string& name) {
      if (b.guards_hold()) return true;
      verdict_ = {Kind::overrun, fmt::format("{}: bytes beside {} were written", where_, name)};
      return false;
    };
    for (size_t i = 0; i < buffers.size(); ++i) {
      const bool is_arg = i < args_.size();
      if (!check(buffers[i], is_arg ? fmt::format("argument {}", i)
                                    : fmt::format("result {}", i - args_.size()))) {
        return false;
      }
    }
    for (size_t i = 0; i < globals_.size(); ++i) {
      if (!check(globals_[i], "@" + expanded_.globals[i].name)) return false;
    }
    return true;
  }

  // Compiled code may write results and globals only.
  bool inputs_kept(const std::vector<Buffer>& buffers) {
    for (size_t i = 0; i < args_.size(); ++i) {
      const Array<double> now = buffers[i].read();
      if (now.f == args_[i].f && now.i == args_[i].i) continue;
      verdict_ = {Kind::overrun, fmt::format("{}: argument {} was written", where_, i)};
      return false;
    }
    return true;
  }

  bool agree(const Outcome& reference, const Arrays& actual, int64_t n) {
    Bound bound(reference);
    Random random(trial_.inputs.seed, where_);
    const auto widen = [&](int runs) {
      for (int i = 0; i < runs; ++i) {
        try {
          bound.widen(run_perturbed(expanded_, *func_, args_, before_, n, reference, random));
        } catch (const Error&) {
          // An index that rounding can move outside its table: any answer is right.
          return false;
        }
      }
      return true;
    };
    if (!widen(kFewRuns)) return false;
    bool wide = false;
    for (size_t which = 0; which < actual.size(); ++which) {
      for (size_t i = 0; i < actual[which].size(); ++i) {
        if (bound.allows(which, i, actual[which])) continue;
        if (!wide && !widen(kManyRuns)) return false;
        wide = true;
        if (bound.allows(which, i, actual[which])) continue;
        verdict_ = {Kind::differs, describe(bound, which, i, actual[which])};
        return false;
      }
    }
    for (size_t which = 0; which < actual.size(); ++which) {
      for (size_t i = 0; i < actual[which].size(); ++i) {
        ++verdict_.elements;
        verdict_.tight += bound.is_tight(which, i);
      }
    }
    return true;
  }

  std::string describe(const Bound& bound, size_t which, size_t at, const Array<double>& actual) {
    const Array<double>& expected = bound.reference(which);
    const bool is_result = which < func_->results.size();
    const size_t global = which - func_->results.size();
    std::string what;
    if (is_result) {
      const ir::Printer printer(expanded_, *func_);
      what = fmt::format("result {} {} : {}", which, printer.value(func_->results[which]),
                         to_string(func_->type(func_->results[which])));
    } else {
      what = fmt::format("global @{} : {}", expanded_.globals[global].name,
                         to_string(expanded_.globals[global].type));
    }
    const std::string place =
        fmt::format("{}: {} at {}", where_, what, index_text(at, expected.dims));
    if (!expected.floats()) {
      return fmt::format("{} is {}, not {}", place, actual.i[at], expected.i[at]);
    }
    return fmt::format("{} is {}, not {} (off by {:.2e}, rounding allows {:.2e})", place,
                       actual.f[at], expected.f[at], std::abs(actual.f[at] - expected.f[at]),
                       bound.tolerance(which, at));
  }

  const Trial& trial_;
  ir::Module expanded_;
  const ir::Func* func_ = nullptr;
  std::unique_ptr<compiler::Executable> executable_;
  std::vector<Buffer> globals_;
  Arrays args_, before_;
  std::string where_;
  Verdict verdict_;
};

}  // namespace

std::string_view kind_name(Kind kind) {
  constexpr std::string_view names[] = {"good",       "undefined", "differs", "overrun",
                                        "round_trip", "refused",   "crashed", "hung"};
  return names[static_cast<size_t>(kind)];
}

std::string failure_text(const Trial& trial, const Verdict& verdict, const std::string& file) {
  std::string message = verdict.message;
  std::replace(message.begin(), message.end(), '\n', ' ');
  return fmt::format("// {}: {}\n// {}\n{}", kind_name(verdict.kind), message,
                     replay_command(trial, file), ir::print(trial.module));
}

Verdict judge(const Trial& trial) { return Judge(trial).run(); }

}  // namespace sinter::fuzz
