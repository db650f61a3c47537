// Random applications of ops, from the op table alone: operands, attributes and result types are
// guessed in the usual shapes, the op's type rule says which guesses are legal, and its meaning
// whether the numbers stay reasonable. A new op takes part as soon as it is in the table.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ir/builder.h"
#include "ir/graph.h"
#include "ir/op.h"
#include "tools/sinter/fuzz/random.h"
#include "tools/sinter/fuzz/rounding.h"
#include "tools/sinter/fuzz/trial.h"

namespace sinter::fuzz {

// A program that grows op by op, with the values that everything has on its first inputs.
class Growth {
 public:
  // The function that grows is the first of `module`. `rows`: of the steps that will run.
  Growth(ir::Module& module, Random& random, const InputRule& inputs, std::vector<int64_t> rows,
         int64_t max_batch, DType dtype);

  ir::Expr argument(ir::Type type);
  ir::Expr parameter(ir::Type type);  // a new global; the type does not follow the batch
  // A value there is, or a new argument, global or constant.
  ir::Expr value_of(const ir::Type& type);

  // Appends a random op, reading values there are or new ones. False if no guess was legal.
  bool grow();
  // Appends this op if its type rule takes it and its elements stay finite and below `kLargest`.
  bool try_op(ir::OpKind kind, const std::vector<ir::ValueId>& operands, const ir::Attrs& attrs,
              const std::optional<ir::Type>& declared);
  // Brings the known elements up to date with ops appended through builder(). False where they are
  // undefined or too large.
  bool settle();

  ir::Builder& builder() { return builder_; }
  Random& random() { return random_; }
  DType dtype() const { return dtype_; }
  // Every value so far, oldest first; effects have none.
  const std::vector<ir::ValueId>& pool() const { return pool_; }
  ir::Type random_type();
  int64_t random_size();

  static constexpr double kLargest = 1e4;
  static constexpr int64_t kMostElements = 4096;

 private:
  struct Slot {  // an operand to be: a value, or the type of a new one
    ir::ValueId value;
    ir::Type type;
  };
  bool guess(ir::OpKind kind);
  ir::OpKind draw_kind();
  Slot first_operand();
  Slot next_operand(const std::vector<Slot>& before);
  ir::Attrs draw_attrs(const ir::OpDef& def, const std::vector<Slot>& operands);
  ir::AttrValue draw_attr(const ir::OpDef& def, const ir::AttrSpec& spec, const ir::Type& like);
  ir::Type draw_declared(const std::vector<Slot>& operands);
  ir::Shape reshaped(ir::Shape shape);
  bool small(const ir::Type& type) const;
  bool evaluate(const ir::Op& op);

  ir::Module& module_;
  ir::Func& func_;
  Random& random_;
  InputRule inputs_;
  std::vector<int64_t> rows_;
  int64_t max_batch_;
  DType dtype_;
  ir::Builder builder_;
  std::vector<ir::ValueId> pool_;
  std::vector<Arrays> known_;  // by step, then by value
  size_t settled_ = 0;         // ops of the body whose results are known
};

// The ops that programs are grown from, in the order of the table.
const std::vector<ir::OpKind>& growable_ops();
// Texts that an attribute takes: its default, and the words that the type rule offers in place of
// one that it does not know.
std::vector<std::string> text_choices(const ir::OpDef& def, const ir::AttrSpec& spec);

}  // namespace sinter::fuzz
