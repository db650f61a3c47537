// Gives every stored value of an ordered function (kernel_order.h) its place in one arena.
//
// Two values may share bytes when no kernel that touches one can run while the other is alive.
// Kernels are given times: a kernel starts after all kernels of earlier times have ended. Between
// kernels that one thread runs in order that is so by itself; elsewhere it takes a barrier.
#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "compiler/forms/batch_form.h"
#include "compiler/forms/kernel.h"
#include "compiler/passes/kernel_order.h"
#include "compiler/passes/passes.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::Func;
using ir::Module;
using ir::Op;
using ir::OpKind;
using ir::ValueId;

namespace {

constexpr int64_t cache_line = 64, alignment = cache_line;

int64_t aligned(int64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

class Planner {
 public:
  Planner(Func& func, int64_t max_batch) : func_(func), max_batch_(max_batch) {}

  void run() {
    find_lifetimes();
    allocate();
    func_.max_batch = max_batch_;
  }

 private:
  ValueId base(ValueId v) const { return stored_base(func_, values_, v); }

  // Gives kernels their times. Those of one thread follow each other by themselves; what else
  // stands between two barriers may run at any time between them.
  void find_lifetimes() {
    int time = 0, since = 0;  // since: when the kernels in `running` began
    std::vector<KernelTouch> running;
    for (const Op& op : func_.body) {
      if (op.kind == OpKind::barrier) {
        running.clear();
      } else if (op.kind == OpKind::kernel) {
        const KernelTouch own = kernel_touch(func_, values_, op);
        const bool follows = std::all_of(running.begin(), running.end(), [&](const KernelTouch& r) {
          return run_by_one_thread(r, own);
        });
        if (follows) ++time;
        if (running.empty()) since = time;
        if (!follows || own.parallel) record(own, since);
        record(own, time);
        running.push_back(own);
      }
    }
  }

  void record(const KernelTouch& t, int time) {
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
    std::set<ValueId> in_parts;
    ir::for_each_op(func_.body, [&](const Op& op) {
      if (sum_parts(op) > 1) in_parts.insert(op.result);
    });
    const int64_t parts = parts_of_batch(func_);
    for (ValueId v : values) {
      func_[v].storage = ir::Storage{};
      const ir::Type& type = func_.type(v);
      // Parts of weight gradients go through arithmetic only, which likes them without gaps.
      if (in_parts.count(v) && type.rank() > 2) continue;
      if (type.rank() < 2 || type.shape.back().batch || reshaped.count(v)) continue;
      const auto size = static_cast<int64_t>(dtype_size(type.dtype));
      int64_t row_bytes = type.shape.back().scale * size;
      // What another thread writes lies in lines of its own.
      const bool by_rows = parts > 1 && type.shape.front() == ir::batch_dim && row_bytes > size;
      if (by_rows || in_parts.count(v)) row_bytes = aligned(row_bytes);
      if (row_bytes % (4 * cache_line) == 0) row_bytes += cache_line;
      if (row_bytes != type.shape.back().scale * size) func_[v].storage->pitch = row_bytes / size;
    }
  }

  // Largest first, each at the lowest offset where it meets nothing that is alive with it.
  void allocate() {
    std::set<ValueId> results;
    for (ValueId v : func_.results) results.insert(base(v));
    std::vector<ValueId> values;
    for (ValueId v : values_.stored) {
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

  Func& func_;
  const int64_t max_batch_;
  const StoredValues values_{func_};
  std::map<ValueId, std::pair<int, int>> alive_;  // first and last time
};

}  // namespace

void plan_memory(Module& module, const Options& options) {
  SINTER_CHECK(options.max_batch >= 1, "max_batch is {}", options.max_batch);
  for (Func& func : module.funcs) {
    order_kernels(module, func, options.max_batch);
    Planner(func, options.max_batch).run();
  }
}

}  // namespace sinter::compiler
