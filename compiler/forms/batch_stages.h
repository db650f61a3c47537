// How a block of rows is computed: as loops over features, one for each stage. A stage computes
// every value that has its number of features and can be had at its level; what other stages read
// is kept in memory, one vector of rows after the other. It also adds up what folds its features:
// sums by row, products by row with few results, and totals of products with values of few
// features. Products over the batch of two row values with more features come last.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compiler/forms/batch_form.h"
#include "ir/graph.h"

namespace sinter::compiler {

// A product by row of few results, whose depth is the features of the stage.
struct RowDot {
  const ir::Op* op = nullptr;
  ir::ValueId result;               // of op, or of the op that adds the bias
  std::optional<ir::ValueId> bias;  // where its sums start
};

// A product of two row values that folds the batch, in the stage that goes through the features of
// operand `side`; the other one has few.
struct TotalDot {
  const ir::Op* op = nullptr;
  size_t side = 0;
};

// The total of where(`condition`, log(`of`) - `minus`, 0), whose logarithms are those of products:
// log a + log b = log(a b). `of` is a sum of exponentials of which the largest is exp(0), so that
// no product of a few is too large.
struct LogSum {
  const ir::Op* op = nullptr;
  const ir::Op* log = nullptr;
  ir::ValueId of;
  std::optional<ir::ValueId> minus, condition;
  bool holds = true;  // rows count where the condition holds; else where it does not
};

struct BatchStage {
  int level = 0;  // stages run by level
  int64_t features = 1;
  std::vector<const ir::Op*> products;  // contractions with a uniform factor
  std::vector<const ir::Op*> kept;      // values that others read
  std::vector<const ir::Op*> folds;     // reductions over features
  std::vector<RowDot> dots;
  std::vector<const ir::Op*> sums;  // totals that add up values of this stage
  std::vector<TotalDot> total_dots;
  std::vector<LogSum> log_sums;
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

// What is added to a product that nothing else reads is where its sum starts.
struct Biased {
  ir::ValueId sum, bias;
};
std::optional<Biased> biased_product(const ir::Func& func, const BatchForm& form,
                                     const ir::Op& product);
// Only if it is the same for all rows.
std::optional<Biased> uniformly_biased_product(const ir::Func& func, const BatchForm& form,
                                               const ir::Op& product);

// The value whose elements a view shows in the same order, or the value itself.
ir::ValueId behind_plain_views(const ir::Func& func, const std::vector<const ir::Op*>& defs,
                               ir::ValueId v);
// Which operand of a row contraction follows the batch, and how the other one lies.
size_t row_factor(const ir::Func& func, const ir::Op& product);
std::optional<FactorStrides> factor_strides(const ir::Func& func, const ir::Op& product);

}  // namespace sinter::compiler
