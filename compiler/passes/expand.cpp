#include <utility>

#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"
#include "ir/op.h"

namespace sinter::compiler {

namespace {

using namespace ir;

class Expander {
 public:
  Expander(Module& module, Func& func) : module_(module), func_(func) {}

  void run() {
    for (Op& op : std::exchange(func_.body, {})) lower(std::move(op), 0);
    if (replaced_.empty()) return;
    replace_uses(func_, replaced_);
    compact(func_);
  }

 private:
  // Deeper than any chain of composites: only an op that lowers to itself goes on for ever.
  static constexpr int kMaxDepth = 32;

  // Appends the op, or what it lowers to; a rule may use composites itself.
  void lower(Op op, int depth) {
    const OpDef& d = def(op);
    if (!d.expand) {
      func_.body.push_back(std::move(op));
      return;
    }
    SINTER_CHECK(depth < kMaxDepth, "{} lowers to itself", d.name);
    std::vector<Op> parts;
    Builder b(module_, func_, parts);
    b.set_loc(op.loc);
    const ValueId result = d.expand(b, op).id();
    SINTER_CHECK(func_.type(result) == func_.type(op.result), "{} : {} lowers to {}", d.name,
                 to_string(func_.type(op.result)), to_string(func_.type(result)));
    hand_over_name(func_, op.result, result);
    replaced_.emplace_back(op.result, result);
    for (Op& part : parts) lower(std::move(part), depth + 1);
  }

  Module& module_;
  Func& func_;
  std::vector<std::pair<ValueId, ValueId>> replaced_;
};

}  // namespace

void expand(Module& module, const Options&) {
  for (Func& func : module.funcs) Expander(module, func).run();
}

}  // namespace sinter::compiler
