// Invariants of the team:
// - `generation` counts runs. The caller writes the job, then the generation; a worker that sees a
//   new generation may read the job. A worker writes that generation into its `done` when it has
//   finished, and the caller writes no new job before all have.
// - A worker announces itself in `sleepers` before it looks at `generation` for the last time, and
//   the caller looks at `sleepers` after it wrote `generation`; both are sequentially consistent,
//   so one of them sees the other and no wake-up is lost.
// - After fork() the child has no workers. A page that the kernel wipes on fork tells so without a
//   system call; the child leaks the old state, which belongs to threads that do not exist there.

#include <algorithm>
#include <chrono>
#include <climits>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sinter/error.h>
#include <sinter/thread_team.h>

#include "runtime/threads/signals_blocked.h"
#include "runtime/threads/spin.h"

namespace sinter {

namespace {

constexpr int max_threads = 4096;
constexpr auto spin_time = std::chrono::microseconds(100);

std::vector<int> allowed_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0)
    for (int core = 0; core < CPU_SETSIZE; ++core)
      if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

/// Sleeps while `word` is `value`; may also wake without a reason.
void futex_wait(std::atomic<uint32_t>& word, uint32_t value) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void futex_wake_all(std::atomic<uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

/// True until a fork, false in the child.
class ForkMark {
 public:
  ForkMark() : owner_(::getpid()) {
    void* page =
        ::mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
      throw Error("out of memory: a thread team needs a page").help("free some memory");
    ::madvise(page, page_bytes, MADV_WIPEONFORK);
    word_ = static_cast<uint32_t*>(page);
    *word_ = 1;
  }
  ~ForkMark() { ::munmap(word_, page_bytes); }
  ForkMark(const ForkMark&) = delete;
  ForkMark& operator=(const ForkMark&) = delete;

  bool intact() const { return *word_ != 0; }
  /// The same on kernels without MADV_WIPEONFORK (before 4.14), with a system call.
  bool surely_intact() const { return intact() && ::getpid() == owner_; }

 private:
  static constexpr size_t page_bytes = 4096;
  pid_t owner_;
  uint32_t* word_ = nullptr;
};

void invoke(ThreadTeam::Body body, void* context, int tid, int threads) noexcept {
  body(context, tid, threads);
}

}  // namespace

struct ThreadTeam::State {
  explicit State(int count) : threads(count), done(static_cast<size_t>(count)), barrier(count) {
    const std::vector<int> cores = allowed_cores();
    alone = count <= static_cast<int>(cores.size());
    const detail::SignalsBlocked blocked;
    try {
      workers.reserve(static_cast<size_t>(count - 1));
      for (int tid = 1; tid < count; ++tid) workers.emplace_back([this, tid] { work(tid); });
    } catch (const std::system_error& error) {
      const size_t made = workers.size();
      stop();
      throw Error("cannot make {} threads", count)
          .note("the system refused worker {}: {}", made + 1, error.what())
          .help("ask for fewer threads with SINTER_THREADS");
    }
    if (alone) pin(cores);
  }

  ~State() { stop(); }

  void stop() {
    if (workers.empty()) return;
    publish(nullptr, nullptr);
    for (std::thread& worker : workers) worker.join();
    workers.clear();
  }

  /// The caller's own core stays free of workers.
  void pin(const std::vector<int>& cores) {
    const int caller = ::sched_getcpu();
    size_t next = 0;
    for (std::thread& worker : workers) {
      if (cores[next] == caller) ++next;
      if (next >= cores.size()) break;
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(cores[next++], &set);
      // Only speed depends on it, so a refusal is no error.
      ::pthread_setaffinity_np(worker.native_handle(), sizeof set, &set);
    }
  }

  void publish(Body new_body, void* new_context) {
    body = new_body;
    context = new_context;
    generation.store(generation.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0) futex_wake_all(generation);
  }

  void work(int tid) {
    ::pthread_setname_np(::pthread_self(), fmt::format("sinter-{}", tid).c_str());
    for (uint32_t seen = 0;;) {
      seen = next_generation(seen);
      if (body == nullptr) return;
      invoke(body, context, tid, threads);
      done[static_cast<size_t>(tid)].generation.store(seen, std::memory_order_release);
    }
  }

  uint32_t next_generation(uint32_t seen) {
    using Clock = std::chrono::steady_clock;
    Clock::time_point start;
    for (int i = 0;; ++i) {
      const uint32_t now = generation.load(std::memory_order_acquire);
      if (now != seen) return now;
      detail::pause();
      // The clock is looked at now and then, and where cores are shared there is no long spin.
      if (i % 64 != 63) continue;
      if (!alone) break;
      if (i == 63) start = Clock::now();
      if (Clock::now() - start > spin_time) break;
    }
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    uint32_t now = seen;
    while ((now = generation.load(std::memory_order_seq_cst)) == seen) futex_wait(generation, seen);
    sleepers.fetch_sub(1, std::memory_order_relaxed);
    return now;
  }

  struct alignas(64) Done {
    std::atomic<uint32_t> generation = 0;
  };

  // One line goes from the caller to the workers: the generation and the job.
  alignas(64) std::atomic<uint32_t> generation = 0;
  Body body = nullptr;
  void* context = nullptr;

  alignas(64) std::atomic<int> sleepers = 0;
  int threads;
  bool alone = true;
  std::vector<Done> done;
  Barrier barrier;
  ForkMark mark;
  std::mutex running;
  std::vector<std::thread> workers;
};

ThreadTeam::ThreadTeam(int threads) : threads_(threads), state_(nullptr) {
  if (threads < 1 || threads > max_threads)
    throw Error("a thread team cannot have {} threads", threads).help("use 1 to {}", max_threads);
  state_.store(new State(threads));
}

ThreadTeam::~ThreadTeam() {
  State* state = state_.load();
  if (state->mark.surely_intact()) delete state;
}

ThreadTeam::State& ThreadTeam::live_state() {
  State* state = state_.load(std::memory_order_acquire);
  if (state->mark.intact()) [[likely]]
    return *state;
  auto* fresh = new State(threads_);
  if (state_.compare_exchange_strong(state, fresh)) return *fresh;
  // Another thread of the child was faster.
  delete fresh;
  return *state;
}

void ThreadTeam::run(Body body, void* context) {
  SINTER_CHECK(body != nullptr);
  State& state = live_state();
  const std::lock_guard lock(state.running);
  if (threads_ == 1) return invoke(body, context, 0, 1);
  state.publish(body, context);
  const uint32_t now = state.generation.load(std::memory_order_relaxed);
  invoke(body, context, 0, threads_);
  const int spins = state.alone ? detail::spins_alone : detail::spins_shared;
  for (size_t tid = 1; tid < state.done.size(); ++tid)
    detail::spin_until(
        spins, [&] { return state.done[tid].generation.load(std::memory_order_acquire) == now; });
}

sinter_barrier* ThreadTeam::barrier() {
  return threads_ == 1 ? nullptr : live_state().barrier.handle();
}

int ThreadTeam::available_cores() { return std::max(1, static_cast<int>(allowed_cores().size())); }

ThreadTeam& ThreadTeam::process_default(int threads) {
  static ThreadTeam team(threads);
  return team;
}

}  // namespace sinter
