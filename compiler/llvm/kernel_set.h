// The kernels of one LLVM module, equal ones once.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <llvm/Transforms/Utils/FunctionComparator.h>

#include "compiler/llvm/emit_kernel.h"

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

  // These return the bytes of scratch memory that the kernel needs. Common are kernels without
  // twins, and the first body of each group, which tells how long the group takes to compile: the
  // modules for all shares have them. The others are emitted for their own share only, afterwards.
  int64_t emit_common(const ir::Op& kernel);
  int64_t emit_own(const ir::Op& kernel);

  // The share to which a function belongs: Share::any if it is not the first body of a group.
  int share_of(const llvm::Function& f) const;

 private:
  struct Group {
    int kernels = 0, share = 0;
    std::vector<llvm::Function*> bodies;
    KernelEmitter::Places first_places;
    bool first_called = false;
  };
  Group& group_of(const ir::Op& kernel);
  void call_with(const KernelEmitter::Places& places, llvm::Function* body,
                 const std::string& name);

  const FunctionContext& context_;
  const Share share_;
  std::map<std::string, Group> groups_;
  llvm::GlobalNumberState globals_;
};

}  // namespace sinter::compiler
