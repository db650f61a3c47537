#include "tools/sinter/fuzz/reduce_trial.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "ir/op.h"
#include "tools/sinter/fuzz/rebuild.h"

namespace sinter::fuzz {

namespace {

using Clock = std::chrono::steady_clock;

class Reducer {
 public:
  Reducer(Trial trial, Verdict verdict, const Judgement& judgement, const ReductionBudget& budget)
      : best_{std::move(trial), std::move(verdict)}, judgement_(judgement), budget_(budget) {}

  Reduction run() {
    // What costs most to judge goes first.
    bool smaller = true;
    while (smaller && !spent()) {
      smaller = plainer_options();
      smaller = fewer_steps() || smaller;
      smaller = fewer_ends() || smaller;
      smaller = earlier_results() || smaller;
      smaller = fewer_ops() || smaller;
      smaller = smaller_shapes() || smaller;
      smaller = smaller_batches() || smaller;
    }
    return std::move(best_);
  }

 private:
  bool spent() const {
    return best_.tried >= budget_.candidates ||
           std::chrono::duration<double>(Clock::now() - start_).count() > budget_.seconds;
  }

  // Whether the failure is the one that is being reduced.
  bool same(const Verdict& v) const {
    if (v.kind != best_.verdict.kind) return false;
    if (v.kind != Kind::refused) return true;
    constexpr size_t kBeginning = 50;
    return v.message.substr(0, kBeginning) == best_.verdict.message.substr(0, kBeginning);
  }

  bool accept(Trial candidate) {
    if (spent()) return false;
    ++best_.tried;
    Verdict verdict = judgement_(candidate);
    if (!same(verdict)) return false;
    best_.trial = std::move(candidate);
    best_.verdict = std::move(verdict);
    return true;
  }
  // With the program edited.
  bool accept(const Edit& edit) {
    std::optional<ir::Module> module = rebuild(best_.trial.module, best_.trial.func, edit);
    if (!module) return false;
    Trial candidate = best_.trial;
    candidate.module = std::move(*module);
    return accept(std::move(candidate));
  }
  // With one field changed by `change`, unless it is so already.
  template <class F>
  bool accept_with(F change) {
    Trial candidate = best_.trial;
    return change(candidate) && accept(std::move(candidate));
  }

  const ir::Func& func() const { return *best_.trial.module.find(best_.trial.func); }

  bool plainer_options() {
    bool any = accept_with([](Trial& t) {
      const bool plain = t.passes.empty() && t.options.off.empty();
      t.passes.clear();
      t.options.off.clear();
      return !plain;
    });
    any = accept_with([](Trial& t) { return std::exchange(t.options.threads, 1) != 1; }) || any;
    any = accept_with([](Trial& t) { return !std::exchange(t.options.cpu, "").empty(); }) || any;
    for (size_t i = best_.trial.passes.size(); i-- > 0;) {
      const std::string name = best_.trial.passes[i];
      if (std::count(best_.trial.passes.begin(), best_.trial.passes.end(), name) < 2) continue;
      any = accept_with([&](Trial& t) {
              t.passes.erase(t.passes.begin() + static_cast<ptrdiff_t>(i));
              return true;
            }) ||
            any;
    }
    return any;
  }

  bool fewer_steps() {
    bool any = false;
    while (best_.trial.rows.size() > 1) {
      if (!accept_with([](Trial& t) {
            t.rows.pop_back();
            return true;
          })) {
        break;
      }
      any = true;
    }
    for (size_t i = 1; i < best_.trial.rows.size(); ++i) {
      const int64_t n = best_.trial.rows[i];
      if (accept_with([&](Trial& t) {
            t.rows = {n};
            return true;
          })) {
        return true;
      }
    }
    return any;
  }

