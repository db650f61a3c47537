// Fusion: one mechanism for all of linear+bias+ReLU, mask+bias gradient, softmax+cross-entropy and
// weight gradient+optimizer update. Ops start as groups of one; two groups merge when one reads
// what the other computes, analyze_kernel says that both together are one kernel, and no third
// group has to run between them. What remains apart keeps the reason as a note.
//
// This file decides which groups are tried, and in which order; FusionGroups knows what may merge.
#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "compiler/forms/kernel.h"
#include "compiler/passes/fusion_groups.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/write_kernels.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::Func;
using ir::Module;
using ir::Op;
using ir::OpKind;
using ir::Trait;
using ir::ValueId;

namespace {

class Fuser {
 public:
  Fuser(const Module& module, Func& func)
      : func_(func), groups_(module, func), sources_(static_cast<size_t>(groups_.size())) {}

  void run() {
    sink_into_readers();
    merge_along_edges();
    merge_scalar_groups();
    write_kernels(groups_, reasons_);
  }

 private:
  using Edge = std::pair<int, int>;  // a group and one that reads it

  // Cheap arithmetic on values that are stored anyway moves to its only reader: it is done again
  // from memory that has to be there, instead of being stored itself.
  void sink_into_readers() {
    for (int g = groups_.size() - 1; g >= 0; --g) {
      if (!elementwise_only(g) || groups_.is_result(g) || !inputs_are_stored(g)) continue;
      const std::set<int> readers = groups_.readers_of(g);
      std::string why;
      if (readers.size() == 1) groups_.merge(g, *readers.begin(), why);
    }
  }

  // Whether an op that reads from memory reads everything that group `g` reads.
  bool inputs_are_stored(int g) const {
    for (int position : groups_.positions(g)) {
      for (ValueId v : groups_.op(position).operands) {
        const int from = groups_.producer(v);
        if (from < 0 || groups_.group_of(from) == g) continue;
        if (!groups_.read_from_memory(v)) return false;
      }
    }
    return true;
  }

  bool elementwise_only(int g) const {
    for (int position : groups_.positions(g)) {
      const ir::OpDef& d = def(groups_.op(position));
      if (!d.is(Trait::elementwise) && !d.is(Trait::source) && !d.is(Trait::view)) return false;
    }
    return groups_.alive(g);
  }

  // Merges along the edges that carry most first: a full [n, 10] before a row [n, 1], so that the
  // little that is left over does not stand between two big ones.
  void merge_along_edges() {
    for (int g = 0; g < groups_.size(); ++g) {
      if (groups_.alive(g)) weigh_edges_into(g);
    }
    while (!untried_.empty()) {
      const Edge best = untried_.begin()->second;
      untried_.erase(untried_.begin());
      const auto [from, into] = best;
      if (!groups_.merge(from, into, reasons_[best])) continue;
      // Edges of the group that has grown are weighed, and tried, anew.
      const std::set<int> readers = groups_.readers_of(into);
      for (int g : {from, into}) {
        for (const auto& [source, bytes] : sources_of(g)) untried_.erase({-bytes, {source, g}});
        sources_of(g).clear();
        for (int reader : readers) {
          if (const auto edge = sources_of(reader).extract(g)) {
            untried_.erase({-edge.mapped(), {g, reader}});
          }
        }
      }
      weigh_edges_into(into);
      for (int g : readers) weigh_edges_into(g);
    }
  }

  // The groups that `g` reads, as far as weighed, and the bytes.
  std::map<int, int64_t>& sources_of(int g) { return sources_[static_cast<size_t>(g)]; }

  // Bytes that group `g` reads from each other group, for a batch of some size.
  void weigh_edges_into(int g) {
    constexpr int64_t some_rows = 64;
    std::set<ValueId> seen;
    std::map<int, int64_t> weights;
    for (int position : groups_.positions(g)) {
      for (ValueId v : groups_.op(position).operands) {
        const int from = groups_.producer(v);
        if (from < 0 || groups_.group_of(from) == g) continue;
        const ValueId read = groups_.behind_views(v);
        if (!seen.insert(read).second) continue;
        weights[groups_.group_of(from)] += func_.type(read).bytes(some_rows);
      }
    }
    for (const auto& [source, bytes] : weights) {
      if (is_shared_scalar(source)) continue;
      // Where neither end has grown, what was tried in vain still would be.
      if (sources_of(g).emplace(source, bytes).second) untried_.insert({-bytes, {source, g}});
    }
  }

  // What several kernels read stays apart, or all others would wait for the one that computes it,
  // and what updates the state behind it for all of them.
  bool is_shared_scalar(int g) const {
    return groups_.predecessors(g).empty() && scalar_only(g) && groups_.readers_of(g).size() > 1;
  }

  // Updates of scalar state (step counts, powers of beta), and what several kernels read of it,
  // share one kernel.
  void merge_scalar_groups() {
    int last = -1;
    for (int g = 0; g < groups_.size(); ++g) {
      if (!groups_.alive(g) || !scalar_only(g)) continue;
      std::string why;
      // Whichever of the two has to run first.
      if (last >= 0 && !groups_.merge(last, g, why) && groups_.merge(g, last, why)) continue;
      last = g;
    }
  }

  bool scalar_only(int g) const {
    for (int position : groups_.positions(g)) {
      const Op& op = groups_.op(position);
      const ValueId v = op.kind == OpKind::assign ? op.operands[1] : op.result;
      if (!func_.type(v).is_scalar() || reads_memory(op) || def(op).is(Trait::reduction)) {
        return false;
      }
    }
    return true;
  }

  Func& func_;
  FusionGroups groups_;
  ReasonsApart reasons_;
  std::vector<std::map<int, int64_t>> sources_;  // by group
  std::set<std::pair<int64_t, Edge>> untried_;   // by -bytes: since both ends last grew
};

}  // namespace

void fuse(Module& module, const Options&) {
  for (Func& func : module.funcs) {
    const bool fused = std::any_of(func.body.begin(), func.body.end(),
                                   [](const Op& op) { return op.kind == OpKind::kernel; });
    if (!fused) Fuser(module, func).run();
  }
}

}  // namespace sinter::compiler
