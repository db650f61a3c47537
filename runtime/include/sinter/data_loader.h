#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <sinter/dataset.h>
#include <sinter/loader_position.h>

namespace sinter {

struct DataLoaderOptions {
  int64_t batch_size = 1;
  /// Another order in each epoch, a function of (seed, epoch) alone.
  bool shuffle = false;
  /// Threads that read ahead; 0 reads when a batch is asked for, which is the fastest for tensors
  /// in memory. The batches are the same for any number.
  int num_workers = 0;
  /// Leaves out a last batch that is smaller than batch_size.
  bool drop_last = false;
  /// How many batches each worker reads ahead.
  int prefetch = 2;
  /// Of the order; by default that of default_generator(), set by manual_seed().
  std::optional<uint64_t> seed{};
};

/// Mini-batch number `step` of its epoch: x [rows, ...] and y [rows, ...]. The tensors are buffers
/// of the loader that it fills again: they hold this batch until the loop asks for the next one.
/// clone() keeps them longer.
struct Batch {
  int64_t step;
  const Tensor& x;
  const Tensor& y;
};

/// Cuts a data set into mini-batches. Each loop over it is one epoch, over every sample once:
///
///     DataLoader loader(TensorDataset(x, y), {.batch_size = 32, .shuffle = true});
///     for (int epoch = 0; epoch < 10; ++epoch) {
///       for (auto [step, x, y] : loader) trainer.step(x, y);
///     }
///
/// The last batch has the rows that are left. Rows of a TensorDataset are copied straight into the
/// buffer that the training step reads; after the first batch of each buffer nothing allocates. A
/// loop that is left early ends its epoch. What get() of a Dataset throws surfaces at the batch
/// that it belongs to, as an Error that names the sample and nests the original.
class DataLoader {
 public:
  /// Any Dataset, by value. Error for options that make no sense or leave no batch.
  template <class D>
    requires std::derived_from<std::remove_cvref_t<D>, Dataset>
  explicit DataLoader(D&& dataset, DataLoaderOptions options = {},
                      const std::source_location& at = std::source_location::current())
      : DataLoader(std::static_pointer_cast<const Dataset>(
                       std::make_shared<const std::remove_cvref_t<D>>(std::forward<D>(dataset))),
                   options, at) {}
  /// One that others use too.
  explicit DataLoader(std::shared_ptr<const Dataset> dataset, DataLoaderOptions options = {},
                      const std::source_location& at = std::source_location::current());
  DataLoader(DataLoader&&) noexcept;
  DataLoader& operator=(DataLoader&&) noexcept;
  ~DataLoader();

  class Iterator;
  /// Starts an epoch, the next one or the rest of the one that seek() has chosen.
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

  /// Batches in an epoch.
  int64_t batches() const;
  /// Samples in the data set.
  int64_t size() const;
  /// Rows of every batch but the last.
  int64_t batch_size() const;
  const Dataset& dataset() const;

  /// The next batch that a loop gives out; within the loop, the one after this. After the last one
  /// it is batch 0 of the next epoch.
  LoaderPosition position() const;
  /// Makes the next loop start there, and ends one that is running. Error if there is no such
  /// batch.
  void seek(const LoaderPosition& position,
            const std::source_location& at = std::source_location::current());

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Single pass. Error if it moves on after the loader was started again.
class DataLoader::Iterator {
 public:
  using value_type = Batch;
  using difference_type = std::ptrdiff_t;

  Batch operator*() const;
  Iterator& operator++();
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const;

 private:
  friend class DataLoader;
  explicit Iterator(Impl* loader);
  Impl* loader_;
  uint64_t loop_;
};

}  // namespace sinter
