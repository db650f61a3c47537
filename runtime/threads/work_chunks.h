// How threads share the chunks of a kernel's work. Each has as many of its own, which it takes in
// order; who is through with his takes some of his partner's, so that a core that is slower for a
// while, or always, does not hold up the other. Partners are the first thread and the last, the
// second and the last but one, and so on: no counter is wanted by more than two.
//
// Invariants:
// - All threads go through the same kernels in the same order, so their counts of runs name a
//   kernel; the first who touches a counter in a run starts it.
// - Counters of a run that some thread has not finished are not started anew: sinter_open_runs
//   runs may pass between two barriers.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include <sinter/abi.h>

namespace sinter::detail {

class WorkChunks {
 public:
  explicit WorkChunks(int participants) : threads_(static_cast<size_t>(participants)) {}

  /// The next of the chunks that a run cuts each thread's share into, `per_thread` of them, for
  /// thread `tid`: first those from tid * per_thread on, which are its own; or -1. `previous` is
  /// what the last call of the run returned, -1 in the first.
  int64_t next(int32_t tid, int32_t per_thread, int64_t previous) {
    Thread& own = threads_[static_cast<size_t>(tid)];
    if (previous < 0) ++own.run;
    if (previous < 0 || previous / per_thread == tid) {
      const int64_t taken = take(tid, own.run, per_thread);
      if (taken >= 0) return int64_t{tid} * per_thread + taken;
    }
    const int32_t partner = static_cast<int32_t>(threads_.size()) - 1 - tid;
    if (partner == tid) return -1;
    // His last chunk he will begin before this thread has fetched what it needs for it.
    const int64_t taken = take(partner, own.run, per_thread - 1);
    return taken < 0 ? -1 : int64_t{partner} * per_thread + taken;
  }

 private:
  struct alignas(64) Counter {
    std::atomic<uint64_t> state = 0;  // the run in the upper half, chunks taken in the lower
  };
  struct Thread {
    alignas(64) uint32_t run = 0;  // read and written by the thread alone
    std::array<Counter, sinter_open_runs> counters;
  };

  /// Exclusive is all that a chunk has to be: barriers order what is computed.
  int64_t take(int32_t tid, uint32_t run, int64_t limit) {
    Thread& owner = threads_[static_cast<size_t>(tid)];
    std::atomic<uint64_t>& state = owner.counters[run % sinter_open_runs].state;
    uint64_t now = state.load(std::memory_order_relaxed);
    for (;;) {
      const uint64_t taken = now >> 32 == run ? now & UINT32_MAX : 0;
      if (static_cast<int64_t>(taken) >= limit) return -1;
      if (state.compare_exchange_weak(now, uint64_t{run} << 32 | (taken + 1),
                                      std::memory_order_relaxed))
        return static_cast<int64_t>(taken);
    }
  }

  std::vector<Thread> threads_;
};

/// Those of a barrier's participants.
WorkChunks& chunks_of(sinter_barrier* barrier);

}  // namespace sinter::detail
