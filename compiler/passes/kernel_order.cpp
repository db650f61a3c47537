#include "compiler/passes/kernel_order.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "compiler/forms/batch_form.h"
#include "compiler/forms/cost.h"
#include "compiler/forms/kernel.h"
#include "compiler/passes/thread_shares.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::Func;
using ir::Module;
using ir::Op;
using ir::OpKind;
using ir::ValueId;

KernelTouch kernel_touch(const Func& func, const StoredValues& values, const Op& kernel) {
  return {touched_values(func, values, kernel), kernel.attrs.flag("parallel"),
          kernel.attrs.integer("thread"), kernel.attrs.integer("parts")};
}

bool run_by_one_thread(const KernelTouch& a, const KernelTouch& b) {
  return !a.parallel && !b.parallel && a.thread == b.thread;
}

int64_t parts_of_batch(const Func& func) {
  int64_t out = 1;
  ir::for_each_op(func.body, [&](const Op& op) { out = std::max(out, sum_parts(op)); });
  return out;
}

namespace {

// A step that is expected to take less is quicker on one thread than on two with barriers; a kernel
// below the second number is not worth cutting up. From the third on it has chunks that are worth
// taking from another thread, whose caches they may be in.
constexpr double parallel_step_us = 10, parallel_kernel_us = 0.2, chunked_kernel_us = 40;

class Orderer {
 public:
  Orderer(const Module& module, Func& func, int64_t n) : module_(module), func_(func), n_(n) {}

  void run() {
    choose_threads();
    insert_barriers();
    deal_serial_kernels();
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
    const int64_t parts = parts_of_batch(func_);
    for (Op& op : func_.body) {
      if (op.kind != OpKind::kernel) continue;
      const KernelCost cost = kernel_cost(module_, func_, values_, op, n_);
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
    choose_thread_shares(module_, func_, values_, n_);
  }

  bool takes_parts(const Op& kernel) const {
    const KernelForm form = kernel_form(module_, func_, kernel);
    return form.parts > 1 || form.keeps_to_own_rows(func_);
  }

  // Threads take chunks of rows; the totals of each have a place of their own.
  void share_rows(Op& kernel) {
    const BatchChunks chunks = batch_chunks(func_, batch_form(func_, kernel), n_);
    kernel.attrs.set("parallel", chunks.rows > 0);
    kernel.attrs.set("chunk", chunks.rows);
    kernel.attrs.set("in_chunks", chunks.rows > 0);
  }

  KernelTouch touch(const Op& kernel) const { return kernel_touch(func_, values_, kernel); }

  // Whether the order of two kernels matters, and whether across threads: rows of the batch belong
  // to the thread that has their part.
  enum class Conflict { none, within_thread, across_threads };
  Conflict conflict(const KernelTouch& first, const KernelTouch& second) const {
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
      KernelTouch touch;
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
    std::vector<KernelTouch> running;  // since the last barrier
    std::vector<bool> placed(kernels.size(), false);
    const auto ready = [&](const Kernel& k) {
      return std::all_of(k.before.begin(), k.before.end(), [&](size_t i) { return placed[i]; });
    };
    const auto waits = [&](const Kernel& k) {
      return std::any_of(running.begin(), running.end(), [&](const KernelTouch& r) {
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
    if (std::none_of(func_.body.begin(), func_.body.end(), [](const Op& op) {
          return op.kind == OpKind::kernel && op.attrs.flag("parallel");
        })) {
      return;
    }
    std::vector<Op*> serial;
    for (Op& op : func_.body) {
      if (op.kind == OpKind::barrier) deal_among_threads(std::exchange(serial, {}));
      if (op.kind == OpKind::kernel && !op.attrs.flag("parallel")) serial.push_back(&op);
    }
    deal_among_threads(serial);
  }

  void deal_among_threads(const std::vector<Op*>& serial) {
    if (serial.size() < 2) return;
    struct Chain {  // of kernels that have to follow each other
      std::vector<Op*> kernels;
      std::vector<KernelTouch> touches;
      double us = 0;
    };
    std::vector<Chain> chains;
    for (Op* op : serial) {
      Chain own{{op}, {touch(*op)}, kernel_cost(module_, func_, values_, *op, n_).us};
      const auto meets_own = [&](const KernelTouch& t) {
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
    if (chains.size() < 2) return;
    std::stable_sort(chains.begin(), chains.end(),
                     [](const Chain& a, const Chain& b) { return a.us > b.us; });
    // The first thread has started the others and will wait for them: it gets the shorter ones.
    for (size_t i = 0; i < chains.size(); ++i) {
      for (Op* op : chains[i].kernels) op->attrs.set("thread", static_cast<int64_t>(i + 1));
    }
  }

  const Module& module_;
  Func& func_;
  const int64_t n_;
  StoredValues values_{func_};
};

}  // namespace

void order_kernels(const Module& module, Func& func, int64_t n) { Orderer(module, func, n).run(); }

}  // namespace sinter::compiler
