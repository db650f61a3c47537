#pragma once

#include <source_location>
#include <string>

#include <sinter/nn.h>

namespace sinter {

/// A table of the net for an input of this shape, batch included, f32: for each module its output
/// shape, parameters, floating-point operations of the forward pass (an addition, a multiplication
/// and a call of exp count one each) and bytes of weights; totals at the end.
std::string summary(nn::Module& net, const Shape& input,
                    const std::source_location& at = std::source_location::current());

}  // namespace sinter
