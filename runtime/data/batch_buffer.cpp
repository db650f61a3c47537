#include "runtime/data/batch_buffer.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>

#include "runtime/tensor/strided_copy.h"

namespace sinter::detail {

namespace {

Shape row_shape(const Tensor& batch) { return {batch.shape().begin() + 1, batch.shape().end()}; }

Tensor batch_of(const Tensor& row, int64_t rows) {
  Shape shape = row.shape();
  shape.insert(shape.begin(), rows);
  return Tensor::empty(std::move(shape), row.dtype());
}

template <class Word>
void gather_words(const void* from, std::span<const int64_t> rows, void* to) {
  const auto* source = static_cast<const Word*>(from);
  auto* target = static_cast<Word*>(to);
  for (size_t i = 0; i < rows.size(); ++i) target[i] = source[rows[i]];
}

/// Copies rows of a contiguous tensor; they are known to exist.
void gather(const Tensor& from, std::span<const int64_t> rows, Tensor& to) {
  const size_t row_bytes = from.nbytes() / static_cast<size_t>(from.shape()[0]);
  switch (row_bytes) {
    case 0:
      return;
    case 4:
      return gather_words<uint32_t>(from.raw(), rows, to.raw());
    case 8:
      return gather_words<uint64_t>(from.raw(), rows, to.raw());
    default:
      break;
  }
  const auto* source = static_cast<const std::byte*>(from.raw());
  auto* target = static_cast<std::byte*>(to.raw());
  for (size_t i = 0; i < rows.size(); ++i)
    copy_row(target + i * row_bytes, source + static_cast<size_t>(rows[i]) * row_bytes, row_bytes);
}

/// get() with the number of the sample in what it throws.
Sample read_sample(const Dataset& dataset, int64_t index, const SourceLoc& at) {
  const auto wrap = [&](std::string text) {
    return Error("sample {} of the data set cannot be read: {}", index, text)
        .at(at)
        .help("see what get({}) of the data set does", index);
  };
  try {
    return dataset.get(index);
  } catch (const Error& error) {
    Error outer = wrap(error.message());
    for (const std::string& note : error.notes()) outer.note(note);
    if (!error.help_text().empty()) outer.help(error.help_text());
    std::throw_with_nested(std::move(outer));
  } catch (const std::exception& error) {
    std::throw_with_nested(wrap(error.what()));
  } catch (...) {
    std::throw_with_nested(wrap("get() threw what is no std::exception"));
  }
}

void place(const Tensor& row, int64_t i, Tensor& batch) {
  if (row.nbytes() == 0) return;
  const Tensor values = row.contiguous();
  std::memcpy(static_cast<std::byte*>(batch.raw()) + static_cast<size_t>(i) * row.nbytes(),
              values.raw(), row.nbytes());
}

void check_row(const Tensor& batch, int64_t batch_sample, const Tensor& row, int64_t sample,
               const char* name, const SourceLoc& at) {
  if (row.dtype() == batch.dtype() && std::equal(batch.shape().begin() + 1, batch.shape().end(),
                                                 row.shape().begin(), row.shape().end()))
    return;
  throw Error("sample {} of the data set has {} : {} but sample {} has {}{}", sample, name,
              row.type_string(), batch_sample, batch.dtype(), shape_to_string(row_shape(batch)))
      .at(at)
      .help("give all samples one shape and dtype, as by padding or cropping them in get()");
}

}  // namespace

void check_same_rows(const Tensor& like, int64_t like_sample, const Tensor& got, int64_t got_sample,
                     const char* name, const SourceLoc& at) {
  if (got.dtype() == like.dtype() && got.shape() == like.shape()) return;
  check_row(like, like_sample, got.select(0, 0), got_sample, name, at);
}

void BatchBuffer::make(const Tensor& x_row, const Tensor& y_row, int64_t sample) {
  x_ = batch_of(x_row, most_);
  y_ = batch_of(y_row, most_);
  last_x_ = x_.rows(0, last_);
  last_y_ = y_.rows(0, last_);
  model_ = sample;
  made_ = true;
}

void BatchBuffer::fill(const Dataset& dataset, const TensorDataset* tensors,
                       std::span<const int64_t> rows, const SourceLoc& at) {
  rows_ = static_cast<int64_t>(rows.size());
  SINTER_CHECK(rows_ == most_ || rows_ == last_);
  if (tensors != nullptr) {
    if (!made_) {
      const Sample first = tensors->get(0);
      make(first.x, first.y, 0);
    }
    gather(tensors->x(), rows, x_);
    gather(tensors->y(), rows, y_);
    return;
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const Sample sample = read_sample(dataset, rows[i], at);
    if (!made_) make(sample.x, sample.y, rows[i]);
    check_row(x_, model_, sample.x, rows[i], "x", at);
    check_row(y_, model_, sample.y, rows[i], "y", at);
    place(sample.x, static_cast<int64_t>(i), x_);
    place(sample.y, static_cast<int64_t>(i), y_);
  }
}

}  // namespace sinter::detail
