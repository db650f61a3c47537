// A dissemination barrier (Hensgen, Finkel, Manber, 1988): in round r, thread t signals thread
// t + 2^r and waits for thread t - 2^r; after ceil(log2 P) rounds all know of all. For two threads
// that is one store and one wait. Signals are counters that only grow, so nothing is ever reset,
// and a partner that is already one barrier ahead does no harm.

#include <array>
#include <vector>

#include <sinter/error.h>
#include <sinter/thread_team.h>

#include "runtime/threads/spin.h"
#include "runtime/threads/work_chunks.h"

namespace {

constexpr int max_participants = 4096;
constexpr int max_rounds = 12;

struct Slot {
  // Written by the partners, one for each round; read by the owner.
  alignas(64) std::array<std::atomic<uint32_t>, max_rounds> arrived = {};
  // The owner's alone, in a line of its own.
  alignas(64) uint32_t epoch = 0;
};

}  // namespace

struct sinter_barrier {
  explicit sinter_barrier(int count)
      : participants(count), slots(static_cast<size_t>(count)), chunks(count) {
    while ((1 << rounds) < participants) ++rounds;
    spins = participants <= sinter::ThreadTeam::available_cores() ? sinter::detail::spins_alone
                                                                  : sinter::detail::spins_shared;
  }

  int participants;
  int rounds = 0;
  int spins = 0;
  std::vector<Slot> slots;
  sinter::detail::WorkChunks chunks;
};

extern "C" void sinter_barrier_wait(sinter_barrier* barrier, int32_t tid) {
  if (!barrier) return;
  Slot& own = barrier->slots[static_cast<size_t>(tid)];
  const uint32_t epoch = ++own.epoch;
  for (int round = 0; round < barrier->rounds; ++round) {
    const auto slot = static_cast<size_t>(round);
    int partner = tid + (1 << round);
    if (partner >= barrier->participants) partner -= barrier->participants;
    barrier->slots[static_cast<size_t>(partner)].arrived[slot].store(epoch,
                                                                     std::memory_order_release);
    sinter::detail::spin_until(barrier->spins, [&] {
      // The difference is right across the wrap of the counter.
      return static_cast<int32_t>(own.arrived[slot].load(std::memory_order_acquire) - epoch) >= 0;
    });
  }
}

sinter::detail::WorkChunks& sinter::detail::chunks_of(sinter_barrier* barrier) {
  return barrier->chunks;
}

namespace sinter {

Barrier::Barrier(int participants) {
  if (participants < 1 || participants > max_participants)
    throw Error("a barrier cannot have {} participants", participants)
        .help("use 1 to {}", max_participants);
  handle_.reset(new sinter_barrier(participants));
}

Barrier::~Barrier() = default;

void Barrier::Free::operator()(sinter_barrier* barrier) const { delete barrier; }

}  // namespace sinter
