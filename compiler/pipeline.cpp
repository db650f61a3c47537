#include "compiler/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>

#include <fmt/format.h>

#include "compiler/dump.h"
#include "compiler/pass_order.h"
#include "compiler/passes/passes.h"
#include "ir/text/text.h"
#include "ir/verify.h"

namespace sinter::compiler {

namespace {

constexpr bool required = true, optional = false;

const Pass kPasses[] = {
    {"differentiate", "replace gradients by the ops that compute them", differentiate, required},
    {"expand", "lower composite ops such as linear and softmax to primitive ones", expand,
     required},
    {"simplify", "fold constants and apply algebraic laws", simplify, optional},
    {"orient_reductions", "let reductions fold the last axis or all others", orient_reductions,
     required},
    {"cse", "keep one of equal ops", cse, optional},
    {"dce", "drop ops that nothing reads", dce, optional},
    {"factor_sums", "take factors that rows share out of sums over the batch", factor_sums,
     optional},
    {"fuse_batch", "make one kernel of a narrow net, with the batch in lanes", fuse_batch,
     optional},
    {"split_sums", "let threads sum gradients over rows of their own", split_sums, optional},
    {"fuse", "group ops into kernels of one loop nest each", fuse, required},
    {"plan_memory", "order kernels and give every stored value its place", plan_memory, required},
};

// The order of the table, and why.
const PassOrder kOrder[] = {
    {"differentiate", "expand", "composites own derivatives that are more stable than their parts"},
    {"expand", "simplify", "the parts of composites meet their neighbours only once lowered"},
    {"simplify", "cse", "the same value written in two ways becomes equal ops"},
    {"differentiate", "simplify", "a gradient is by a value as recorded, through all its uses"},
    {"differentiate", "cse", "equal values are still different variables of a derivative"},
    {"cse", "dce", "what is merged leaves ops that nothing reads"},
    {"simplify", "dce", "laws leave behind the ops that they replace"},
    {"simplify", "orient_reductions", "no law may turn a reduction round again"},
    {"orient_reductions", "cse", "reductions that read the same view share it"},
    {"orient_reductions", "fuse", "a kernel folds its columns or its rows"},
    {"orient_reductions", "fuse_batch", "both forms of kernels read the same reductions"},
    {"dce", "fuse_batch", "a kernel must not compute what nothing reads"},
    {"dce", "factor_sums", "whether rows have less to do shows once nothing is idle"},
    {"cse", "factor_sums", "equal factors are one value"},
    {"factor_sums", "fuse_batch", "rows that wait for no factor take one pass"},
    {"fuse_batch", "fuse", "what has no form with the batch in lanes is grouped by features"},
    {"fuse_batch", "split_sums", "one pass over the batch shares its rows by itself"},
    {"split_sums", "fuse", "a kernel has all parts of its sums or none"},
    {"dce", "fuse", "a kernel must not compute what nothing reads"},
    {"fuse", "plan_memory", "only values that kernels hand to others need memory"},
};

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

struct Timing {
  std::string_view name;
  double ms;
};

void print_times(std::vector<Timing> times) {
  double total = 0;
  for (const Timing& t : times) total += t.ms;
  std::sort(times.begin(), times.end(),
            [](const Timing& a, const Timing& b) { return a.ms > b.ms; });
  times.push_back({"total", total});
  fmt::print(stderr, "{:<16} {:>9} {:>6}\n", "pass", "ms", "%");
  for (const Timing& t : times) {
    fmt::print(stderr, "{:<16} {:>9.3f} {:>6.1f}\n", t.name, t.ms,
               total > 0 ? 100 * t.ms / total : 0);
  }
}

// The first lines of a module, for a message.
std::string excerpt(const std::string& text) {
  constexpr int kLines = 40;
  size_t end = 0;
  for (int i = 0; i < kLines && end != std::string::npos; ++i) end = text.find('\n', end + 1);
  return end == std::string::npos ? text : text.substr(0, end) + "\n...\n";
}

// Runs passes one after the other, as run_passes in the header says.
class Runner {
 public:
  Runner(ir::Module& module, std::span<const Pass* const> list, const Options& options,
         const Observer& observer)
      : module_(module),
        list_(list),
        options_(options),
        observer_(observer),
        start_(module),
        prefix_(dump_prefix(module)) {}

