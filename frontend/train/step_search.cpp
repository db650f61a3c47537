#include "frontend/train/step_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/interpret.h"
#include "ir/op.h"
#include "ir/text/print.h"

namespace sinter::detail {

namespace {

using ir::Array;
using ir::ValueId;

template <class T>
Array<T> to_array(const Tensor& tensor) {
  Array<T> out(tensor.dtype(), tensor.shape());
  const Tensor wide = tensor.contiguous().to(out.floats() ? DType::f64 : DType::i64);
  if (out.floats()) {
    const std::span<const double> from = wide.span<double>();
    std::transform(from.begin(), from.end(), out.f.begin(), [](double v) { return T(v); });
  } else {
    std::ranges::copy(wide.span<int64_t>(), out.i.begin());
  }
  return out;
}

template <class T>
bool finite(const Array<T>& a) {
  return std::all_of(a.f.begin(), a.f.end(), [](T v) { return std::isfinite(v); });
}

template <class T>
class Search {
 public:
  Search(const ir::Module& module, const std::vector<Tensor>& arguments,
         const std::vector<Tensor>& globals, int64_t n)
      : module_(module), func_(module.funcs.front()), n_(n), values_(func_.values.size()) {
    for (size_t i = 0; i < arguments.size(); ++i) at(func_.args[i]) = to_array<T>(arguments[i]);
    for (size_t i = 0; i < globals.size() && i < func_.global_values.size(); ++i) {
      if (func_.global_values[i].valid()) at(func_.global_values[i]) = to_array<T>(globals[i]);
    }
  }

  std::optional<NonFinite> run() {
    std::vector<ValueId> roots = func_.results;
    for (const ir::Op& op : func_.body) {
      if (op.kind == ir::OpKind::assign) {
        roots.push_back(op.operands[1]);
      } else if (op.result.valid()) {
        std::vector<const Array<T>*> operands;
        for (ValueId v : op.operands) operands.push_back(&at(v));
        at(op.result) = ir::evaluate<T>(op, func_.type(op.result), operands, n_);
      }
    }
    spread(roots);
    return first();
  }

 private:
  Array<T>& at(ValueId v) { return values_[static_cast<size_t>(v.index)]; }

  // Marks what is not finite and reaches a root through values that are not.
  void spread(const std::vector<ValueId>& roots) {
    marked_.assign(values_.size(), false);
    const auto mark = [&](ValueId v) {
      if (!finite(at(v))) marked_[static_cast<size_t>(v.index)] = true;
    };
    for (ValueId root : roots) mark(root);
    for (size_t i = func_.body.size(); i-- > 0;) {
      const ir::Op& op = func_.body[i];
      if (!op.result.valid() || !marked_[static_cast<size_t>(op.result.index)]) continue;
      for (ValueId v : op.operands) mark(v);
    }
  }

  std::optional<NonFinite> first() {
    for (size_t i = 0; i < values_.size(); ++i) {
      if (marked_[i] && func_.values[i].def != ir::ValueDef::op)
        return describe(ValueId{static_cast<int32_t>(i)});
    }
    for (const ir::Op& op : func_.body) {
      if (!op.result.valid() || !marked_[static_cast<size_t>(op.result.index)]) continue;
      if (!std::all_of(op.operands.begin(), op.operands.end(),
                       [&](ValueId v) { return finite(at(v)); }))
        continue;
      NonFinite out = describe(op.result);
      const ir::Printer printer(module_, func_);
      out.op = ir::def(op).name;
      out.at = op.loc.source();
      out.scope = op.loc.scope;
      for (ValueId v : op.operands) {
        const Array<T>& values = at(v);
        if (values.size() == 0) continue;
        NonFinite::Operand operand{printer.value(v), ir::to_string(func_.type(v))};
        const auto range = [&](const auto& list) {
          const auto [low, high] = std::minmax_element(list.begin(), list.end());
          operand.low = static_cast<double>(*low);
          operand.high = static_cast<double>(*high);
        };
        values.floats() ? range(values.f) : range(values.i);
        out.operands.push_back(operand);
      }
      return out;
    }
    return std::nullopt;
  }

  NonFinite describe(ValueId v) {
    NonFinite out;
    out.value = ir::Printer(module_, func_).value(v);
    const Array<T>& values = at(v);
    const auto bad =
        std::find_if(values.f.begin(), values.f.end(), [](T x) { return !std::isfinite(x); });
    out.element = static_cast<double>(*bad);
    auto rest = static_cast<int64_t>(bad - values.f.begin());
    out.index.resize(values.dims.size());
    for (size_t axis = values.dims.size(); axis-- > 0;) {
      out.index[axis] = rest % values.dims[axis];
      rest /= values.dims[axis];
    }
    const ir::Shape& shape = func_.type(v).shape;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      if (shape[axis] == ir::batch_dim) out.row = out.index[axis];
    }
    return out;
  }

  const ir::Module& module_;
  const ir::Func& func_;
  int64_t n_;
  std::vector<Array<T>> values_;
  std::vector<bool> marked_;
};

}  // namespace

std::optional<NonFinite> find_non_finite(const ir::Module& module,
                                         const std::vector<Tensor>& arguments,
                                         const std::vector<Tensor>& globals, int64_t n) {
  const ir::Func& func = module.funcs.front();
  const bool wide = std::any_of(func.values.begin(), func.values.end(),
                                [](const auto& info) { return info.type.dtype == DType::f64; });
  return wide ? Search<double>(module, arguments, globals, n).run()
              : Search<float>(module, arguments, globals, n).run();
}

}  // namespace sinter::detail
