// Invariants of the loader:
// - Batch b of an epoch lies in slot b mod slots. A slot belongs to the worker that has claimed its
//   batch until `ready`, then to the consumer until `released` passes b; everything that both touch
//   is under the mutex, except the contents of a slot, which its owner has alone.
// - A worker claims batches in order and only while claimed < released + slots, so that no slot is
//   filled while its batch is in use.
// - The order of an epoch is written while no batch is claimed.

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <numeric>
#include <system_error>
#include <thread>
#include <vector>

#include <sinter/data_loader.h>
#include <sinter/error.h>
#include <sinter/permutation.h>
#include <sinter/random.h>

#include "runtime/data/batch_buffer.h"
#include "runtime/threads/signals_blocked.h"

namespace sinter {

namespace {

constexpr int max_workers = 1024;

struct Slot {
  detail::BatchBuffer buffer;
  std::exception_ptr error;
  bool ready = false;
  // Of the consumer: its rows were compared with those of the first batch.
  bool compared = false;
};

struct Plan {
  int64_t rows, batch, batches, last;
};

Plan plan_of(const Dataset& dataset, const DataLoaderOptions& o, const SourceLoc& at) {
  const auto refuse = [&](std::string what, const char* help) {
    return Error(std::move(what)).at(at).help(help);
  };
  const int64_t rows = dataset.size();
  if (o.batch_size < 1)
    throw refuse(fmt::format("batch_size is {}", o.batch_size), "give at least one row a batch");
  if (o.num_workers < 0 || o.num_workers > max_workers)
    throw refuse(fmt::format("num_workers is {}", o.num_workers),
                 "give 0 to read without threads, or about one for each core");
  if (o.prefetch < 1 || o.prefetch > 1024)
    throw refuse(fmt::format("prefetch is {}", o.prefetch), "let each worker read 2 batches ahead");
  if (rows < 1)
    throw refuse(fmt::format("the data set has {} samples", rows), "give it at least one");
  const int64_t batch = std::min(rows, o.batch_size);
  if (o.drop_last && rows < o.batch_size)
    throw refuse(fmt::format("drop_last leaves no batch: {} samples are fewer than batch_size = {}",
                             rows, o.batch_size),
                 "make batch_size smaller, or keep the last batch");
  const int64_t batches = o.drop_last ? rows / batch : (rows + batch - 1) / batch;
  return {rows, batch, batches, std::min(batch, rows - (batches - 1) * batch)};
}

}  // namespace

struct DataLoader::Impl {
  const std::shared_ptr<const Dataset> dataset;
  const TensorDataset* const tensors;
  const DataLoaderOptions options;
  const SourceLoc at;
  const Plan plan;

  // Of the consumer alone.
  uint64_t seed;
  int64_t epoch = 0;
  int64_t next = 0;
  // The next loop goes on at `next` rather than with a new epoch.
  bool resumes = true;
  bool running = false;
  uint64_t loop = 0;
  const Slot* current = nullptr;

  std::vector<int64_t> order;
  // What `order` was made for.
  uint64_t order_seed = 0;
  int64_t order_epoch = -1;
  std::vector<Slot> slots;
  // The first batch, for its shapes; and the sample that they come from.
  Tensor model_x, model_y;
  int64_t model = -1;

  std::mutex mutex;
  std::condition_variable work, done;
  int64_t claimed = 0, end = 0, released = 0;
  int busy = 0;
  bool stop = false;
  std::vector<std::thread> workers;