  void run() {
    // What comes in is the caller's: an Error of this check is not a bug of a pass.
    if (options_.verify) verify();
    stage(0, "forward", true);
    const bool compare = observer_ || !options_.dump_dir.empty();
    std::optional<ir::Module> before;
    for (size_t i = 0; i < list_.size(); ++i) {
      if (compare) before = module_;
      run_pass(i);
      stage(i + 1, list_[i]->name, compare && !ir::equal(*before, module_));
    }
    if (options_.time) {
      if (options_.verify) times_.push_back({"(verify)", verify_ms_});
      print_times(times_);
    }
  }

 private:
  void run_pass(size_t i) {
    const Pass& pass = *list_[i];
    try {
      const auto start = Clock::now();
      pass.run(module_, options_);
      times_.push_back({pass.name, ms_since(start)});
    } catch (const Error& e) {
      // A loss that has no gradient is the user's to mend; no other pass meets a user's mistake.
      if (pass.run == differentiate) throw;
      fail(i, e.what());
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& e) {
      fail(i, e.what());
    } catch (...) {
      fail(i, "an exception of unknown type");
    }
    if (!options_.verify) return;
    try {
      verify();
    } catch (const std::exception& e) {
      fail(i, std::string("it leaves a module that breaks the rules of the IR:\n") + e.what());
    }
  }

  void verify() {
    const auto start = Clock::now();
    ir::verify(module_);
    verify_ms_ += ms_since(start);
  }

  void stage(size_t number, std::string_view name, bool changed) {
    if (changed && !options_.dump_dir.empty()) {
      write_dump(options_.dump_dir, prefix_, number, name, "sir", ir::print(module_));
    }
    if (observer_) observer_(name, module_, changed);
  }

  [[noreturn]] void fail(size_t i, const std::string& what) {
    const Pass& pass = *list_[i];
    // Passes are deterministic: running the earlier ones again brings the module before this one
    // back without a copy for each pass whenever nothing fails.
    for (size_t k = 0; k < i; ++k) list_[k]->run(start_, options_);
    const std::string path = write_reproducer(options_.dump_dir, start_, pass.name);
    const std::string replay =
        path.empty() ? std::string("no reproducer could be written")
                     : fmt::format("replay it with: sinter opt {} --passes={}", path, pass.name);
    throw InternalError("the pass succeeds on a verified module", __FILE__, __LINE__,
                        fmt::format("pass {} failed: {}\n{}\nthe module before it:\n{}", pass.name,
                                    what, replay, excerpt(ir::print(start_))));
  }

  ir::Module& module_;
  std::span<const Pass* const> list_;
  const Options& options_;
  const Observer& observer_;
  ir::Module start_;
  std::string prefix_;
  std::vector<Timing> times_;
  double verify_ms_ = 0;
};

}  // namespace

std::span<const PassOrder> pass_order() { return kOrder; }

void check_order(std::span<const Pass> list) {
  const auto place = [&](std::string_view name) {
    const auto at =
        std::find_if(list.begin(), list.end(), [&](const Pass& pass) { return pass.name == name; });
    SINTER_CHECK(at != list.end(), "the pass list lacks {}", name);
    return at - list.begin();
  };
  for (const PassOrder& order : kOrder) {
    SINTER_CHECK(place(order.before) < place(order.after), "{} must run before {}: {}",
                 order.before, order.after, order.reason);
  }
}

std::span<const Pass> passes() {
  static const bool checked = (check_order(kPasses), true);
  (void)checked;
  return kPasses;
}

const Pass* find_pass(std::string_view name) {
  for (const Pass& pass : passes()) {
    if (pass.name == name) return &pass;
  }
  return nullptr;
}

void run_passes(ir::Module& module, std::span<const Pass* const> list, const Options& options,
                const Observer& observer) {
  Runner(module, list, options, observer).run();
}

void run_pipeline(ir::Module& module, const Options& options, const Observer& observer) {
  for (const std::string& name : options.off) {
    if (find_pass(name)) continue;
    std::vector<std::string_view> names;
    for (const Pass& pass : passes()) names.push_back(pass.name);
    throw Error(fmt::format("no pass is named \"{}\"", name))
        .help(fmt::format("the passes are {}", fmt::join(names, ", ")));
  }
  std::vector<const Pass*> list;
  for (const Pass& pass : passes()) {
    const bool off =
        std::find(options.off.begin(), options.off.end(), pass.name) != options.off.end();
    if (pass.required || !off) list.push_back(&pass);
  }
  run_passes(module, list, options, observer);
}

}  // namespace sinter::compiler
