// Every pass: what it does, in one comment and one declaration. The order and its reasons are in
// pipeline.cpp; the runner there gives each of them verification, dumps, times and an off switch.
#pragma once

#include "compiler/options.h"
#include "ir/graph.h"

namespace sinter::compiler {

// Replaces every `gradient` op by the ops that compute it: walks backwards from the loss, looks
// each op's derivative up in the table, adds up cotangents and sums broadcast axes back.
void differentiate(ir::Module& module, const Options& options);

// Lowers the ops that own a derivative but no kernel (linear, softmax, losses, mean) to others.
void expand(ir::Module& module, const Options& options);

// Folds constants and applies the algebraic rules listed at the top of simplify.cpp.
void simplify(ir::Module& module, const Options& options);

// Brings reductions into the two forms that kernels know: over the last axis, or (sums) over all
// others.
void orient_reductions(ir::Module& module, const Options& options);

// Keeps one of equal ops.
void cse(ir::Module& module, const Options& options);

// Drops ops whose results nothing reads.
void dce(ir::Module& module, const Options& options);

// Takes factors that all rows share out of sums over the batch, in nets whose layers are narrow.
void factor_sums(ir::Module& module, const Options& options);

// Makes one kernel with rows in the lanes of vectors of a function whose layers are narrow.
void fuse_batch(ir::Module& module, const Options& options);

// Cuts sums over the batch into parts of rows, where that lets threads work on rows of their own.
void split_sums(ir::Module& module, const Options& options);

// Groups ops into kernels: one loop nest each, storing only what others read.
void fuse(ir::Module& module, const Options& options);

// Orders kernels with barriers between dependent ones and gives every stored value its place in
// one arena, for at most options.max_batch rows.
void plan_memory(ir::Module& module, const Options& options);

}  // namespace sinter::compiler
