// A function of the library that is written with other functions of the library.
#pragma once

#include <optional>
#include <string_view>

#include "frontend/recording.h"

namespace sinter::detail {

// Sorts the operands into one recording; while it lives, ops recorded there count as written where
// the user called the function, which is at the first operand.
//
//     Value mish(const Operand& x) {
//       Composite c({&x});
//       return c.done(c[0] * tanh(softplus(c[0])), "mish");
//     }
class Composite {
 public:
  Composite(std::initializer_list<const Operand*> operands) : recorder_(operands) {
    for (size_t i = 0; i < operands.size(); ++i) values_.push_back(recorder_.done(recorder_[i]));
    here_.emplace(Recorder::resolve(values_[0]).first, recorder_.loc().source());
  }

  const Value& operator[](size_t i) const { return values_[i]; }
  Recorder& recorder() { return recorder_; }
  SourceLoc at() const { return recorder_.loc().source(); }
  const ir::Type& type(size_t i) const { return type_of(values_[i]); }
  static const ir::Type& type_of(const Value& value) {
    const auto [recording, id] = Recorder::resolve(value);
    return recording->func().type(id);
  }

  // Names the result after its first operand, as "hidden.mish".
  Value done(const Value& result, std::string_view suffix) {
    const auto [recording, id] = Recorder::resolve(result);
    const auto [first_recording, first] = Recorder::resolve(values_[0]);
    ir::Func& func = recording->func();
    const std::string& base = func[first].name;
    if (func[id].def == ir::ValueDef::op && func[id].name.empty() && !base.empty()) {
      func[id].name = func.unique_name(fmt::format("{}.{}", base, suffix));
    }
    return result;
  }

 private:
  Recorder recorder_;
  std::vector<Value> values_;
  std::optional<LibraryCall> here_;
};

}  // namespace sinter::detail
