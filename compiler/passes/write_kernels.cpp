#include "compiler/passes/write_kernels.h"

#include <algorithm>
#include <set>
#include <vector>

#include <fmt/format.h>

#include <sinter/error.h>

#include "compiler/forms/kernel.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::Op;
using ir::OpKind;
using ir::Trait;
using ir::ValueId;

namespace {

class KernelWriter {
 public:
  KernelWriter(const FusionGroups& groups, const ReasonsApart& reasons)
      : groups_(groups), reasons_(reasons), func_(groups.func()) {}

  void run() {
    std::map<int, int> left;  // unplaced predecessors
    std::map<int, std::set<int>> successors;
    for (int g = 0; g < groups_.size(); ++g) {
      if (!groups_.alive(g)) continue;
      const std::set<int> before = groups_.predecessors(g);
      left[g] = static_cast<int>(before.size());
      for (int p : before) successors[p].insert(g);
    }
    // Earliest recorded first, so that the text keeps the order of the user's program.
    std::set<std::pair<int, int>> ready;
    const auto offer = [&](int g) { ready.insert({*groups_.positions(g).begin(), g}); };
    for (const auto& [g, count] : left) {
      if (count == 0) offer(g);
    }
    size_t placed = 0;
    while (!ready.empty()) {
      const int g = ready.begin()->second;
      ready.erase(ready.begin());
      write(g);
      ++placed;
      for (int s : successors[g]) {
        if (--left[s] == 0) offer(s);
      }
    }
    SINTER_CHECK(placed == left.size(), "the kernels of @{} wait for each other", func_.name);
    for (ValueId v : func_.results) write_views(v);
    ir::compact(func_);
  }

 private:
  // Puts the views at the top level behind `v` into the body, each before its first reader.
  void write_views(ValueId v) {
    const Op* view = groups_.outer_view(v);
    if (!view || !written_views_.insert(v).second) return;
    write_views(view->operands[0]);
    func_.body.push_back(*view);
  }

  void write(int g) {
    Op kernel{.kind = OpKind::kernel, .operands = {}};
    kernel.body = body(g, true);
    // A copy that two ops share runs along the axes of both, which may be too many.
    if (kernel.body.size() < groups_.positions(g).size() && !groups_.is_kernel(kernel.body)) {
      kernel.body = body(g, false);
    }
    for (const Op& op : kernel.body) {
      if (op.result.valid() && groups_.read_outside(op.result, g)) {
        kernel.outputs.push_back(op.result);
      }
    }
    describe(kernel, g);
    func_.body.push_back(std::move(kernel));
  }

  std::vector<Op> body(int g, bool merge_twins) {
    std::vector<Op> out;
    std::map<ValueId, ValueId> merged;
    for (int position : groups_.positions(g)) {
      Op op = groups_.op(position);
      for (ValueId& v : op.operands) {
        if (const auto it = merged.find(v); it != merged.end()) v = it->second;
        write_views(v);
      }
      if (const Op* same = merge_twins ? twin(out, op) : nullptr) {
        merged[op.result] = same->result;
        continue;
      }
      out.push_back(std::move(op));
    }
    return out;
  }

  // An op of the kernel that computes the same: copies of one free op.
  const Op* twin(const std::vector<Op>& body, const Op& op) const {
    if (!groups_.is_copy(op.result)) return nullptr;
    const auto it = std::find_if(body.begin(), body.end(), [&](const Op& other) {
      return other.kind == op.kind && other.operands == op.operands && other.attrs == op.attrs &&
             groups_.is_copy(other.result) && func_.type(other.result) == func_.type(op.result);
    });
    return it == body.end() ? nullptr : &*it;
  }

  // Name, location and notes: what a reader of the dump wants to know first.
  void describe(Op& kernel, int g) {
    std::vector<std::string> parts;
    const Op* speaker = nullptr;
    for (const Op& op : kernel.body) {
      const ir::OpDef& d = def(op);
      const bool notable = reads_memory(op) || d.is(Trait::reduction) ||
                           op.kind == OpKind::assign ||
                           (d.is(Trait::elementwise) && !func_.type(op.result).is_scalar());
      if (reads_memory(op)) speaker = &op;
      if (!speaker && op.loc.known()) speaker = &op;
      const std::string part(op.kind == OpKind::assign ? "update" : d.name);
      if (notable && std::find(parts.begin(), parts.end(), part) == parts.end()) {
        parts.push_back(part);
      }
    }
    if (parts.size() > 4) {  // the root and the ends say most
      parts = {parts[0], parts[1], parts[2], parts.back()};
    }
    if (speaker) kernel.loc = speaker->loc;
    std::string name = fmt::format("k{}", names_.size());
    for (const std::string& p : parts) name += "_" + p;
    names_[g] = name;
    kernel.attrs = ir::complete_attrs(OpKind::kernel, {{"name", name}});
    for (int p : groups_.data_predecessors(g)) {
      const auto it = reasons_.find({p, g});
      if (it != reasons_.end() && !it->second.empty()) {
        kernel.notes.push_back(fmt::format("apart from {}: {}", names_[p], it->second));
      }
    }
  }

  const FusionGroups& groups_;
  const ReasonsApart& reasons_;
  ir::Func& func_;
  std::set<ValueId> written_views_;
  std::map<int, std::string> names_;
};

}  // namespace

void write_kernels(const FusionGroups& groups, const ReasonsApart& reasons) {
  KernelWriter(groups, reasons).run();
}

}  // namespace sinter::compiler
