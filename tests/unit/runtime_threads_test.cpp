#include <array>
#include <chrono>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include <sinter/error.h>
#include <sinter/thread_team.h>

using namespace sinter;

namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool under_tsan = true;
#else
constexpr bool under_tsan = false;
#endif

/// run() with a lambda.
template <class F>
void run(ThreadTeam& team, F f) {
  team.run([](void* context, int tid, int threads) { (*static_cast<F*>(context))(tid, threads); },
           &f);
}

}  // namespace

TEST_CASE("a team calls the body once for each tid", "[threads]") {
  for (int threads : {1, 2, 3, 8}) {
    ThreadTeam team(threads);
    CHECK(team.size() == threads);
    CHECK((team.barrier() == nullptr) == (threads == 1));
    // Plain integers: what the workers wrote must be visible after run().
    std::vector<int> calls(static_cast<size_t>(threads));
    for (int i = 0; i < 200; ++i)
      run(team, [&](int tid, int count) {
        calls[static_cast<size_t>(tid)] += count == threads ? 1 : 1000;
      });
    for (int count : calls) CHECK(count == 200);
  }
}

TEST_CASE("the caller is tid 0", "[threads]") {
  ThreadTeam team(2);
  std::array<std::thread::id, 2> ids;
  run(team, [&](int tid, int) { ids[static_cast<size_t>(tid)] = std::this_thread::get_id(); });
  CHECK(ids[0] == std::this_thread::get_id());
  CHECK(ids[1] != ids[0]);
}

TEST_CASE("workers that have gone to sleep wake up", "[threads]") {
  ThreadTeam team(3);
  std::atomic<int> calls = 0;
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(i % 2 == 0 ? 2000 : 100));
    run(team, [&](int, int) { ++calls; });
  }
  CHECK(calls == 60);
}

TEST_CASE("a barrier separates phases for any number of threads", "[threads]") {
  for (int threads : {1, 2, 3, 4, 5, 8}) {
    ThreadTeam team(threads);
    Barrier barrier(threads);
    constexpr int phases = 200;
    // Each phase reads what all others wrote in the phase before.
    std::vector<std::array<int, 2>> values(static_cast<size_t>(threads));
    std::atomic<int> wrong = 0;
    run(team, [&](int tid, int count) {
      for (int phase = 0; phase < phases; ++phase) {
        values[static_cast<size_t>(tid)][static_cast<size_t>(phase % 2)] = phase * 100 + tid;
        barrier.wait(tid);
        for (int other = 0; other < count; ++other)
          wrong += values[static_cast<size_t>(other)][static_cast<size_t>(phase % 2)] !=
                   phase * 100 + other;
      }
    });
    CHECK(wrong == 0);
  }
}

TEST_CASE("the barrier of a team works through the C interface and survives runs", "[threads]") {
  ThreadTeam team(4);
  int sum = 0;
  for (int i = 0; i < 100; ++i)
    run(team, [&](int tid, int threads) {
      for (int turn = 0; turn < threads; ++turn) {
        if (turn == tid) sum += tid;
        sinter_barrier_wait(team.barrier(), tid);
      }
    });
  CHECK(sum == 600);
}

TEST_CASE("runs from several host threads follow one another", "[threads]") {
  ThreadTeam team(2);
  std::atomic<int> inside = 0, most = 0;
  long total = 0;
  {
    std::vector<std::jthread> hosts;
    for (int host = 0; host < 3; ++host)
      hosts.emplace_back([&] {
        for (int i = 0; i < 200; ++i)
          run(team, [&](int tid, int) {
            if (tid != 0) return;
            const int now = ++inside;
            if (now > most) most = now;
            ++total;
            --inside;
          });
      });
  }
  CHECK(total == 600);
  CHECK(most == 1);
}

TEST_CASE("teams come and go, awake or asleep", "[threads]") {
  for (int i = 0; i < 20; ++i) {
    ThreadTeam team(2);
    if (i % 3 != 0) run(team, [](int, int) {});
    if (i % 3 == 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_CASE("sizes that make no sense are errors", "[threads]") {
  CHECK_THROWS_AS(ThreadTeam(0), Error);
  CHECK_THROWS_AS(ThreadTeam(-3), Error);
  CHECK_THROWS_AS(ThreadTeam(1 << 20), Error);
  CHECK_THROWS_AS(Barrier(0), Error);
}

TEST_CASE("there is at least one core and one team for the process", "[threads]") {
  CHECK(ThreadTeam::available_cores() >= 1);
  ThreadTeam& team = ThreadTeam::process_default(2);
  CHECK(&team == &ThreadTeam::process_default(5));
  CHECK(team.size() == 2);
}

TEST_CASE("after a fork the child has a team of its own and can leave", "[threads]") {
  // TSan ends a process that makes threads after a fork.
  if (under_tsan) return;
  ThreadTeam team(3);
  run(team, [](int, int) {});
  const pid_t child = ::fork();
  if (child == 0) {
    // Exit codes only: the test framework belongs to the parent.
    ::alarm(20);
    std::array<int, 3> calls = {};
    {
      ThreadTeam own(2);
      run(own, [](int, int) {});
    }
    run(team, [&](int tid, int) {
      sinter_barrier_wait(team.barrier(), tid);
      ++calls[static_cast<size_t>(tid)];
    });
    team.~ThreadTeam();
    ::_exit(calls == std::array<int, 3>{1, 1, 1} ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  run(team, [](int, int) {});
}

TEST_CASE("a forked child that never runs the team can destroy it", "[threads]") {
  if (under_tsan) return;
  ThreadTeam team(2);
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    team.~ThreadTeam();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
}
