// Views, and functions that put elements elsewhere.
#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sinter/error.h>
#include <sinter/functions.h>

#include "frontend/functions/function_parts.h"
#include "frontend/recording.h"
#include "ir/ops/family.h"

namespace sinter {

using detail::all_axes;
using detail::axes_of;
using detail::axis_of;
using detail::new_axis_of;
using detail::Recorder;
using detail::shape_for;
using detail::static_axis_of;
using ir::Expr;
using ir::OpKind;

Value reshape(const Operand& x, Shape shape) {
  Recorder r({&x});
  return r.done(reshape(r[0], shape_for(r, r[0], shape)));
}

Value permute(const Operand& x, std::vector<int64_t> permutation) {
  Recorder r({&x});
  const Expr v = r[0];
  for (int64_t& axis : permutation) axis = axis_of(r, v, axis);
  return r.done(transpose(v, std::move(permutation)));
}

Value transpose(const Operand& x, int64_t a, int64_t b) {
  Recorder r({&x});
  const Expr v = r[0];
  std::vector<int64_t> order = all_axes(v);
  std::swap(order[static_cast<size_t>(axis_of(r, v, a))],
            order[static_cast<size_t>(axis_of(r, v, b))]);
  return r.done(transpose(v, std::move(order)));
}

Value t(const Operand& x) {
  Recorder r({&x});
  const Expr v = r[0];
  if (v.type().rank() != 2) {
    throw Error("t needs a matrix but got {}", ir::to_string(v.type()))
        .at(r.loc().source())
        .help("name the two axes, as in transpose(x, 1, 2)");
  }
  return r.done(transpose(v, {1, 0}));
}

Value broadcast_to(const Operand& x, Shape shape) {
  Recorder r({&x});
  const Expr v = r[0];
  const ir::Shape& from = v.type().shape;
  ir::Shape to;
  for (size_t i = 0; i < shape.size(); ++i) {
    const size_t behind = shape.size() - i;
    if (shape[i] == -1 && behind <= from.size()) {
      to.push_back(from[from.size() - behind]);
    } else {
      to.emplace_back(shape[i]);
    }
  }
  return r.done(broadcast(v, std::move(to)));
}

Value expand(const Operand& x, Shape shape) { return broadcast_to(x, std::move(shape)); }

Value unsqueeze(const Operand& x, int64_t axis) {
  Recorder r({&x});
  const Expr v = r[0];
  ir::Shape shape = v.type().shape;
  shape.insert(shape.begin() + new_axis_of(r, v, axis), ir::Dim{1});
  return r.done(reshape(v, std::move(shape)));
}

Value squeeze(const Operand& x, int64_t axis) {
  Recorder r({&x});
  const Expr v = r[0];
  const int64_t at = axis_of(r, v, axis);
  ir::Shape shape = v.type().shape;
  if (!shape[static_cast<size_t>(at)].is_one()) {
    throw Error("axis {} of {} cannot be squeezed: its size is not 1", axis,
                ir::to_string(v.type()))
        .at(r.loc().source())
        .help("reduce the axis instead, as in sum(x, {})", at);
  }
  shape.erase(shape.begin() + at);
  return r.done(reshape(v, std::move(shape)));
}

Value squeeze(const Operand& x) {
  Recorder r({&x});
  const Expr v = r[0];
  ir::Shape shape;
  for (const ir::Dim& d : v.type().shape) {
    if (!d.is_one()) shape.push_back(d);
  }
  return r.done(reshape(v, std::move(shape)));
}

Value flatten(const Operand& x, int64_t first, int64_t last) {
  Recorder r({&x});
  const Expr v = r[0];
  const ir::Type type = v.type();
  if (type.rank() == 0) return r.done(reshape(v, {ir::Dim{1}}));
  const int64_t from = axis_of(r, v, first), to = axis_of(r, v, last);
  if (from > to) {
    throw Error("flatten from axis {} to axis {} of {}", first, last, ir::to_string(type))
        .at(r.loc().source())
        .help("name the first axis, then the last one");
  }
  ir::Shape shape(type.shape.begin(), type.shape.begin() + from);
  ir::Dim joined{1};
  for (int64_t i = from; i <= to; ++i) {
    const ir::Dim d = type.shape[static_cast<size_t>(i)];
    if (d.batch && joined.batch) {
      throw Error("axes {} to {} of {} follow the batch twice", from, to, ir::to_string(type))
          .at(r.loc().source())
          .help("keep one of them apart");
    }
    joined = {joined.scale * d.scale, joined.batch || d.batch};
  }
  shape.push_back(joined);
  shape.insert(shape.end(), type.shape.begin() + to + 1, type.shape.end());
  return r.done(reshape(v, std::move(shape)));
}

namespace {

int64_t size_at(Expr x, int64_t axis) { return x.type().shape[static_cast<size_t>(axis)].scale; }

// The parts as expressions of one recorder, with the checks that concat and stack share.
std::vector<Expr> parts_of(Recorder& r, size_t count, std::string_view what) {
  std::vector<Expr> out;
  for (size_t i = 0; i < count; ++i) out.push_back(r[i]);
  for (const Expr& part : out) {
    if (part.type().dtype == out[0].type().dtype) continue;
    throw Error("{} of different dtypes: {} and {}", what, ir::to_string(out[0].type()),
                ir::to_string(part.type()))
        .at(r.loc().source())
        .help("convert one of them, as in cast(x, DType::{})", dtype_name(out[0].type().dtype));
  }
  return out;
}

// The parts side by side as a sum of padded ones. Negative zero is what adding changes nothing, so
// every element keeps its bits; and the derivative of each part is a plain slice.
Expr joined(std::vector<Expr> parts, int64_t axis) {
  const DType dtype = parts[0].type().dtype;
  const bool flags = dtype == DType::boolean;
  int64_t total = 0, at = 0;
  for (const Expr& part : parts) total += size_at(part, axis);
  std::optional<Expr> sum;
  for (Expr part : parts) {
    if (flags) part = cast(part, DType::i32);
    const int64_t size = size_at(part, axis);
    const Expr wide =
        ir::pad(part, axis, {.start = at, .size = total}, is_float(dtype) ? -0.0 : 0.0);
    sum = sum ? *sum + wide : wide;
    at += size;
  }
  return flags ? cast(*sum, DType::boolean) : *sum;
}

Value concat_of(const std::vector<const Operand*>& operands, int64_t axis,
                const std::source_location& at) {
  Recorder r(operands, at);
  const std::vector<Expr> parts = parts_of(r, operands.size(), "concat");
  if (parts.empty()) throw Error("concat of nothing").at(r.loc().source()).help("give it a part");
  const int64_t along = static_axis_of(r, parts[0], axis, "concat");
  for (const Expr& part : parts) {
    ir::Type type = part.type();
    if (type.rank() == parts[0].type().rank()) {
      const auto i = static_cast<size_t>(along);
      if (!type.shape[i].batch) type.shape[i] = parts[0].type().shape[i];
    }
    if (type == parts[0].type()) continue;
    throw Error("cannot concat {} and {} along axis {}", ir::to_string(parts[0].type()),
                ir::to_string(part.type()), along)
        .at(r.loc().source())
        .help("the parts may differ in size along that axis only");
  }
  return r.done(joined(parts, along));
}

Value stack_of(const std::vector<const Operand*>& operands, int64_t axis,
               const std::source_location& at) {
  Recorder r(operands, at);
  std::vector<Expr> parts = parts_of(r, operands.size(), "stack");
  if (parts.empty()) throw Error("stack of nothing").at(r.loc().source()).help("give it a part");
  const ir::Type type = parts[0].type();
  const int64_t along = new_axis_of(r, parts[0], axis);
  for (Expr& part : parts) {
    if (part.type() != type) {
      throw Error("cannot stack {} and {}", ir::to_string(type), ir::to_string(part.type()))
          .at(r.loc().source())
          .help("all parts must have one shape; concat joins parts of different sizes");
    }
    ir::Shape shape = type.shape;
    shape.insert(shape.begin() + along, ir::Dim{1});
    part = reshape(part, std::move(shape));
  }
  return r.done(joined(parts, along));
}

std::vector<const Operand*> pointers(const std::vector<Operand>& operands) {
  std::vector<const Operand*> out;
  for (const Operand& o : operands) out.push_back(&o);
  return out;
}

std::vector<Operand> operands_of(const std::vector<Value>& values, const std::source_location& at) {
  std::vector<Operand> out;
  for (const Value& v : values) out.emplace_back(v, at);
  return out;
}

// The line of the first part, of which there may be none.
std::source_location line_of(const std::vector<Operand>& operands) {
  return operands.empty() ? std::source_location{} : operands.front().at();
}

}  // namespace

Value concat(std::initializer_list<Operand> parts, int64_t axis) {
  const std::vector<Operand> list(parts);
  return concat_of(pointers(list), axis, line_of(list));
}
Value concat(const std::vector<Value>& parts, int64_t axis, const std::source_location& at) {
  return concat_of(pointers(operands_of(parts, at)), axis, at);
}
Value stack(std::initializer_list<Operand> parts, int64_t axis) {
  const std::vector<Operand> list(parts);
  return stack_of(pointers(list), axis, line_of(list));
}
Value stack(const std::vector<Value>& parts, int64_t axis, const std::source_location& at) {
  return stack_of(pointers(operands_of(parts, at)), axis, at);
}

Value slice(const Operand& x, int64_t axis, int64_t start, int64_t stop, int64_t step) {
  Recorder r({&x});
  const Expr v = r[0];
  const int64_t at = static_axis_of(r, v, axis, "slice");
  const int64_t size = size_at(v, at);
  const int64_t from = start < 0 ? start + size : start;
  const int64_t to = stop == to_end ? size : stop < 0 ? stop + size : stop;
  const auto refuse = [&](const std::string& what, const std::string& fix) {
    throw Error("slice {} of axis {} of {}", what, at, ir::to_string(v.type()))
        .at(r.loc().source())
        .help(fix);
  };
  if (step < 1)
    refuse(fmt::format("in steps of {}", step), "step from 1 on; flip reverses an axis");
  if (from < 0 || from >= size) {
    refuse(fmt::format("from {}", start), fmt::format("start from 0 to {}", size - 1));
  }
  if (to < 0 || to > size) {
    refuse(fmt::format("up to {}", stop), fmt::format("stop at {} at the latest", size));
  }
  if (to <= from) {
    refuse(fmt::format("from {} to {}", start, stop),
           "leave at least one element: stop is exclusive");
  }
  return r.done(
      ir::slice(v, at, {.start = from, .step = step, .size = (to - from - 1) / step + 1}));
}

Value flip(const Operand& x, const Axes& axes) {
  Recorder r({&x});
  Expr v = r[0];
  for (int64_t axis : axes_of(r, v, axes)) {
    static_axis_of(r, v, axis, "flip");
    const int64_t size = size_at(v, axis);
    if (size > 1) v = ir::slice(v, axis, {.start = size - 1, .step = -1, .size = size});
  }
  return r.done(v);
}

std::vector<Value> split(const Operand& x, const std::vector<int64_t>& sizes, int64_t axis) {
  Recorder r({&x});
  const Expr v = r[0];
  const int64_t at = static_axis_of(r, v, axis, "split");
  int64_t total = 0;
  for (int64_t size : sizes) total = size < 1 ? -1 : total < 0 ? total : total + size;
  if (total != size_at(v, at)) {
    throw Error("split of axis {} of {} into parts of [{}]", at, ir::to_string(v.type()),
                fmt::join(sizes, ", "))
        .at(r.loc().source())
        .help("the sizes are positive and add up to {}", size_at(v, at));
  }
  std::vector<Value> out;
  int64_t start = 0;
  for (int64_t size : sizes) {
    out.push_back(r.done(ir::slice(v, at, {.start = start, .size = size})));
    start += size;
  }
  return out;
}

std::vector<Value> split(const Operand& x, int64_t size, int64_t axis) {
  Recorder r({&x});
  const Expr v = r[0];
  const int64_t whole = size_at(v, static_axis_of(r, v, axis, "split"));
  if (size < 1) {
    throw Error("split of {} into parts of {}", ir::to_string(v.type()), size)
        .at(r.loc().source())
        .help("give the number of elements of a part");
  }
  std::vector<int64_t> sizes;
  for (int64_t at = 0; at < whole; at += size) sizes.push_back(std::min(size, whole - at));
  return split(x, sizes, axis);
}

Value pad(const Operand& x, int64_t axis, int64_t before, int64_t after, double value) {
  Recorder r({&x});
  const Expr v = r[0];
  const int64_t at = static_axis_of(r, v, axis, "pad");
  if (before < 0 || after < 0) {
    throw Error("pad of {} with {} elements before and {} after", ir::to_string(v.type()), before,
                after)
        .at(r.loc().source())
        .help("use slice to take elements away");
  }
  const int64_t size = size_at(v, at) + before + after;
  return r.done(ir::pad(v, at, {.start = before, .size = size}, value));
}

Value iota_like(const Operand& x, int64_t axis, DType dtype) {
  Recorder r({&x});
  const Expr v = r[0];
  return r.done(r.builder().iota(static_cast<int>(axis_of(r, v, axis)), v.type().with(dtype)));
}

}  // namespace sinter
