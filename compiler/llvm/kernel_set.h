// The kernels of one LLVM module: the code of each, equal ones once, and a sinter_kernel that says
// how it is called.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <llvm/Transforms/Utils/FunctionComparator.h>

#include "compiler/llvm/kernel/emit_kernel.h"

namespace sinter::compiler {

// A function may be compiled in shares, each from a module of its own.
struct Share {
  int number = 0, of = 1;
  static constexpr int any = -1;
};

// Kernels that may have one body for all form a group, and belong to one share.
class KernelSet {
 public:
  KernelSet(const FunctionContext& context, const std::vector<const ir::Op*>& kernels,
            const Share& share);

  // Emits kernels without twins, and the first body of each group, which tells how long the group
  // takes to compile: the modules for all shares have them.
  void emit_common();
  // Then the kernels of the groups that belong to this share.
  void emit_own();

  // Bytes of its own that each thread needs for any kernel that has been emitted.
  int64_t scratch_bytes() const { return scratch_bytes_; }

  // Whether its body takes places from a table or works by chunks, so that sinter_run_kernel has to
  // call it.
  bool is_movable(const ir::Op& kernel) const { return movable_.count(&kernel) > 0; }

  // The share to which a function belongs: Share::any if it is not the first body of a group.
  int share_of(const llvm::Function& f) const;

 private:
  // A function, and how a kernel calls it.
  struct Body {
    llvm::Function* function = nullptr;
    KernelEmitter::Places places = {};
    std::optional<sinter_chunk_plan> chunks = {};
  };
  struct Group {
    std::vector<const ir::Op*> kernels;
    int share = 0;
    std::vector<llvm::Function*> bodies;
    Body first;
  };
  Body emit_movable(const ir::Op& kernel);
  llvm::Function* among(std::vector<llvm::Function*>& bodies, llvm::Function* body);
  void describe(const ir::Op& kernel, const Body& body);

  const FunctionContext& context_;
  const Share share_;
  std::vector<const ir::Op*> by_batch_;
  std::map<std::string, Group> groups_;  // of the others
  std::set<const ir::Op*> movable_;
  int64_t scratch_bytes_ = 0;
  llvm::GlobalNumberState globals_;
};

}  // namespace sinter::compiler
