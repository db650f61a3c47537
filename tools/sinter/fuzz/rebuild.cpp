#include "tools/sinter/fuzz/rebuild.h"

#include <vector>

#include <fmt/format.h>

#include <sinter/error.h>

#include "ir/builder.h"
#include "ir/check.h"
#include "ir/op.h"

namespace sinter::fuzz {

namespace {

using ir::Shape;
using ir::Type;
using ir::ValueId;

class Rebuild {
 public:
  Rebuild(const ir::Module& from, const ir::Func& func, const Edit& edit)
      : from_(from), old_(func), edit_(edit), needed_(func.values.size(), false) {}

  std::optional<ir::Module> run() {
    find_needed();
    out_.funcs.emplace_back().name = old_.name;
    new_ = &out_.funcs[0];
    ids_.resize(old_.values.size());
    try {
      declare();
      for (size_t i = 0; i < old_.body.size(); ++i) add(old_.body[i], i);
    } catch (const Error&) {
      return std::nullopt;
    }
    for (ValueId v : results_) new_->results.push_back(at(v));
    if (ir::find_violation(out_)) return std::nullopt;
    return std::move(out_);
  }

 private:
  ValueId& at(ValueId v) { return ids_[static_cast<size_t>(v.index)]; }
  void need(ValueId v) { needed_[static_cast<size_t>(v.index)] = true; }
  bool is_needed(ValueId v) const { return needed_[static_cast<size_t>(v.index)]; }
  const Edit::Replacement* replacement(size_t place) const {
    const auto it = edit_.replaced.find(place);
    return it == edit_.replaced.end() ? nullptr : &it->second;
  }

  void find_needed() {
    const std::vector<const ir::Op*> made_by = ir::definitions(old_);
    for (size_t i = 0; i < old_.results.size(); ++i) {
      if (edit_.dropped_results.count(i)) continue;
      ValueId v = old_.results[i];
      if (const auto it = edit_.moved_results.find(i); it != edit_.moved_results.end()) {
        v = made_by[static_cast<size_t>(v.index)]->operands[it->second];
      }
      results_.push_back(v);
      need(v);
    }
    for (size_t i = old_.body.size(); i-- > 0;) {
      const ir::Op& op = old_.body[i];
      const bool kept = op.result.valid() ? is_needed(op.result) : !edit_.dropped_effects.count(i);
      if (!kept) continue;
      const Edit::Replacement* r = replacement(i);
      if (!r) {
        for (ValueId v : op.operands) need(v);
      } else if (r->operand) {
        need(op.operands[*r->operand]);
      }
    }
  }

  Shape resized(Shape shape) const {
    for (ir::Dim& d : shape) {
      const auto it = edit_.sizes.find(d.scale);
      if (it != edit_.sizes.end()) d.scale = it->second;
    }
    return shape;
  }
  Type resized(const Type& type) const { return {type.dtype, resized(type.shape)}; }

  void declare() {
    for (ValueId v : old_.args) {
      if (is_needed(v)) at(v) = new_->add_argument(resized(old_.type(v)), old_[v].name);
    }
    for (size_t i = 0; i < old_.global_values.size(); ++i) {
      const ValueId v = old_.global_values[i];
      if (!v.valid() || !is_needed(v)) continue;
      const ir::Global& g = from_.globals[i];
      at(v) = out_.global_value(*new_, out_.add_global(g.name, resized(g.type)));
    }
  }

  void add(const ir::Op& op, size_t place) {
    if (op.result.valid() ? !is_needed(op.result) : edit_.dropped_effects.count(place) > 0) return;
    if (const Edit::Replacement* r = replacement(place)) {
      at(op.result) =
          r->operand ? at(op.operands[*r->operand])
                     : new_->add_argument(resized(old_.type(op.result)), new_->unique_name("in"));
      return;
    }
    std::vector<ValueId> operands;
    for (ValueId v : op.operands) operands.push_back(at(v));
    ir::Attrs attrs = op.attrs;
    for (ir::Attr& attr : attrs.list()) {
      if (auto* shape = std::get_if<Shape>(&attr.value)) *shape = resized(*shape);
    }
    std::optional<Type> declared;
    if (op.result.valid() && def(op).is(ir::Trait::typed_result)) {
      declared = resized(old_.type(op.result));
    }
    ir::Builder b(out_, *new_);
    b.set_loc(op.loc);
    const std::string name = op.result.valid() ? old_[op.result].name : std::string();
    const ValueId result = b.create(op.kind, operands, attrs, declared, name);
    if (op.result.valid()) at(op.result) = result;
  }

  const ir::Module& from_;
  const ir::Func& old_;
  const Edit& edit_;
  std::vector<bool> needed_;
  std::vector<ValueId> results_;  // in the old numbering
  ir::Module out_;
  ir::Func* new_ = nullptr;
  std::vector<ValueId> ids_;
};

}  // namespace

std::optional<ir::Module> rebuild(const ir::Module& module, const std::string& func,
                                  const Edit& edit) {
  const ir::Func* f = module.find(func);
  SINTER_CHECK(f != nullptr, "no function @{}", func);
  return Rebuild(module, *f, edit).run();
}

}  // namespace sinter::fuzz
