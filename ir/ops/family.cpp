#include "ir/ops/family.h"

#include <algorithm>

namespace sinter::ir {

namespace {

Type broadcast_all(const InferArgs& in) {
  Type out = in.operands[0];
  for (const Type& t : in.operands.subspan(1)) {
    if (t.dtype != out.dtype) {
      throw Error(fmt::format("operands have different dtypes: {} and {}", to_string(out),
                              to_string(t)))
          .help(fmt::format("convert one of them, as in cast(x, DType::{})",
                            dtype_name(out.dtype)));
    }
    Shape joined;
    if (!broadcast_shapes(out.shape, t.shape, joined)) {
      throw Error(fmt::format("shapes {} and {} do not broadcast", to_string(out.shape),
                              to_string(t.shape)))
          .help("make the shapes equal, or give one of them axes of size 1 to repeat along");
    }
    out.shape = joined;
  }
  return out;
}

}  // namespace

Type infer_float(const InferArgs& in) {
  Type out = broadcast_all(in);
  if (!is_float(out.dtype)) {
    throw Error(fmt::format("needs floating-point operands but got {}", to_string(out)))
        .help("convert with cast(x, DType::f32)");
  }
  return out;
}

Type infer_arithmetic(const InferArgs& in) {
  Type out = broadcast_all(in);
  if (out.dtype == DType::boolean) {
    throw Error(fmt::format("needs numbers but got {}", to_string(out)))
        .help("convert with cast(x, DType::f32), or choose with select(condition, a, b)");
  }
  return out;
}

Type infer_comparison(const InferArgs& in) { return broadcast_all(in).with(DType::boolean); }

const Type& declared_type(const InferArgs& in) {
  if (!in.declared) throw Error("needs its result type").help("write it, as in `: f32[n, 10]`");
  return *in.declared;
}

Type infer_declared_float(const InferArgs& in) {
  const Type& type = declared_type(in);
  if (!is_float(type.dtype)) {
    throw Error(fmt::format("makes floats but is declared {}", to_string(type)))
        .help("declare it f32 or f64");
  }
  return type;
}

int64_t checked_axis(int64_t axis, const Type& type) {
  const int64_t rank = type.rank();
  const int64_t from_front = axis < 0 ? axis + rank : axis;
  if (from_front < 0 || from_front >= rank) {
    throw Error(fmt::format("axis {} does not exist in {}", axis, to_string(type)))
        .help(rank == 0 ? std::string("a scalar has no axes")
                        : fmt::format("use an axis from 0 to {}", rank - 1));
  }
  return from_front;
}

Type reduced(const Type& type, std::span<const int64_t> axes, bool keepdims) {
  Type out{type.dtype, {}};
  for (int64_t i = 0; i < type.rank(); ++i) {
    const bool folded = std::find(axes.begin(), axes.end(), i) != axes.end();
    if (!folded) out.shape.push_back(type.shape[static_cast<size_t>(i)]);
    if (folded && keepdims) out.shape.push_back(Dim{1});
  }
  return out;
}

void check_axes(std::span<const int64_t> axes, const Type& type) {
  for (size_t i = 0; i < axes.size(); ++i) {
    if (checked_axis(axes[i], type) != axes[i] || (i > 0 && axes[i] <= axes[i - 1])) {
      throw Error(fmt::format("axes [{}] must ascend and count from the front",
                              fmt::join(axes, ", ")))
          .help("name each axis once, lowest first");
    }
  }
}

void check_static_axis(std::string_view name, int64_t axis, const Type& type) {
  if (checked_axis(axis, type) != axis) {
    throw Error(fmt::format("the axis of {} must count from the front", name))
        .help("use axis >= 0");
  }
  if (type.shape[static_cast<size_t>(axis)].batch) {
    throw Error(fmt::format("{} along axis {} of {}, which follows the batch", name, axis,
                            to_string(type)))
        .help("use an axis of fixed size: rows of a batch are computed independently");
  }
}

namespace {

// All axes, those of `folded` last.
std::vector<int64_t> folded_last(const Type& type, const std::vector<int64_t>& folded) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < type.rank(); ++i) {
    if (std::find(folded.begin(), folded.end(), i) == folded.end()) order.push_back(i);
  }
  order.insert(order.end(), folded.begin(), folded.end());
  return order;
}

}  // namespace

Expr as_line(Expr x, const std::vector<int64_t>& axes) {
  const Type type = x.type();
  Dim length{1};
  for (int64_t axis : axes) {
    const Dim d = type.shape[static_cast<size_t>(axis)];
    if (d.batch && length.batch) {
      throw Error(fmt::format("axes [{}] of {} follow the batch twice", fmt::join(axes, ", "),
                              to_string(type)))
          .help("reduce one of the two first");
    }
    length = Dim{length.scale * d.scale, length.batch || d.batch};
  }
  Shape shape = reduced(type, axes, false).shape;
  shape.push_back(length);
  return reshape(transpose(x, folded_last(type, axes)), std::move(shape));
}

Expr from_line(Expr line, const Type& x, const std::vector<int64_t>& axes) {
  const std::vector<int64_t> order = folded_last(x, axes);
  Shape shape;
  std::vector<int64_t> back(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    shape.push_back(x.shape[static_cast<size_t>(order[i])]);
    back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  }
  return transpose(reshape(line, std::move(shape)), std::move(back));
}

void check_parts(const Attrs& attrs, const Type& x, std::span<const int64_t> folded) {
  const int64_t parts = attrs.integer("parts");
  if (parts < 1) throw Error(fmt::format("a sum in {} parts", parts)).help("use parts = 1 or more");
  if (parts == 1) return;
  const bool rows = folded.size() == 1 && folded[0] == 0 && x.rank() == 2 &&
                    x.shape[0] == batch_dim && !x.shape[1].batch && x.shape[1].scale > 1;
  if (rows) return;
  throw Error(fmt::format("{} cannot be summed in parts over axes [{}]", to_string(x),
                          fmt::join(folded, ", ")))
      .help("what is summed in parts is a matrix of n rows, over axis 0");
}

void check_whole(const Attrs& attrs) {
  if (attrs.integer("parts") == 1) return;
  throw Error("a sum in parts has no derivative").help("differentiate before sums are cut up");
}

void check_reduction(const std::string& reduction) {
  if (reduction != "mean" && reduction != "sum" && reduction != "none") {
    throw Error(fmt::format("unknown reduction \"{}\"", reduction))
        .help("use \"mean\", \"sum\" or \"none\"");
  }
}

Expr reduce_loss(Builder& b, Expr losses, Expr count, const std::string& reduction) {
  (void)b;
  if (reduction == "none") return losses;
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < losses.type().rank(); ++i) axes.push_back(i);
  const Expr total = sum(losses, axes, false);
  return reduction == "sum" ? total : total / count;
}

bool IndexWalk::next() {
  for (size_t d = dims_.size(); d-- > 0;) {
    if (++at_[d] < dims_[d]) return true;
    at_[d] = 0;
  }
  return false;
}

size_t offset_of(std::span<const int64_t> index, std::span<const int64_t> dims) {
  size_t offset = 0;
  for (size_t d = 0; d < dims.size(); ++d) {
    offset = offset * static_cast<size_t>(dims[d]) + static_cast<size_t>(index[d]);
  }
  return offset;
}

}  // namespace sinter::ir