  Impl(std::shared_ptr<const Dataset> d, const DataLoaderOptions& o, SourceLoc a)
      : dataset(std::move(d)),
        tensors(dynamic_cast<const TensorDataset*>(dataset.get())),
        options(o),
        at(std::move(a)),
        plan(plan_of(*dataset, o, at)),
        seed(o.seed.value_or(default_generator().seed())),
        order(static_cast<size_t>(plan.rows)) {
    const int64_t ahead = std::min(int64_t{o.num_workers} * o.prefetch, plan.batches);
    for (int64_t i = 0; i <= ahead; ++i)
      slots.push_back({detail::BatchBuffer(plan.batch, plan.last), nullptr});
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    work.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  Slot& slot(int64_t batch) { return slots[static_cast<size_t>(batch) % slots.size()]; }

  void fill(int64_t batch) {
    const auto first = static_cast<size_t>(batch * plan.batch);
    const int64_t count = batch + 1 == plan.batches ? plan.last : plan.batch;
    slot(batch).buffer.fill(*dataset, tensors,
                            std::span(order).subspan(first, static_cast<size_t>(count)), at);
  }

  void make_workers() {
    const detail::SignalsBlocked blocked;
    try {
      for (int i = 0; i < options.num_workers; ++i) workers.emplace_back([this] { read_ahead(); });
    } catch (const std::system_error& error) {
      // Those that were made do all the work.
      if (!workers.empty()) return;
      throw Error("the system refused a thread for a loader: {}", error.what())
          .at(at)
          .help("use num_workers = 0");
    }
  }

  void read_ahead() {
    std::unique_lock lock(mutex);
    while (true) {
      work.wait(lock, [&] {
        return stop || (claimed < end && claimed < released + static_cast<int64_t>(slots.size()));
      });
      if (stop) return;
      const int64_t batch = claimed++;
      ++busy;
      lock.unlock();
      std::exception_ptr error;
      try {
        fill(batch);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      slot(batch).error = std::move(error);
      slot(batch).ready = true;
      --busy;
      done.notify_all();
    }
  }

  // Afterwards no worker touches a slot or the order.
  void stop_reading() {
    if (workers.empty()) return;
    std::unique_lock lock(mutex);
    end = claimed;
    done.wait(lock, [&] { return busy == 0; });
    for (Slot& s : slots) {
      s.ready = false;
      s.error = nullptr;
    }
  }

  void start() {
    stop_reading();
    if (next == plan.batches || (next > 0 && !resumes)) {
      ++epoch;
      next = 0;
    }
    resumes = false;
    running = true;
    ++loop;
    if (order_epoch != epoch || order_seed != seed) {
      if (options.shuffle) {
        random_permutation(seed, stream_id("shuffle"), static_cast<uint64_t>(epoch), order);
      } else if (order_epoch < 0) {
        std::iota(order.begin(), order.end(), int64_t{0});
      }
      order_epoch = epoch;
      order_seed = seed;
    }
    if (options.num_workers > 0) {
      if (workers.empty()) make_workers();
      {
        const std::lock_guard lock(mutex);
        claimed = released = next;
        end = plan.batches;
      }
      work.notify_all();
    }
    advance();
  }

  // Gives back the batch in use and makes the next one current, if there is one.
  void advance() {
    current = nullptr;
    // seek() may have ended the loop; and so does a batch that cannot be read.
    const bool ended = !running || next == plan.batches;
    running = false;
    if (ended) return;
    if (options.num_workers > 0) {
      take();
    } else {
      fill(next);
    }
    Slot& got = slot(next);
    if (!got.compared) compare(got);
    current = &got;
    ++next;
    running = true;
  }

  void take() {
    Slot& s = slot(next);
    std::exception_ptr error;
    {
      std::unique_lock lock(mutex);
      released = next;
      work.notify_one();
      done.wait(lock, [&] { return s.ready; });
      s.ready = false;
      error = std::exchange(s.error, nullptr);
    }
    if (error) std::rethrow_exception(error);
  }

  // Each slot takes its shapes from a sample of its own; the first batch decides.
  void compare(Slot& got) {
    const detail::BatchBuffer& buffer = got.buffer;
    if (model < 0) {
      model_x = buffer.x();
      model_y = buffer.y();
      model = buffer.model();
    } else {
      detail::check_same_rows(model_x, model, buffer.x(), buffer.model(), "x", at);
      detail::check_same_rows(model_y, model, buffer.y(), buffer.model(), "y", at);
    }
    got.compared = true;
  }
};

DataLoader::DataLoader(std::shared_ptr<const Dataset> dataset, DataLoaderOptions options,
                       const std::source_location& at) {
  if (dataset == nullptr)
    throw Error("a loader was given no data set")
        .at(SourceLoc::from(at))
        .help("pass a TensorDataset(x, y), or a shared_ptr to a Dataset of yours");
  impl_ = std::make_unique<Impl>(std::move(dataset), options, SourceLoc::from(at));
}
DataLoader::DataLoader(DataLoader&&) noexcept = default;
DataLoader& DataLoader::operator=(DataLoader&&) noexcept = default;
DataLoader::~DataLoader() = default;

DataLoader::Iterator DataLoader::begin() {
  impl_->start();
  return Iterator(impl_.get());
}

int64_t DataLoader::batches() const { return impl_->plan.batches; }
int64_t DataLoader::size() const { return impl_->plan.rows; }
int64_t DataLoader::batch_size() const { return impl_->plan.batch; }
const Dataset& DataLoader::dataset() const { return *impl_->dataset; }

LoaderPosition DataLoader::position() const {
  const Impl& m = *impl_;
  if (m.next == m.plan.batches) return {m.seed, m.epoch + 1, 0};
  return {m.seed, m.epoch, m.next};
}

void DataLoader::seek(const LoaderPosition& position, const std::source_location& at) {
  Impl& m = *impl_;
  if (position.epoch < 0 || position.batch < 0 || position.batch >= m.plan.batches)
    throw Error("a loader has no batch {} of epoch {}", position.batch, position.epoch)
        .at(SourceLoc::from(at))
        .note("it has {} samples, in {} batches of up to {} rows", m.plan.rows, m.plan.batches,
              m.plan.batch)
        .help("use a position of a loader with as many samples and the same batch_size");
  m.stop_reading();
  m.seed = position.seed;
  m.epoch = position.epoch;
  m.next = position.batch;
  m.resumes = true;
  m.running = false;
}

DataLoader::Iterator::Iterator(Impl* loader) : loader_(loader), loop_(loader->loop) {}

Batch DataLoader::Iterator::operator*() const {
  SINTER_CHECK(loader_->current != nullptr, "a loop over a loader is read after its end");
  const detail::BatchBuffer& buffer = loader_->current->buffer;
  return {loader_->next - 1, buffer.x(), buffer.y()};
}

DataLoader::Iterator& DataLoader::Iterator::operator++() {
  if (loop_ != loader_->loop)
    throw Error("a loop over a loader was started inside another loop over the same loader")
        .at(loader_->at)
        .help("make a second loader for the inner loop");
  loader_->advance();
  return *this;
}

bool DataLoader::Iterator::operator==(std::default_sentinel_t) const {
  return loop_ == loader_->loop && !loader_->running;
}

}  // namespace sinter
