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
#include "compiler/passes/thread_shares.h"
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
// below the second number is not worth cutting up. From the third on it has chunks that are worth
// taking from another thread, whose caches they may be in.
constexpr double parallel_step_us = 10, parallel_kernel_us = 0.2, chunked_kernel_us = 40;

int64_t aligned(int64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

struct Touch : TouchedValues {
  bool parallel = false;
  int64_t thread = 0;  // that runs it, if it is not parallel
  int64_t parts = 1;
};

class Planner {
 public:
  Planner(const Module& module, Func& func, int64_t max_batch)
      : module_(module), func_(func), max_batch_(max_batch) {}

  void run() {
    SINTER_CHECK(max_batch_ >= 1, "max_batch is {}", max_batch_);
    choose_threads();
    insert_barriers();
    deal_serial_kernels();
    find_lifetimes();
    allocate();
    func_.max_batch = max_batch_;
  }

 private:
  void choose_threads() {
    struct Expected {
      Op* op;
      double us;
      bool by_products;
    };
    std::vector<Expected> kernels;
    double total = 0;
    const int64_t parts = parts_of_batch();
    for (Op& op : func_.body) {
      if (op.kind != OpKind::kernel) continue;
      const KernelCost cost = kernel_cost(module_, func_, values_, op, max_batch_);
      op.notes.push_back(to_string(cost));
      if (batch_in_lanes(op)) {
        share_rows(op);
        continue;
      }
      const double us = cost.serial ? 0 : cost.us;
      total += us;
      kernels.push_back({&op, us, cost.bound == KernelCost::by_multiply_adds});
      op.attrs.set("parts", parts > 1 && takes_parts(op) ? parts : 1);
    }
    for (const auto& [op, us, by_products] : kernels) {
      const bool worth_it = us >= parallel_kernel_us || op->attrs.integer("parts") > 1;
      const bool parallel = total >= parallel_step_us && worth_it;
      op->attrs.set("parallel", parallel);
      if (parallel && by_products && us >= chunked_kernel_us) op->attrs.set("in_chunks", true);
    }
    choose_thread_shares(module_, func_, values_, max_batch_);
  }

  bool takes_parts(const Op& kernel) const {
    const KernelForm form = kernel_form(module_, func_, kernel);
    return form.parts > 1 || form.keeps_to_own_rows(func_);
  }

  // Into how many parts sums cut the batch, if they agree.
  int64_t parts_of_batch() const {
    int64_t out = 1;
    ir::for_each_op(func_.body, [&](const Op& op) { out = std::max(out, sum_parts(op)); });
    return out;
  }

  // Threads take chunks of rows; the totals of each have a place of their own.
  void share_rows(Op& kernel) {
    const BatchChunks chunks = batch_chunks(func_, batch_form(func_, kernel), max_batch_);
    kernel.attrs.set("parallel", chunks.rows > 0);
    kernel.attrs.set("chunk", chunks.rows);
    kernel.attrs.set("in_chunks", chunks.rows > 0);
  }

  ValueId base(ValueId v) const { return stored_base(func_, values_, v); }

  Touch touch(const Op& kernel) const {
    return {touched_values(func_, values_, kernel), kernel.attrs.flag("parallel"),
            kernel.attrs.integer("thread"), kernel.attrs.integer("parts")};
  }

  static bool run_by_one_thread(const Touch& a, const Touch& b) {
    return !a.parallel && !b.parallel && a.thread == b.thread;
  }

  // Whether the order of two kernels matters, and whether across threads: rows of the batch belong
  // to the thread that has their part.
  enum class Conflict { none, within_thread, across_threads };
  Conflict conflict(const Touch& first, const Touch& second) const {
    const bool same_parts = first.parts > 1 && first.parts == second.parts;
    Conflict out = Conflict::none;
    const auto meet = [&](const std::set<ValueId>& a, const std::set<ValueId>& b) {
      for (ValueId v : a) {
        if (!b.count(v)) continue;
        const ir::Shape& shape = func_.type(v).shape;
        const bool by_row = !shape.empty() && shape[0] == ir::batch_dim;
        out = std::max(out,
                       same_parts && by_row ? Conflict::within_thread : Conflict::across_threads);
      }
    };
    meet(first.writes, second.reads);
    meet(first.reads, second.writes);
    meet(first.writes, second.writes);
    if (run_by_one_thread(first, second)) out = std::min(out, Conflict::within_thread);
    return out;
  }

  // Kernels in an order that needs few barriers: those that no barrier has to come before go first.
  void insert_barriers() {
    // Asked for before any op moves: a touch looks through views at the top level.
    struct Kernel {
      Op* op;
      Touch touch;
      std::vector<size_t> before;  // kernels that this one has to follow
    };
    std::vector<Kernel> kernels;
    std::vector<Op> body;
    std::set<ValueId> hidden;  // made by a kernel or a view that has no place yet
    std::vector<Op*> views;
    for (Op& op : func_.body) {
      hidden.insert(op.outputs.begin(), op.outputs.end());
      if (op.kind != OpKind::kernel) {
        hidden.insert(op.result);
        views.push_back(&op);
        continue;
      }
      Kernel k{&op, touch(op), {}};
      for (size_t i = 0; i < kernels.size(); ++i) {
        if (conflict(kernels[i].touch, k.touch) != Conflict::none) k.before.push_back(i);
      }
      kernels.push_back(std::move(k));
    }
    const auto place_views = [&] {
      std::erase_if(views, [&](Op* view) {
        if (hidden.count(view->operands[0])) return false;
        hidden.erase(view->result);
        body.push_back(std::move(*view));
        return true;
      });
    };
    place_views();
    std::vector<Touch> running;  // since the last barrier
    std::vector<bool> placed(kernels.size(), false);
    const auto ready = [&](const Kernel& k) {
      return std::all_of(k.before.begin(), k.before.end(), [&](size_t i) { return placed[i]; });
    };
    const auto waits = [&](const Kernel& k) {
      return std::any_of(running.begin(), running.end(), [&](const Touch& r) {
        return conflict(r, k.touch) == Conflict::across_threads;
      });
    };
    for (size_t count = 0; count < kernels.size(); ++count) {
      size_t next = kernels.size();
      for (size_t i = 0; i < kernels.size(); ++i) {
        if (placed[i] || !ready(kernels[i])) continue;
        if (next == kernels.size()) next = i;
        if (waits(kernels[i])) continue;
        next = i;
        break;
      }
      Kernel& k = kernels[next];
      placed[next] = true;
      if (waits(k)) {
        body.push_back(Op{.kind = OpKind::barrier, .operands = {}});
        running.clear();
      }
      running.push_back(k.touch);
      for (ValueId v : k.op->outputs) hidden.erase(v);
      body.push_back(std::move(*k.op));
      place_views();
    }
    func_.body = std::move(body);
    // The ops have moved, so their addresses have changed.
    values_ = StoredValues(func_);
  }

  // Kernels between two barriers that one thread has to run and that do not wait for each other go
  // to different threads in turns, the longest first.
  void deal_serial_kernels() {
    std::vector<Op*> serial;
    bool parallel = false;
    const auto deal = [&] {
      if (parallel) deal_among_threads(serial);
      serial.clear();
    };
    for (const Op& op : func_.body)
      parallel |= op.kind == OpKind::kernel && op.attrs.flag("parallel");
    for (Op& op : func_.body) {
      if (op.kind == OpKind::barrier) deal();
      if (op.kind == OpKind::kernel && !op.attrs.flag("parallel")) serial.push_back(&op);
    }
    deal();
  }

  void deal_among_threads(const std::vector<Op*>& serial) {
    struct Chain {  // of kernels that have to follow each other
      std::vector<Op*> kernels;
      std::vector<Touch> touches;
      double us = 0;
    };
    std::vector<Chain> chains;
    for (Op* op : serial) {
      Chain own{{op}, {touch(*op)}, kernel_cost(module_, func_, values_, *op, max_batch_).us};
      const auto meets_own = [&](const Touch& t) {
        return conflict(t, own.touches.front()) != Conflict::none;
      };
      std::erase_if(chains, [&](Chain& chain) {
        if (std::none_of(chain.touches.begin(), chain.touches.end(), meets_own)) return false;
        own.kernels.insert(own.kernels.end(), chain.kernels.begin(), chain.kernels.end());
        own.touches.insert(own.touches.end(), chain.touches.begin(), chain.touches.end());
        own.us += chain.us;
        return true;
      });
      chains.push_back(std::move(own));
    }
    std::stable_sort(chains.begin(), chains.end(),
                     [](const Chain& a, const Chain& b) { return a.us > b.us; });
    // The first thread has started the others and will wait for them: it gets the shorter ones.
    for (size_t i = 0; chains.size() > 1 && i < chains.size(); ++i) {
      for (Op* op : chains[i].kernels) op->attrs.set("thread", static_cast<int64_t>(i + 1));
    }
  }

  // Gives kernels their times. Those of one thread follow each other by themselves; what else
  // stands between two barriers may run at any time between them.
  void find_lifetimes() {
    int time = 0, since = 0;  // since: when the kernels in `running` began
    std::vector<Touch> running;
    for (const Op& op : func_.body) {
      if (op.kind == OpKind::barrier) {
        running.clear();
      } else if (op.kind == OpKind::kernel) {
        const Touch own = touch(op);
        const bool follows = std::all_of(running.begin(), running.end(),
                                         [&](const Touch& r) { return run_by_one_thread(r, own); });
        if (follows) ++time;
        if (running.empty()) since = time;
        if (!follows || own.parallel) record(own, since);
        record(own, time);
        running.push_back(own);
      }
    }
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
    std::set<ValueId> in_parts;
    ir::for_each_op(func_.body, [&](const Op& op) {
      if (sum_parts(op) > 1) in_parts.insert(op.result);
    });
    const int64_t parts = parts_of_batch();
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

  const Module& module_;
  Func& func_;
  const int64_t max_batch_;
  StoredValues values_{func_};
  std::map<ValueId, std::pair<int, int>> alive_;  // first and last time
};

}  // namespace

void plan_memory(Module& module, const Options& options) {
  for (Func& func : module.funcs) Planner(module, func, options.max_batch).run();
}

}  // namespace sinter::compiler
