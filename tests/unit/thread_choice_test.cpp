// The choice between one thread and all, on made-up times.
#include "runtime/threads/thread_choice.h"

#include <catch2/catch.hpp>

using sinter::ThreadChoice;

namespace {

// Runs for `ns` of made-up time; returns the share of it on all threads.
double share_on_all(ThreadChoice& choice, double ns, double one_ns, double all_ns) {
  double total = 0, on_all = 0;
  while (total < ns) {
    const int64_t runs = choice.runs_left();
    REQUIRE(runs > 0);
    const bool all = choice.threads() > 1;
    const double took = static_cast<double>(runs) * (all ? all_ns : one_ns);
    total += took;
    on_all += all ? took : 0;
    choice.took(runs, choice.measures() ? took : 0);
  }
  return on_all / total;
}

}  // namespace

TEST_CASE("all threads, where they are quicker, nearly all of the time") {
  ThreadChoice choice(2);
  CHECK(choice.threads() == 2);
  share_on_all(choice, 1e8, 100e3, 60e3);
  CHECK(share_on_all(choice, 10e9, 100e3, 60e3) > 0.98);
}

TEST_CASE("one thread, where passing data between cores costs more than is gained") {
  ThreadChoice choice(2);
  share_on_all(choice, 1e8, 35e3, 60e3);
  CHECK(share_on_all(choice, 10e9, 35e3, 60e3) < 0.02);
}

TEST_CASE("a tie keeps all threads") {
  ThreadChoice choice(4);
  share_on_all(choice, 1e8, 50e3, 50e3);
  CHECK(share_on_all(choice, 10e9, 50e3, 50e3) > 0.98);
}

TEST_CASE("another program comes for a core, and goes") {
  ThreadChoice choice(2);
  share_on_all(choice, 3e9, 100e3, 60e3);
  // Barriers now wait for a thread that is not running. A confirmed choice holds for 2 s at most.
  share_on_all(choice, 3e9, 120e3, 4e6);
  CHECK(choice.threads() == 1);
  share_on_all(choice, 5e9, 100e3, 60e3);
  CHECK(share_on_all(choice, 10e9, 100e3, 60e3) > 0.95);
}

TEST_CASE("steps of a microsecond and of milliseconds") {
  for (double ns : {1e3, 4e6}) {
    ThreadChoice choice(2);
    share_on_all(choice, 2e8, ns, 0.6 * ns);
    CHECK(share_on_all(choice, 10e9, ns, 0.6 * ns) > 0.95);
  }
}
