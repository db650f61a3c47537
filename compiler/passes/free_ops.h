// Which ops of a function cost nothing, so that each reader may have its own copy, and which of
// them need memory all the same. The first step of `fuse`.
#pragma once

#include <set>
#include <vector>

#include "compiler/forms/kernel.h"
#include "ir/graph.h"

namespace sinter::compiler {

// Free ops are sources (constant, iota, extent), views, and scalar arithmetic on entry values; what
// takes a core longer, as the powers of beta that correct Adam's moments, is computed once if
// several ops read it. The constructor also adds copies to the function where a result, or an
// update, would otherwise have no memory of its own.
class FreeOps {
 public:
  explicit FreeOps(ir::Func& func);

  // Whether the op that makes `v` is free and lies in no memory: readers copy it.
  bool belong_to_readers(ir::ValueId v) const {
    return !entry(v) && free_[idx(v)] && !materialize_.count(v);
  }

 private:
  using ValueId = ir::ValueId;
  using Op = ir::Op;

  void find_free_ops();
  void untangle_updates();
  bool shows(ValueId v, ValueId global) const;
  std::set<ValueId> sources(ValueId v) const;
  Op copy_of(ValueId& v);
  void give_results_memory();
  void share_long_scalars();
  bool takes_long(const Op& op) const;
  StoredSet stored_if(ValueId v) const;
  void need_behind_views(ValueId v);
  bool entry(ValueId v) const { return func_[v].def != ir::ValueDef::op; }
  static size_t idx(ValueId v) { return static_cast<size_t>(v.index); }

  ir::Func& func_;
  std::vector<const Op*> defs_;
  std::vector<bool> free_;         // by value
  std::set<ValueId> materialize_;  // free, but in memory
};

}  // namespace sinter::compiler
