// Decides which kernels run on all threads, puts a barrier between kernels that depend on each
// other across threads, and gives every stored value its place in one arena.
//
// Two values may share bytes when no kernel that touches one can run while the other is alive.
// Kernels are given times: a kernel starts after all kernels of earlier times have ended. Between
// kernels that one thread runs in order that is so by itself; elsewhere it takes a barrier.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "compiler/forms/batch_form.h"
#include "compiler/forms/cost.h"
#include "compiler/forms/kernel.h"
#include "compiler/passes/passes.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::Func;
using ir::Module;
using ir::Op;
using ir::OpKind;
using ir::ValueDef;
using ir::ValueId;

namespace {

constexpr int64_t cache_line = 64, alignment = cache_line;
// A step that is expected to take less is quicker on one thread than on two with barriers; a kernel
// below the second number is not worth cutting up.
constexpr double parallel_step_us = 10, parallel_kernel_us = 0.4;

int64_t aligned(int64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

struct Touch : TouchedValues {
  bool parallel = false;
};

class Planner {
 public:
  Planner(const Module& module, Func& func, int64_t max_batch)
      : module_(module), func_(func), max_batch_(max_batch) {}

  void run() {
    SINTER_CHECK(max_batch_ >= 1, "max_batch is {}", max_batch_);
    choose_threads();
    insert_barriers();
    allocate();
    func_.max_batch = max_batch_;
  }

 private:
  void choose_threads() {
    std::vector<std::pair<Op*, double>> kernels;
    double total = 0;
    for (Op& op : func_.body) {
      if (op.kind != OpKind::kernel) continue;
      const KernelCost cost = kernel_cost(module_, func_, op, max_batch_);
      op.notes.push_back(to_string(cost));
      if (batch_in_lanes(op)) {
        share_rows(op);
        continue;
      }
      const double us = cost.serial ? 0 : cost.us;
      total += us;
      kernels.emplace_back(&op, us);
    }
    for (auto& [op, us] : kernels) {
      op->attrs.set("parallel", total >= parallel_step_us && us >= parallel_kernel_us);
    }
  }

  // Threads take chunks of rows; the totals of each have a place of their own.
  void share_rows(Op& kernel) {
    const BatchChunks chunks = batch_chunks(func_, batch_form(func_, kernel), max_batch_);
    kernel.attrs.set("parallel", chunks.rows > 0);
    kernel.attrs.set("chunk", chunks.rows);
  }

  ValueId base(ValueId v) const { return stored_base(func_, defs_, stored_, v); }

  Touch touch(const Op& kernel) const {
    return {touched_values(func_, defs_, stored_, kernel), kernel.attrs.flag("parallel")};
  }

  static bool meets(const std::set<ValueId>& a, const std::set<ValueId>& b) {
    return std::any_of(a.begin(), a.end(), [&](ValueId v) { return b.count(v) > 0; });
  }
  static bool conflict(const Touch& first, const Touch& second) {
    return meets(first.writes, second.reads) || meets(first.reads, second.writes) ||
           meets(first.writes, second.writes);
  }

  void insert_barriers() {
    defs_ = ir::definitions(func_);
    for (const Op& op : func_.body) stored_.insert(op.outputs.begin(), op.outputs.end());
    // Asked for before any op moves: a touch looks through views at the top level.
    std::vector<Touch> touches;
    for (const Op& op : func_.body) {
      if (op.kind == OpKind::kernel) touches.push_back(touch(op));
    }
    std::vector<Op> body;
    std::vector<Touch> running;  // since the last barrier
    int time = 0, since = 0;     // since: when the kernels in `running` began
    size_t next = 0;
    for (Op& op : func_.body) {
      if (op.kind == OpKind::kernel) {
        Touch t = std::move(touches[next++]);
        const bool alone = !t.parallel && std::none_of(running.begin(), running.end(),
                                                       [](const Touch& r) { return r.parallel; });
        const bool waits = std::any_of(running.begin(), running.end(), [&](const Touch& r) {
          return (r.parallel || t.parallel) && conflict(r, t);
        });
        if (waits) {
          body.push_back(Op{.kind = OpKind::barrier, .operands = {}});
          running.clear();
        }
        if (waits || alone) ++time;
        if (running.empty()) since = time;
        // Its threads may start right after the barrier, beside all that one thread still runs.
        if (t.parallel) record(t, since);
        record(t, time);
        running.push_back(std::move(t));
      }
      body.push_back(std::move(op));
    }
    func_.body = std::move(body);
    // The ops have moved, so their addresses have changed.
    defs_ = ir::definitions(func_);
  }

  void record(const Touch& t, int time) {
    for (const std::set<ValueId>* set : {&t.reads, &t.writes}) {
      for (ValueId v : *set) {
        auto [it, fresh] = alive_.try_emplace(v, time, time);
        it->second.first = std::min(it->second.first, time);
        it->second.second = std::max(it->second.second, time);
      }
    }
  }

  // Rows that are a multiple of 256 bytes apart fall into a few sets of the nearest cache: a
  // product that reads down a column would find none of them again. One more line lets them spread.
  // A value that is read under another shape has to lie without gaps.
  void choose_pitches(const std::vector<ValueId>& values) {
    std::set<ValueId> reshaped;
    ir::for_each_op(func_.body, [&](const Op& op) {
      if (op.kind == OpKind::reshape && moves_elements(func_, op)) {
        reshaped.insert(base(op.operands[0]));
      }
    });
    for (ValueId v : values) {
      func_[v].storage = ir::Storage{};
      const ir::Type& type = func_.type(v);
      if (type.rank() < 2 || type.shape.back().batch || reshaped.count(v)) continue;
      const auto size = static_cast<int64_t>(dtype_size(type.dtype));
      const int64_t row_bytes = type.shape.back().scale * size;
      if (row_bytes % (4 * cache_line) != 0) continue;
      func_[v].storage->pitch = (row_bytes + cache_line) / size;
    }
  }

  // Largest first, each at the lowest offset where it meets nothing that is alive with it.
  void allocate() {
    std::set<ValueId> results;
    for (ValueId v : func_.results) results.insert(base(v));
    std::vector<ValueId> values;
    for (ValueId v : stored_) {
      if (!results.count(v)) values.push_back(v);
    }
    choose_pitches(values);
    const auto bytes = [&](ValueId v) { return aligned(func_.stored_type(v).bytes(max_batch_)); };
    std::stable_sort(values.begin(), values.end(),
                     [&](ValueId a, ValueId b) { return bytes(a) > bytes(b); });
    std::vector<ValueId> placed;
    int64_t total = 0;
    for (ValueId v : values) {
      std::vector<std::pair<int64_t, int64_t>> taken;
      for (ValueId other : placed) {
        const auto &p = alive_.at(v), &q = alive_.at(other);
        if (p.first <= q.second && q.first <= p.second) {
          const int64_t at = func_[other].storage->offset;
          taken.emplace_back(at, at + bytes(other));
        }
      }
      std::sort(taken.begin(), taken.end());
      int64_t offset = 0;
      for (const auto& [begin, end] : taken) {
        if (offset + bytes(v) <= begin) break;
        offset = std::max(offset, end);
      }
      func_[v].storage->offset = offset;
      placed.push_back(v);
      total = std::max(total, offset + bytes(v));
    }
    int64_t partials = 0;
    for (Op& op : func_.body) {
      if (op.kind != OpKind::kernel || op.attrs.integer("chunk") == 0) continue;
      op.attrs.set("partials", total);
      partials += aligned(batch_chunks(func_, batch_form(func_, op), max_batch_).bytes);
    }
    total += partials;
    func_.arena_bytes = total;
    if (total > 0) {
      func_.body.front().notes.push_back(fmt::format(
          "no arena is below {} bytes, which are alive at once", alive_at_once(values) + partials));
    }
  }

  // The most bytes, as aligned as in the arena, of values that are alive at one time.
  int64_t alive_at_once(const std::vector<ValueId>& values) const {
    std::map<int, int64_t> change;  // by time
    for (ValueId v : values) {
      const auto& [first, last] = alive_.at(v);
      const int64_t bytes = aligned(func_.stored_type(v).bytes(max_batch_));
      change[first] += bytes;
      change[last + 1] -= bytes;
    }
    int64_t now = 0, most = 0;
    for (const auto& [time, bytes] : change) most = std::max(most, now += bytes);
    return most;
  }

  const Module& module_;
  Func& func_;
  const int64_t max_batch_;
  std::vector<const Op*> defs_;
  std::set<ValueId> stored_;
  std::map<ValueId, std::pair<int, int>> alive_;  // first and last time
};

}  // namespace

void plan_memory(Module& module, const Options& options) {
  for (Func& func : module.funcs) Planner(module, func, options.max_batch).run();
}

}  // namespace sinter::compiler
