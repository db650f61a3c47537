// Ops that go along one axis element after element, where each step depends on those before it.
#include <algorithm>
#include <cmath>

#include "ir/ops/family.h"

namespace sinter::ir {

namespace {

// Numbers with an axis that does not follow the batch.
void check_line(std::string_view name, int64_t axis, const InferArgs& in) {
  const Type& x = in.operands[0];
  if (x.dtype == DType::boolean) {
    throw Error(fmt::format("{} needs numbers but got {}", name, to_string(x)))
        .help("convert with cast first");
  }
  check_static_axis(name, axis, x);
}

// Calls f(offset of the line's first element in x and in the result) for every line of `axis`.
template <class T, class F>
void each_line(const EvalArgs<T>& a, size_t axis, F f) {
  std::vector<int64_t> lines = a.operands[0]->dims;
  lines[axis] = 1;
  IndexWalk walk(lines);
  do {
    f(offset_of(*walk, a.operands[0]->dims), offset_of(*walk, a.result.dims));
  } while (walk.next());
}

template <class T>
size_t stride_along(const Array<T>& x, size_t axis) {
  size_t stride = 1;
  for (size_t d = axis + 1; d < x.dims.size(); ++d) stride *= static_cast<size_t>(x.dims[d]);
  return stride;
}

}  // namespace

const OpDef op_cumsum = {
    .name = "cumsum",
    .summary = "sum of the elements up to each one along an axis; from each one on if reversed",
    .operands = 1,
    .attrs = {{"axis", AttrKind::integer}, {"reverse", AttrKind::flag, false}},
    .infer =
        [](const InferArgs& in) {
          check_line("cumsum", in.attrs.integer("axis"), in);
          return in.operands[0];
        },
    .vjp =
        [](Vjp& g) {
          g.add(0, g.b.apply(OpKind::cumsum, {g.cotangent()},
                             {{"axis", g.attrs().integer("axis")},
                              {"reverse", !g.attrs().flag("reverse")}}));
        },
    .eval =
        []<class T>(EvalArgs<T>& a) {
          const Array<T>& x = *a.operands[0];
          const auto axis = static_cast<size_t>(a.op.attrs.integer("axis"));
          const auto length = static_cast<size_t>(x.dims[axis]);
          const size_t stride = stride_along(x, axis);
          const bool reverse = a.op.attrs.flag("reverse");
          each_line(a, axis, [&](size_t from, size_t to) {
            T real{};
            int64_t integer = 0;
            for (size_t i = 0; i < length; ++i) {
              const size_t k = (reverse ? length - 1 - i : i) * stride;
              if (x.floats()) {
                a.result.f[to + k] = real += x.f[from + k];
              } else {
                integer = wrapped_sum(integer, x.i[from + k], x.dtype);
                a.result.i[to + k] = integer;
              }
            }
          });
        },
};

const OpDef op_top_k = {
    .name = "top_k",
    .summary =
        "indices (i64) of the k largest elements along the last axis, the largest first; of "
        "equals the earlier one, and NaN before every number",
    .operands = 1,
    .attrs = {{"k", AttrKind::integer}},
    .infer =
        [](const InferArgs& in) {
          if (in.operands[0].rank() == 0) {
            throw Error("top_k of one number").help("give it an axis to choose along");
          }
          check_line("top_k", in.operands[0].rank() - 1, in);
          Type out = in.operands[0].with(DType::i64);
          const int64_t k = in.attrs.integer("k"), size = out.shape.back().scale;
          if (k < 1 || k > size) {
            throw Error(fmt::format("top_k cannot take {} of the {} elements of axis {} of {}", k,
                                    size, out.rank() - 1, to_string(in.operands[0])))
                .help(fmt::format("use a k from 1 to {}", size));
          }
          out.shape.back() = Dim{k};
          return out;
        },
    .vjp = not_differentiable,
    .eval =
        []<class T>(EvalArgs<T>& a) {
          using std::isnan;
          const Array<T>& x = *a.operands[0];
          const size_t axis = x.dims.size() - 1;
          const auto length = static_cast<size_t>(x.dims[axis]);
          const auto k = static_cast<size_t>(a.result.dims[axis]);
          each_line(a, axis, [&](size_t from, size_t to) {
            std::vector<int64_t> order(length);
            for (size_t i = 0; i < length; ++i) order[i] = static_cast<int64_t>(i);
            std::stable_sort(order.begin(), order.end(), [&](int64_t p, int64_t q) {
              const size_t l = from + static_cast<size_t>(p), r = from + static_cast<size_t>(q);
              if (!x.floats()) return x.i[l] > x.i[r];
              return !isnan(x.f[r]) && (isnan(x.f[l]) || x.f[l] > x.f[r]);
            });
            std::copy_n(order.begin(), k, a.result.i.begin() + static_cast<int64_t>(to));
          });
        },
};

}  // namespace sinter::ir
