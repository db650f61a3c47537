// P1: a step makes no system call. Runs steps in a process that the kernel kills at the first call
// but read, write and exit.
#if defined(__linux__)

#include <csignal>

#include <catch2/catch.hpp>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sinter/sinter.h>

using namespace sinter;

namespace {

struct Net : nn::Module {
  nn::Linear hidden, predict;
  Net(int64_t in, int64_t width, int64_t out) : hidden(in, width), predict(width, out) {
    add("hidden", hidden);
    add("predict", predict);
  }
  Value forward(Value x) override { return predict(relu(hidden(x))); }
};

// The signal that ends a process which may only read, write and exit while it runs `f`, else 0.
template <class F>
int signal_of(F&& f) {
  const pid_t child = fork();
  if (child == 0) {
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) _exit(1);
    f();
    // _exit is exit_group, which strict mode does not know.
    syscall(SYS_exit, 0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) return WTERMSIG(status);
  CHECK(WEXITSTATUS(status) == 0);
  return 0;
}

}  // namespace

TEST_CASE("the kernel notices a system call") {
  CHECK(signal_of([] { getppid(); }) == SIGKILL);
  CHECK(signal_of([] {}) == 0);
}

TEST_CASE("a hundred thousand steps make no system call") {
  Net net(1, 10, 1);
  const Tensor x = linspace(-1, 1, 100).unsqueeze(1), y = x.clone();
  const Tensor x_part = x.rows(0, 37), y_part = y.rows(0, 37);
  Trainer trainer(net, mse_loss, optim::Adam{}, {.max_batch = 100, .threads = 1});
  trainer.step(x, y);
  CHECK(signal_of([&] {
          for (int i = 0; i < 50000; ++i) {
            trainer.step(x, y);
            trainer.step(x_part, y_part);
          }
        }) == 0);
}

TEST_CASE("an epoch over tensors makes no system call") {
  Net net(3, 10, 1);
  Generator generator(1);
  const Tensor x = randn({100, 3}, generator), y = randn({100, 1}, generator);
  DataLoader loader(TensorDataset(x, y), {.batch_size = 32, .shuffle = true});
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 1e-3}, {.max_batch = 32, .threads = 1});
  const auto epoch = [&] {
    for (auto [step, bx, by] : loader) trainer.step(bx, by);
  };
  epoch();
  CHECK(signal_of([&] {
          for (int i = 0; i < 20; ++i) epoch();
        }) == 0);
}

#endif
