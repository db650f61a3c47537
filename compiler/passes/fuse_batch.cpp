// A net whose layers are narrower than a vector trains in one pass over the batch with rows in
// lanes: all ops of the function become one kernel. What is too wide or has no such form is left to
// `fuse`, with the reason as a note.
#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "compiler/forms/batch_form.h"
#include "compiler/passes/passes.h"
#include "ir/op.h"

namespace sinter::compiler {

using ir::Func;
using ir::Module;
using ir::Op;
using ir::OpKind;

namespace {

void fuse_batch(Func& func) {
  const BatchAnalysis analysis = analyze_batch(func);
  if (analysis.reason.empty() && !analysis.form) return;
  if (!analysis.form) {
    func.body.front().notes.push_back(
        fmt::format("not one kernel with the batch in lanes: {}", analysis.reason));
    return;
  }
  Op kernel{.kind = OpKind::kernel, .operands = {}};
  kernel.attrs = ir::complete_attrs(
      OpKind::kernel, {{"name", std::string("k0_pass")}, {"lanes", std::string("batch")}});
  for (const Op& op : func.body) {
    if (!kernel.loc.known()) kernel.loc = op.loc;
    if (op.result.valid() &&
        std::find(func.results.begin(), func.results.end(), op.result) != func.results.end()) {
      kernel.outputs.push_back(op.result);
    }
  }
  if (analysis.form->passes > 1) {
    kernel.notes.push_back(fmt::format("{} passes over the batch: rows wait for sums over all rows",
                                       analysis.form->passes));
  }
  kernel.body = std::move(func.body);
  func.body.clear();
  func.body.push_back(std::move(kernel));
}

}  // namespace

void fuse_batch(Module& module, const Options&) {
  for (Func& func : module.funcs) fuse_batch(func);
}

}  // namespace sinter::compiler
