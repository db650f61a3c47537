// What the files of functions share: axes and shapes as users give them, checked.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <sinter/reductions.h>

#include "frontend/recording.h"

namespace sinter::detail {

// The axis counted from the front; Error, at the user's line, if it does not exist.
int64_t axis_of(Recorder& r, ir::Expr x, int64_t axis);
// The same for several, ascending; Error if one is named twice.
std::vector<int64_t> axes_of(Recorder& r, ir::Expr x, const Axes& axes);
// The axis, which must have a fixed size: `what` names the function.
int64_t static_axis_of(Recorder& r, ir::Expr x, int64_t axis, std::string_view what);
// The place of a new axis: one more than there are axes, -1 for the end.
int64_t new_axis_of(Recorder& r, ir::Expr x, int64_t axis);
std::vector<int64_t> all_axes(ir::Expr x);

// `shape` with -1 worked out so that the number of elements fits `x` for every n.
ir::Shape shape_for(Recorder& r, ir::Expr x, const Shape& shape);

// Notes that an integer argument of the function must hold row numbers, to be checked before it
// runs; what is computed from other values is left to the compiled code.
void check_rows(Recorder& r, ir::Expr indices, ir::Dim rows, std::optional<int64_t> ignore);

}  // namespace sinter::detail
