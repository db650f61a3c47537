#include "frontend/functions/function_parts.h"

#include <algorithm>

#include <sinter/error.h>

#include "ir/ops/family.h"

namespace sinter::detail {

using ir::Expr;

int64_t axis_of(Recorder& r, Expr x, int64_t axis) {
  return located(r.loc(), [&] { return ir::checked_axis(axis, x.type()); });
}

std::vector<int64_t> axes_of(Recorder& r, Expr x, const Axes& axes) {
  std::vector<int64_t> out;
  for (int64_t axis : axes.list()) out.push_back(axis_of(r, x, axis));
  std::sort(out.begin(), out.end());
  if (std::adjacent_find(out.begin(), out.end()) != out.end()) {
    throw Error("an axis of {} is named twice", ir::to_string(x.type()))
        .at(r.loc().source())
        .help("name each axis once");
  }
  return out;
}

int64_t static_axis_of(Recorder& r, Expr x, int64_t axis, std::string_view what) {
  const int64_t at = axis_of(r, x, axis);
  located(r.loc(), [&] { ir::check_static_axis(what, at, x.type()); });
  return at;
}

int64_t new_axis_of(Recorder& r, Expr x, int64_t axis) {
  const int64_t rank = x.type().rank();
  const int64_t at = axis < 0 ? axis + rank + 1 : axis;
  if (at < 0 || at > rank) {
    throw Error("cannot put a new axis at {} of {}", axis, ir::to_string(x.type()))
        .at(r.loc().source())
        .help("use an axis from 0 to {}, or -1 for the end", rank);
  }
  return at;
}

std::vector<int64_t> all_axes(Expr x) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < x.type().rank(); ++i) out.push_back(i);
  return out;
}

ir::Shape shape_for(Recorder& r, Expr x, const Shape& shape) {
  const ir::Type& type = x.type();
  const auto refuse = [&](const std::string& why) {
    throw Error("cannot reshape {} to {}", ir::to_string(type), shape_to_string(shape))
        .at(r.loc().source())
        .help(why);
  };
  int64_t have = 1, want = 1;
  int batches = 0;
  for (const ir::Dim& d : type.shape) {
    have *= d.scale;
    batches += d.batch ? 1 : 0;
  }
  for (int64_t size : shape) {
    if (size == 0 || size < -1)
      refuse("sizes are positive, or -1 for one that follows from the rest");
    if (size > 0) want *= size;
  }
  const auto open = std::count(shape.begin(), shape.end(), -1);
  if (open > 1) refuse("at most one size may be -1");
  if (batches > 1) refuse("a tensor with the batch on two axes keeps its shape");
  if (batches == 1 && open == 0) refuse("write -1 for the axis that follows the batch");
  if (have % want != 0 || (open == 0 && have != want)) {
    refuse("both shapes must have the same number of elements");
  }
  ir::Shape out;
  for (int64_t size : shape) {
    out.push_back(size > 0 ? ir::Dim{size} : ir::Dim{have / want, batches == 1});
  }
  return out;
}

void check_rows(Recorder& r, Expr indices, ir::Dim rows, std::optional<int64_t> ignore) {
  const ir::ValueInfo& info = r.builder().func()[indices.id()];
  if (rows.batch || info.def != ir::ValueDef::argument) return;
  r.recording().checks.push_back(
      {static_cast<size_t>(info.index), rows.scale, ignore, r.loc().source()});
}

}  // namespace sinter::detail
