// An input of the training step as it was recorded, and the comparison of each batch with it.
#pragma once

#include <algorithm>
#include <source_location>
#include <string>

#include <fmt/format.h>

#include <sinter/error.h>
#include <sinter/tensor.h>

#include "ir/type.h"

namespace sinter::detail {

// What the rows of an input looked like when the step was recorded.
class Input {
 public:
  Input() = default;
  Input(const char* name, const ir::Type& type)
      : name_(name), type_(ir::to_string(type)), dtype_(type.dtype), shape_(type.dims(1)) {
    row_bytes_ = static_cast<int64_t>(dtype_size(dtype_));
    for (size_t i = 1; i < shape_.size(); ++i) row_bytes_ *= shape_[i];
  }

  static void check_batch(const char* name, const Tensor& t, const std::source_location& at) {
    if (t.dim() == 0) {
      throw Error("{} has no rows: it is {}", name, t.type_string())
          .at(SourceLoc::from(at))
          .help("axis 0 is the batch; one row of one number is {}.reshape({{1, 1}})", name);
    }
    if (t.shape()[0] == 0) {
      throw Error("the batch is empty: {} is {}", name, t.type_string())
          .at(SourceLoc::from(at))
          .help("give at least one row");
    }
  }

  void check(const Tensor& t, const std::source_location& at) const {
    if (!fits(t)) [[unlikely]] {
      refuse(t, at);
    }
  }

  int64_t row_bytes() const { return row_bytes_; }
  // Memory for so many rows, if `memory` is not that already.
  void reserve(Tensor& memory, int64_t rows) const {
    Shape shape = shape_;
    shape[0] = rows;
    if (memory.shape() != shape || memory.dtype() != dtype_) {
      memory = Tensor::empty(shape, dtype_);
    }
  }

 private:
  bool fits(const Tensor& t) const {
    const Shape& shape = t.shape();
    if (t.dtype() != dtype_ || shape.size() != shape_.size() || shape[0] < 1) return false;
    for (size_t i = 1; i < shape.size(); ++i) {
      if (shape[i] != shape_[i]) return false;
    }
    return t.is_contiguous();
  }

  [[noreturn]] void refuse(const Tensor& t, const std::source_location& at) const {
    check_batch(name_, t, at);
    Error error("{} was {} when the step was recorded but is {} now", name_, type_,
                t.type_string());
    std::string help = "pass rows of the same shape, or make another Trainer for these";
    if (t.dtype() != dtype_) {
      help = fmt::format("convert it, as in {}.to(DType::{})", name_,
                         dtype_ == DType::boolean ? "boolean" : dtype_name(dtype_));
    } else if (t.dim() + 1 == static_cast<int64_t>(shape_.size()) && shape_.back() == 1) {
      help = fmt::format("give it a feature axis: {}.unsqueeze(1)", name_);
    } else if (t.shape().size() == shape_.size() &&
               std::equal(shape_.begin() + 1, shape_.end(), t.shape().begin() + 1)) {
      error = Error("{} : {} is a view whose elements do not lie one after the other", name_,
                    t.type_string());
      help = fmt::format("copy it once before the loop: {} = {}.contiguous()", name_, name_);
    }
    throw error.at(SourceLoc::from(at)).help(help);
  }

  const char* name_ = "x";
  std::string type_;
  DType dtype_ = DType::f32;
  Shape shape_;
  int64_t row_bytes_ = 0;
};

}  // namespace sinter::detail
