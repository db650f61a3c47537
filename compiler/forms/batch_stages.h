// How a block of rows is computed where straight-line code for all features would be too long: as
// loops over features, one for each stage. A stage computes every value that has its number of
// features and can be had at its level; what other stages read is kept in memory, one vector of
// rows after the other. Products of two row values that fold the batch come last.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compiler/forms/batch_form.h"
#include "ir/graph.h"

namespace sinter::compiler {

struct BatchStage {
  int level = 0;  // stages run by level
  int64_t features = 1;
  std::vector<const ir::Op*> products;  // contractions with a uniform factor
  std::vector<const ir::Op*> kept;      // values that others read
  std::vector<const ir::Op*> folds;     // reductions over features
  std::vector<const ir::Op*> sums;      // totals that add up values of this stage
};

// Where the elements of a uniform factor lie: that of result j and summed index k is at
// j * by_result + k * by_depth.
struct FactorStrides {
  int64_t by_result = 0, by_depth = 0;
};

struct BatchStages {
  std::vector<BatchStage> stages;
  std::vector<const ir::Op*> products;  // totals that contract two row values
  std::vector<ir::ValueId> arguments;   // row arguments that are read
};

// The stages of one pass of `form`, or the reason why there are none.
struct StagesAnalysis {
  std::optional<BatchStages> stages;
  std::string reason;
};
StagesAnalysis plan_stages(const ir::Func& func, const BatchForm& form, int pass);

// The value whose elements a view shows in the same order, or the value itself.
ir::ValueId behind_plain_views(const ir::Func& func, const std::vector<const ir::Op*>& defs,
                               ir::ValueId v);
// Which operand of a row contraction follows the batch, and how the other one lies.
size_t row_factor(const ir::Func& func, const ir::Op& product);
std::optional<FactorStrides> factor_strides(const ir::Func& func, const ir::Op& product);

}  // namespace sinter::compiler
