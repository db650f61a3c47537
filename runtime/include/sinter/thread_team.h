#pragma once

#include <atomic>
#include <memory>

#include <sinter/abi.h>

namespace sinter {

/// A barrier for a fixed number of threads, each with its own tid in [0, participants). It spins,
/// and yields after many spins, so more participants than cores works.
class Barrier {
 public:
  /// Error unless 1 <= participants <= 4096.
  explicit Barrier(int participants);
  ~Barrier();
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

  void wait(int tid) { sinter_barrier_wait(handle_.get(), tid); }
  sinter_barrier* handle() const { return handle_.get(); }

 private:
  struct Free {
    void operator()(sinter_barrier* barrier) const;
  };
  std::unique_ptr<sinter_barrier, Free> handle_;
};

/// A persistent team of `threads` threads: whoever calls run() is tid 0, the others are workers.
/// Workers are pinned to distinct cores if there are enough; they spin for about 100 us after a run
/// and sleep after that. Survives fork(): the child makes its own workers when it first needs them.
class ThreadTeam {
 public:
  /// What each thread of a run executes; must not throw and must not call run() of the same team.
  using Body = void (*)(void* context, int tid, int threads);

  /// Error unless 1 <= threads <= 4096, or if the system refuses a thread.
  explicit ThreadTeam(int threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const { return threads_; }

  /// Calls body(context, tid, size()) once for each tid and returns when all have returned. Does
  /// not allocate. Calls from several host threads are run one after the other.
  void run(Body body, void* context);

  /// The barrier of this team, for use inside run(); null when size() == 1.
  sinter_barrier* barrier();

  /// Cores that this process may run on (its affinity mask), at least 1.
  static int available_cores();

  /// The team of the process, made by the first call with the size that it asks for; later calls
  /// get the same team whatever they ask for.
  static ThreadTeam& process_default(int threads);

 private:
  struct State;
  State& live_state();

  int threads_;
  std::atomic<State*> state_;
};

}  // namespace sinter
