// The ops of a function as groups, each of which becomes a kernel: a graph that `fuse` makes
// smaller and smaller, and that stays one from which kernels can be written.
//
// Invariants:
//  1. Free ops cost nothing and belong to whoever reads them: each reader has private copies of the
//     sources (constant, iota, extent), the views, and the scalar arithmetic on entry values that
//     it needs. So no kernel waits for `1 - beta1`, and no memory holds it.
//  2. A group may only read memory that is written before it runs: groups form an acyclic graph
//     over two kinds of edges: value computed -> value read, and global read -> global assigned,
//     since assigns happen in place and `@w` means the value on entry everywhere.
//  3. Positions (numbers of ops) keep the recorded order inside every kernel.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "compiler/passes/free_ops.h"
#include "ir/graph.h"

namespace sinter::compiler {

class FusionGroups {
 public:
  // One group for each op that is not free. Takes the ops out of the body of `func`, whose values
  // stay; both have to outlive this object.
  FusionGroups(const ir::Module& module, ir::Func& func);
  FusionGroups(const FusionGroups&) = delete;

  ir::Func& func() const { return func_; }
  // Groups are numbers from 0 to size() - 1; those that were merged into others are not alive.
  int size() const { return static_cast<int>(groups_.size()); }
  bool alive(int g) const { return !groups_[static_cast<size_t>(g)].empty(); }
  const std::set<int>& positions(int g) const { return groups_[static_cast<size_t>(g)]; }
  const ir::Op& op(int position) const { return *ops_[static_cast<size_t>(position)]; }
  int group_of(int position) const { return group_of_[static_cast<size_t>(position)]; }

  // Position of the op that computes what `v` reads, looking through views at the top level; -1 for
  // entry values.
  int producer(ir::ValueId v) const;
  // The value that views at the top level show.
  ir::ValueId behind_views(ir::ValueId v) const;
  // The view at the top level that makes `v`; null for entry values and what a group computes.
  const ir::Op* outer_view(ir::ValueId v) const;
  // Whether `v` is made by a group's private copy of a free op.
  bool is_copy(ir::ValueId v) const { return copies_.count(v) > 0; }

  // Groups that must run before `g`, and those of them that compute what it reads.
  const std::set<int>& predecessors(int g) const { return before_[static_cast<size_t>(g)]; }
  std::set<int> data_predecessors(int g) const;
  std::set<int> readers_of(int g) const;
  // Whether a group other than `g`, or a result of the function, reads `v`, which `g` computes.
  bool read_outside(ir::ValueId v, int g) const;
  // Whether the function returns what `g` computes.
  bool is_result(int g) const;
  // Whether some op reads `v` from memory, fused or not.
  bool read_from_memory(ir::ValueId v) const;

  // Whether one loop nest runs these ops.
  bool is_kernel(const std::vector<ir::Op>& body) const;

  // Merges group `a` into `b`, which reads it; leaves the reason in `why` if they stay apart.
  bool merge(int a, int b, std::string& why);

 private:
  using Op = ir::Op;
  using ValueId = ir::ValueId;
  using Copies = std::map<ValueId, ValueId>;  // of one group: the free value -> its private copy

  bool entry(ValueId v) const { return func_[v].def != ir::ValueDef::op; }

  // Which views a group has copies of: all, or those that do not lead to memory.
  enum class Views { inside, of_copies };
  // Whether operands that come from one free op share its copy.
  enum class Sharing { all_operands, none };

  void add_group(const Op& op, Views views, Sharing sharing);
  void drop_group();
  bool views_memory(ValueId v) const;
  bool copies_a_view(int g) const;
  bool is_kernel(int g) const;
  int add(Op op);
  ValueId private_copy(ValueId v, Copies& copies);
  void index_readers();
  void index_groups();
  void take_over_edges(int a, int b);

  std::set<int> readers_of_global(ValueId global) const;
  bool reaches(int from, int to, bool skip_direct) const;
  bool reads_own_behind_view(const std::set<int>& positions) const;
  bool updates_behind_view(const std::vector<const Op*>& list) const;

  const ir::Module& module_;
  ir::Func& func_;
  FreeOps free_ops_;
  std::vector<Op> recorded_;
  std::map<ValueId, const Op*> original_;
  std::vector<std::unique_ptr<Op>> ops_;
  std::vector<int> group_of_;
  std::vector<std::set<int>> groups_;  // positions
  std::map<ValueId, int> made_at_;
  std::set<ValueId> copies_;
  std::map<ValueId, std::vector<int>> readers_;  // behind views; an assigned global is not read
  // By group: those that must run before it, and those that must run after it.
  std::vector<std::set<int>> before_, after_;
};

}  // namespace sinter::compiler