  // Results and assigns: first all but one, then one at a time.
  bool fewer_ends() {
    struct End {
      bool result;
      size_t place;
    };
    const auto ends = [&] {
      std::vector<End> out;
      for (size_t i = 0; i < func().results.size(); ++i) out.push_back({true, i});
      for (size_t i = 0; i < func().body.size(); ++i) {
        if (!func().body[i].result.valid()) out.push_back({false, i});
      }
      return out;
    };
    const auto drop = [](Edit& edit, const End& end) {
      (end.result ? edit.dropped_results : edit.dropped_effects).insert(end.place);
    };
    const std::vector<End> all = ends();
    if (all.size() < 2) return false;
    for (const End& kept : all) {
      Edit edit;
      for (const End& end : all) {
        if (end.result != kept.result || end.place != kept.place) drop(edit, end);
      }
      if (accept(edit)) return true;
    }
    bool any = false;
    for (size_t i = all.size(); i-- > 0;) {
      Edit edit;
      const std::vector<End> now = ends();
      if (i >= now.size() || now.size() < 2) continue;
      drop(edit, now[i]);
      any = accept(edit) || any;
    }
    return any;
  }

  // Results that can be found before their last op.
  bool earlier_results() {
    bool any = false;
    for (size_t i = 0; i < func().results.size(); ++i) {
      for (bool moved = true; moved;) {
        moved = false;
        const ir::Op* op = ir::definitions(func())[static_cast<size_t>(func().results[i].index)];
        const size_t operands = op ? op->operands.size() : 0;
        for (size_t k = 0; k < operands && !moved; ++k) {
          Edit edit;
          edit.moved_results[i] = k;
          moved = accept(edit);
        }
        any = any || moved;
      }
    }
    return any;
  }

  // Ops from the last to the first: each becomes an input, or one of its operands.
  bool fewer_ops() {
    bool any = false;
    for (size_t i = func().body.size(); i-- > 0;) {
      if (i >= func().body.size()) continue;
      const ir::Op op = func().body[i];
      if (!op.result.valid()) continue;
      // What needs nothing is as small as an input; as one it would only grow the signature.
      if (!op.operands.empty()) {
        Edit edit;
        edit.replaced[i] = {};
        if (accept(edit)) {
          any = true;
          continue;
        }
      }
      for (size_t k = 0; k < op.operands.size(); ++k) {
        if (func().type(op.operands[k]) != func().type(op.result)) continue;
        Edit edit;
        edit.replaced[i] = {k};
        if (accept(edit)) {
          any = true;
          break;
        }
      }
    }
    return any;
  }

  bool smaller_shapes() {
    std::set<int64_t> sizes;
    for (const ir::ValueInfo& v : func().values) {
      for (const ir::Dim& d : v.type.shape) sizes.insert(d.scale);
    }
    bool any = false;
    for (auto it = sizes.rbegin(); it != sizes.rend(); ++it) {
      for (int64_t to : {int64_t{1}, int64_t{2}, *it / 2, *it - 1}) {
        if (to < 1 || to >= *it) continue;
        Edit edit;
        edit.sizes[*it] = to;
        if (accept(edit)) {
          any = true;
          break;
        }
      }
    }
    return any;
  }

  bool smaller_batches() {
    bool any = false;
    for (size_t i = 0; i < best_.trial.rows.size(); ++i) {
      const int64_t n = best_.trial.rows[i];
      for (int64_t to : {int64_t{1}, int64_t{2}, n / 2, n - 1}) {
        if (to < 1 || to >= n) continue;
        if (accept_with([&](Trial& t) {
              t.rows[i] = to;
              return true;
            })) {
          any = true;
          break;
        }
      }
    }
    const int64_t most = *std::max_element(best_.trial.rows.begin(), best_.trial.rows.end());
    return accept_with(
               [&](Trial& t) { return std::exchange(t.options.max_batch, most) != most; }) ||
           any;
  }

  Reduction best_;
  const Judgement& judgement_;
  ReductionBudget budget_;
  Clock::time_point start_ = Clock::now();
};

}  // namespace

Reduction reduce_trial(Trial trial, Verdict verdict, const Judgement& judgement,
                       const ReductionBudget& budget) {
  return Reducer(std::move(trial), std::move(verdict), judgement, budget).run();
}

}  // namespace sinter::fuzz
