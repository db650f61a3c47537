// Ops that only say where elements lie: views, which cost nothing unless something needs them
// stored in their own order.
#include <algorithm>
#include <numeric>

#include "ir/ops/family.h"

namespace sinter::ir {

namespace {

// Copies operand elements to the result, `source(index)` giving the operand index of each.
template <class T, class F>
void rearrange(EvalArgs<T>& a, F source) {
  const Array<T>& x = *a.operands[0];
  if (a.result.size() == 0) return;
  size_t at = 0;
  IndexWalk walk(a.result.dims);
  do {
    const size_t from = source(*walk);
    if (x.floats()) {
      a.result.f[at++] = x.f[from];
    } else {
      a.result.i[at++] = x.i[from];
    }
  } while (walk.next());
}

// Element count of a shape as (factor, power of n), so that equality holds for every n.
std::pair<int64_t, int> count_of(const Shape& shape) {
  std::pair<int64_t, int> out{1, 0};
  for (const Dim& d : shape) {
    out.first *= d.scale;
    out.second += d.batch ? 1 : 0;
  }
  return out;
}

}  // namespace

const OpDef op_reshape = {
    .name = "reshape",
    .summary = "the same elements in row-major order under another shape",
    .operands = 1,
    .traits = Trait::typed_result | Trait::view,
    .infer = [](const InferArgs& in) {
      const Type& to = declared_type(in);
      const Type& from = in.operands[0];
      if (to.dtype != from.dtype || count_of(to.shape) != count_of(from.shape)) {
        throw Error(fmt::format("cannot reshape {} to {}", to_string(from), to_string(to)))
            .help("both shapes must have the same number of elements, for every n");
      }
      return to;
    },
    .vjp = [](Vjp& g) { g.add(0, reshape(g.cotangent(), g.operand(0).type().shape)); },
    .eval = []<class T>(EvalArgs<T>& a) {
      a.result.f = a.operands[0]->f;
      a.result.i = a.operands[0]->i;
    },
};

const OpDef op_transpose = {
    .name = "transpose",
    .summary = "axes in another order: result axis i is operand axis permutation[i]",
    .operands = 1,
    .attrs = {{"permutation", AttrKind::integers}},
    .traits = Trait::view,
    .infer = [](const InferArgs& in) {
      const std::vector<int64_t>& p = in.attrs.integers("permutation");
      const Type& from = in.operands[0];
      std::vector<int64_t> sorted = p, all(from.shape.size());
      std::sort(sorted.begin(), sorted.end());
      std::iota(all.begin(), all.end(), 0);
      if (sorted != all) {
        throw Error(fmt::format("[{}] is not a permutation of the axes of {}",
                                fmt::join(p, ", "), to_string(from)))
            .help("name every axis once");
      }
      Type out{from.dtype, {}};
      for (int64_t axis : p) out.shape.push_back(from.shape[static_cast<size_t>(axis)]);
      return out;
    },
    .vjp = [](Vjp& g) {
      const std::vector<int64_t>& p = g.attrs().integers("permutation");
      std::vector<int64_t> inverse(p.size());
      for (size_t i = 0; i < p.size(); ++i) {
        inverse[static_cast<size_t>(p[i])] = static_cast<int64_t>(i);
      }
      g.add(0, transpose(g.cotangent(), inverse));
    },
    .eval = []<class T>(EvalArgs<T>& a) {
      const std::vector<int64_t>& p = a.op.attrs.integers("permutation");
      std::vector<int64_t> from(p.size());
      rearrange(a, [&](std::span<const int64_t> index) {
        for (size_t i = 0; i < p.size(); ++i) from[static_cast<size_t>(p[i])] = index[i];
        return offset_of(from, a.operands[0]->dims);
      });
    },
};

const OpDef op_broadcast = {
    .name = "broadcast",
    .summary = "repeats along axes of size 1 and new leading axes",
    .operands = 1,
    .traits = Trait::typed_result | Trait::view,
    .infer = [](const InferArgs& in) {
      const Type& to = declared_type(in);
      const Type& from = in.operands[0];
      if (to.dtype != from.dtype || !broadcasts_to(from.shape, to.shape)) {
        throw Error(fmt::format("cannot broadcast {} to {}", to_string(from), to_string(to)))
            .help("axes are aligned at the last one and must be equal or 1");
      }
      return to;
    },
    .vjp = [](Vjp& g) { g.add(0, g.cotangent()); },
    .eval = []<class T>(EvalArgs<T>& a) {
      const std::vector<int64_t>& dims = a.operands[0]->dims;
      std::vector<int64_t> from(dims.size());
      rearrange(a, [&](std::span<const int64_t> index) {
        const size_t extra = index.size() - dims.size();
        for (size_t i = 0; i < dims.size(); ++i) from[i] = dims[i] == 1 ? 0 : index[i + extra];
        return offset_of(from, dims);
      });
    },
};

}  // namespace sinter::ir
