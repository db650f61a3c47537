// Parts of an axis: slice reads every step-th element, pad puts elements there. Each is the other's
// derivative. They work on axes of fixed size: the rows of a batch have no numbers.
#include "ir/ops/family.h"

namespace sinter::ir {

namespace {

// Checks that `part`, `size` elements from `start` on in steps of `step`, lies inside `whole`, and
// that the two types differ along the axis only.
void check_span(std::string_view name, const Type& part, const Type& whole, const Attrs& attrs) {
  const int64_t axis = attrs.integer("axis");
  const int64_t start = attrs.integer("start"), step = attrs.integer("step");
  check_static_axis(name, axis, whole);
  Type other = part;
  const auto at = static_cast<size_t>(axis);
  bool fits = part.rank() == whole.rank() && !part.shape[at].batch;
  if (fits) {
    other.shape[at] = whole.shape[at];
    const int64_t size = whole.shape[at].scale;
    int64_t last = 0;
    fits = !__builtin_mul_overflow(step, part.shape[at].scale - 1, &last) &&
           !__builtin_add_overflow(start, last, &last);
    fits = fits && other == whole && step != 0 && start >= 0 && start < size && last >= 0 &&
           last < size;
  }
  if (!fits) {
    throw Error(fmt::format("{} along axis {}: {} does not lie in {} from {} on in steps of {}",
                            name, axis, to_string(part), to_string(whole), start, step))
        .help("all places must lie inside the axis, and the other axes be equal");
  }
}

Span span_of(const Attrs& attrs, const Type& axis_of) {
  return {attrs.integer("start"), attrs.integer("step"),
          axis_of.shape[static_cast<size_t>(attrs.integer("axis"))].scale};
}

// Calls f(offset in the part, offset in the whole) for every element of the part.
template <class F>
void along_span(const std::vector<int64_t>& part, const std::vector<int64_t>& whole,
                const Attrs& attrs, F f) {
  const auto axis = static_cast<size_t>(attrs.integer("axis"));
  size_t at = 0;
  IndexWalk walk(part);
  do {
    std::vector<int64_t> index = *walk;
    index[axis] = attrs.integer("start") + attrs.integer("step") * index[axis];
    f(at++, offset_of(index, whole));
  } while (walk.next());
}

}  // namespace

const OpDef op_slice = {
    .name = "slice",
    .summary = "elements start, start + step, ... along an axis, as many as the type says",
    .operands = 1,
    .attrs = {{"axis", AttrKind::integer},
              {"start", AttrKind::integer, int64_t{0}},
              {"step", AttrKind::integer, int64_t{1}}},
    .traits = Trait::typed_result | Trait::view,
    .infer =
        [](const InferArgs& in) {
          check_span("slice", declared_type(in), in.operands[0], in.attrs);
          return *in.declared;
        },
    .vjp =
        [](Vjp& g) {
          const int64_t axis = g.attrs().integer("axis");
          g.add(0, pad(g.cotangent(), axis, span_of(g.attrs(), g.operand(0).type())));
        },
    .eval =
        []<class T>(EvalArgs<T>& a) {
          const Array<T>& x = *a.operands[0];
          along_span(a.result.dims, x.dims, a.op.attrs, [&](size_t part, size_t whole) {
            if (x.floats()) {
              a.result.f[part] = x.f[whole];
            } else {
              a.result.i[part] = x.i[whole];
            }
          });
        },
};

const OpDef op_pad = {
    .name = "pad",
    .summary = "x at start, start + step, ... along an axis of the result, a value elsewhere",
    .operands = 1,
    .attrs = {{"axis", AttrKind::integer},
              {"start", AttrKind::integer, int64_t{0}},
              {"step", AttrKind::integer, int64_t{1}},
              {"value", AttrKind::real, 0.0}},
    .traits = Trait::typed_result,
    .infer =
        [](const InferArgs& in) {
          check_span("pad", in.operands[0], declared_type(in), in.attrs);
          return *in.declared;
        },
    .vjp =
        [](Vjp& g) {
          const int64_t axis = g.attrs().integer("axis");
          g.add(0, slice(g.cotangent(), axis, span_of(g.attrs(), g.operand(0).type())));
        },
    .eval =
        []<class T>(EvalArgs<T>& a) {
          const Array<T>& x = *a.operands[0];
          const double value = a.op.attrs.real("value");
          for (T& out : a.result.f) out = T(value);
          const bool flag = a.result.dtype == DType::boolean;
          for (int64_t& out : a.result.i) out = flag ? value != 0 : static_cast<int64_t>(value);
          along_span(x.dims, a.result.dims, a.op.attrs, [&](size_t part, size_t whole) {
            if (x.floats()) {
              a.result.f[whole] = x.f[part];
            } else {
              a.result.i[whole] = x.i[part];
            }
          });
        },
};

}  // namespace sinter::ir
