// Reductions over the columns: a running state for each lane, folded across lanes at the end in a
// fixed tree. Also the sums over rows, which need no last step.
#include <limits>

#include "compiler/llvm/emit_scalar.h"
#include "compiler/llvm/kernel/emit_kernel.h"
#include "compiler/llvm/reduction.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::OpKind;
using llvm::Value;

int KernelEmitter::state_size(const KernelOp& k) { return k.op->kind == OpKind::argmax ? 2 : 1; }

// The neutral element, as vectors or as scalars.
Carried KernelEmitter::start_reduction(const KernelOp& k, bool vectors) {
  const DType dtype = context_.func.type(k.op->operands[0]).dtype;
  const int lanes = vectors ? lanes_ : 1;
  llvm::Type* type = vector_of(element_type(llvm_context(), dtype), lanes);
  Value* start = neutral_element(k.op->kind, type);
  if (k.op->kind != OpKind::argmax) return {start};
  llvm::Type* word = vector_of(builder_.getInt64Ty(), lanes);
  return {start, llvm::ConstantInt::getSigned(word, std::numeric_limits<int64_t>::max())};
}

// Takes `x` (and its `index`, for argmax) into the state. NaN wins over every number; of equals
// argmax keeps the lower index.
void KernelEmitter::fold(const KernelOp& k, Value** state, Value* x, Value* index) {
  if (k.op->kind == OpKind::sum || k.op->kind == OpKind::prod) {
    state[0] = fold_in(builder_, k.op->kind, state[0], x);
    return;
  }
  Value* best = state[0];
  Value* better = displaces(builder_, x, best);
  if (k.op->kind == OpKind::argmax) {
    const bool real = x->getType()->isFPOrFPVectorTy();
    Value* tie = real ? builder_.CreateFCmpOEQ(x, best) : builder_.CreateICmpEQ(x, best);
    if (real) {
      Value* both_nan =
          builder_.CreateAnd(builder_.CreateFCmpUNO(x, x), builder_.CreateFCmpUNO(best, best));
      tie = builder_.CreateOr(tie, both_nan);
    }
    Value* earlier = builder_.CreateICmpSLT(index, state[1]);
    better = builder_.CreateOr(better, builder_.CreateAnd(tie, earlier));
    state[1] = builder_.CreateSelect(better, index, state[1]);
  }
  state[0] = builder_.CreateSelect(better, x, best);
}

// Folds vector c of row r of the tile; lanes that do not exist count as the neutral element.
void KernelEmitter::fold_tile(const KernelOp& k, Value** state, int r, int c) {
  Value* x = lanes_of(get(k.op->operands[0], r, c));
  if (Value* mask = mask_for(c)) {
    x = builder_.CreateSelect(mask, x, start_reduction(k, true)[0]);
  }
  Value* index = nullptr;
  if (k.op->kind == OpKind::argmax) {
    index = domain_index(form_.columns_axis(), r, c);
    if (Value* mask = mask_for(c)) {
      index = builder_.CreateSelect(mask, index, start_reduction(k, true)[1]);
    }
  }
  fold(k, state, x, index);
}

// Folds the lanes of a state in halves: lane i with lane i + half.
Value* KernelEmitter::finish_reduction(const KernelOp& k, Carried state) {
  for (int half = lanes_ / 2; half >= 1; half /= 2) {
    Carried low, high;
    for (Value* v : state) {
      std::vector<int> first, second;
      for (int i = 0; i < half; ++i) {
        first.push_back(i);
        second.push_back(i + half);
      }
      low.push_back(builder_.CreateShuffleVector(v, first));
      high.push_back(builder_.CreateShuffleVector(v, second));
    }
    fold(k, low.data(), high[0], high.size() > 1 ? high[1] : nullptr);
    state = low;
  }
  Value* out = state.back();  // the index for argmax, else the value
  return lanes_ > 1 ? builder_.CreateExtractElement(out, uint64_t{0}) : out;
}

// All reductions of a phase over the tile at hand, which holds whole rows.
void KernelEmitter::reduce_tile(int phase) {
  for (const KernelOp& k : form_.ops) {
    if (k.role != Role::row_reduce || k.phase != phase + 1) continue;
    const bool rows = form_.rank() > 1;
    for (int r = 0; r < (rows ? tile_.rows : 1); ++r) {
      Carried state = start_reduction(k, true);
      for (int c = 0; c < tile_.vectors; ++c) fold_tile(k, state.data(), rows ? r : -1, c);
      remember(k.op->result, rows ? r : -1, -1, finish_reduction(k, state));
    }
  }
}

}  // namespace sinter::compiler
