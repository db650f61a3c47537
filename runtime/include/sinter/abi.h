#pragma once

/* What compiled code and its host agree on. C, so that code compiled ahead of time can include it.
 */

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opaque to compiled code; made by sinter::Barrier and by each sinter::ThreadTeam. */
typedef struct sinter_barrier sinter_barrier;

typedef struct sinter_call {
  void* const* buffers;    /* one pointer a slot, in the order the compiled function documents */
  int64_t n;               /* rows of this batch, 1 <= n <= B */
  unsigned char* arena;    /* 64-byte aligned; its size is known at compile time */
  sinter_barrier* barrier; /* NULL when threads == 1 */
  unsigned char* scratch;  /* 64-byte aligned; `scratch_bytes` for each thread, in order of tid */
  int64_t scratch_bytes;   /* a multiple of 64, known at compile time */
} sinter_call;

/* One thread's share of the work: 0 <= tid < threads; every tid is called with the same `call`.
   Returns 0 on success. Never throws. */
typedef int32_t (*sinter_function)(const sinter_call* call, int32_t tid, int32_t threads);

/* Returns once all participants have called it; what each wrote before is visible to all after. */
void sinter_barrier_wait(sinter_barrier* barrier, int32_t tid);

/* Shares work that is cut into `per_thread` chunks for each participant: the next chunk for thread
   `tid`, or -1 when there is none for it. Each chunk goes to one thread: those from
   tid * per_thread on are its own, others come when it is through with them. `previous` is what
   the last call for the same work returned, -1 in the first. All participants share the same works
   in the same order, at most sinter_open_works between two waits. */
enum { sinter_open_works = 8 };
int64_t sinter_next_chunk(sinter_barrier* barrier, int32_t tid, int32_t per_thread,
                          int64_t previous);

#ifdef __cplusplus
}
#endif
