// P1: a step does not allocate. Counts every call of malloc and its kin in this program, libraries
// included: the C library lets a program define them, and operator new ends there too.
#include <atomic>
#include <cerrno>
#include <cstdlib>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define SINTER_COUNTS_ALLOCATIONS 1
#endif

#ifdef SINTER_COUNTS_ALLOCATIONS

namespace {

std::atomic<bool> counting{false};
std::atomic<int64_t> allocations{0};

void note() {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1);
}

}  // namespace

extern "C" {

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

void* malloc(size_t size) {
  note();
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  note();
  return __libc_calloc(count, size);
}
void* realloc(void* old, size_t size) {
  note();
  return __libc_realloc(old, size);
}
void* memalign(size_t alignment, size_t size) {
  note();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  note();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** out, size_t alignment, size_t size) {
  note();
  *out = __libc_memalign(alignment, size);
  return *out ? 0 : ENOMEM;
}
void free(void* memory) { __libc_free(memory); }

}  // extern "C"

using namespace sinter;

namespace {

template <class F>
int64_t allocations_in(F&& f) {
  allocations = 0;
  counting = true;
  f();
  counting = false;
  return allocations;
}

struct Net : nn::Module {
  nn::Linear hidden, predict;
  Net(int64_t in, int64_t width, int64_t out) : hidden(in, width), predict(width, out) {
    add("hidden", hidden);
    add("predict", predict);
  }
  Value forward(Value x) override { return predict(relu(hidden(x))); }
};

}  // namespace

TEST_CASE("the counter of allocations counts") {
  std::unique_ptr<int> number;
  CHECK(allocations_in([&] { number = std::make_unique<int>(1); }) == 1);
  CHECK(allocations_in([&] { *number = 2; }) == 0);
}

TEST_CASE("a hundred thousand steps do not allocate") {
  Net net(1, 10, 1);
  Tensor x = linspace(-1, 1, 100).unsqueeze(1), y = x.clone();
  const Tensor x_part = x.rows(0, 37), y_part = y.rows(0, 37);
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 1e-3}, {.max_batch = 100});
  trainer.step(x, y);
  float last = 0;
  CHECK(allocations_in([&] {
          for (int i = 0; i < 50000; ++i) {
            last = trainer.step(x, y);
            last += trainer.step(x_part, y_part);
          }
        }) == 0);
  CHECK(std::isfinite(last));
}

TEST_CASE("many steps in one call do not allocate") {
  Net net(2, 10, 2);
  Generator generator(1);
  const Tensor x = randn({200, 2}, generator);
  const Tensor y = Tensor::from(std::vector<int64_t>(200, 1));
  Trainer trainer(net, cross_entropy, optim::Adam{}, {.max_batch = 32});
  const StepsOptions options{.batch_size = 32, .count = 1000};
  trainer.steps(x, y, options);
  CHECK(allocations_in([&] { trainer.steps(x, y, options); }) == 0);
}

TEST_CASE("steps of a net that threads share do not allocate") {
  Net net(128, 96, 10);
  Generator generator(1);
  const Tensor x = randn({64, 128}, generator);
  const Tensor y = Tensor::from(std::vector<int64_t>(64, 1));
  Trainer trainer(net, cross_entropy, optim::Adam{},
                  {.max_batch = 64, .threads = 2, .oversubscribe = true});
  trainer.step(x, y);
  CHECK(allocations_in([&] {
          for (int i = 0; i < 100; ++i) trainer.step(x, y);
        }) == 0);
}

TEST_CASE("epochs of a loader of tensors do not allocate, with and without workers") {
  Net net(3, 10, 1);
  Generator generator(1);
  const Tensor x = randn({100, 3}, generator), y = randn({100, 1}, generator);
  for (int workers : {0, 2}) {
    DataLoader loader(TensorDataset(x, y),
                      {.batch_size = 32, .shuffle = true, .num_workers = workers});
    Trainer trainer(net, mse_loss, optim::SGD{.lr = 1e-3}, {.max_batch = 32});
    const auto epoch = [&] {
      for (auto [step, bx, by] : loader) trainer.step(bx, by);
    };
    epoch();
    epoch();
    CHECK(allocations_in([&] {
            for (int i = 0; i < 20; ++i) epoch();
          }) == 0);
    CHECK(trainer.compile_count() == 1);
  }
}

#endif
