#pragma once

#include <cstdint>
#include <source_location>
#include <span>

#include <sinter/dataset.h>
#include <sinter/error.h>

namespace sinter::detail {

/// The buffers of one batch: made when they are filled for the first time, filled again after.
class BatchBuffer {
 public:
  /// For batches of `most` rows, or of `last` rows at the end of an epoch.
  BatchBuffer(int64_t most, int64_t last) : most_(most), last_(last) {}

  /// Reads these samples into the first rows. What get() throws comes out as an Error that names
  /// the sample. `tensors` is the dataset if it is one of tensors, else null.
  void fill(const Dataset& dataset, const TensorDataset* tensors, std::span<const int64_t> rows,
            const SourceLoc& at);

  const Tensor& x() const { return rows_ == most_ ? x_ : last_x_; }
  const Tensor& y() const { return rows_ == most_ ? y_ : last_y_; }
  /// The sample that the shapes were taken from.
  int64_t model() const { return model_; }

 private:
  void make(const Tensor& x_row, const Tensor& y_row, int64_t sample);

  int64_t most_, last_;
  int64_t rows_ = 0;
  int64_t model_ = 0;
  bool made_ = false;
  Tensor x_, y_;
  // The same buffers with `last` rows.
  Tensor last_x_, last_y_;
};

/// Error unless rows of `got` are like those of `like`, except for their number.
void check_same_rows(const Tensor& like, int64_t like_sample, const Tensor& got, int64_t got_sample,
                     const char* name, const SourceLoc& at);

}  // namespace sinter::detail
