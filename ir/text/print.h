// Text of single ops, for messages about modules that may break every rule.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace sinter::ir {

// Prints parts of one function; numbers its unnamed values once. Keeps references.
class Printer {
 public:
  Printer(const Module& module, const Func& func);

  std::string func() const;
  // The op with its notes and, for a kernel, its body.
  std::string op(const Op& op, int indent = 0) const;
  // The op on one line, without notes; of a kernel the line that opens it.
  std::string op_line(const Op& op) const;
  // `%name`, `%3` or `@global`; `%?7` for a value that nothing defines.
  std::string value(ValueId id) const;

 private:
  void number(ValueId id);
  void append_op(std::string& out, const Op& op, int indent) const;
  std::string joined(const std::vector<ValueId>& ids) const;

  const Module& module_;
  const Func& func_;
  std::vector<int> numbers_;  // by value; -1 for those with a name or without a definition
  std::vector<bool> defined_;
  int next_number_ = 0;
};

}  // namespace sinter::ir
