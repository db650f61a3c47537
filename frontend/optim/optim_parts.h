// Pieces that several optimizers share.
#pragma once

#include <optional>
#include <string_view>

#include <sinter/optim.h>

namespace sinter::optim {

// gradient + weight_decay w, or the gradient alone if there was no decay to begin with.
Value decayed_gradient(Step& step, const Trained& p, double weight_decay);

// The product of `factor` over all steps, this one included, such as beta^t. Held above the
// denormals: it is used in 1 - product, which is 1 long before.
Value advance_product(Step& step, std::string_view name, const Value& factor,
                      std::optional<DType> dtype = std::nullopt);

// t, counted from 1. In f32 it stops at 2^24, where no rule depends on it any more.
Value advance_count(Step& step, std::optional<DType> dtype = std::nullopt);

}  // namespace sinter::optim
