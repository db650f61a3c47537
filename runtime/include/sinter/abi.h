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

/* Returns once all participants have called it; what each wrote before is visible to all after.
   NULL is the barrier of a thread alone. */
void sinter_barrier_wait(sinter_barrier* barrier, int32_t tid);

/* How a kernel's work, rows x panels of columns, is cut into chunks that threads may take over from
   each other. Each thread has a share of the panels or of the rows, cut into
   panel_chunks * row_chunks. */
typedef struct sinter_chunk_plan {
  int64_t rows_per_n, more_rows; /* rows: rows_per_n * n + more_rows */
  int64_t tile_rows;             /* rows are cut at multiples of it */
  int64_t panels;
  int64_t panel_chunks, row_chunks;
  int64_t by_rows;       /* threads share the rows, each goes through all panels; else the panels */
  int64_t panels_inside; /* the chunks of a share go through its panels for some rows, then for the
                            next; else through its rows for some panels */
} sinter_chunk_plan;

typedef struct sinter_chunk {
  int64_t panel_begin, panel_end, row_begin, row_end;
  int64_t kept; /* the body's own between the chunks of a thread in one run, -1 in the first */
} sinter_chunk;

/* Computes what thread `tid` of `threads` has to for n rows, or, of a kernel that is cut, a chunk.
   What it stores for other kernels goes to its places in the arena; scratch is the thread's own. */
typedef void (*sinter_kernel_body)(void* const* buffers, unsigned char* arena,
                                   unsigned char* scratch, int64_t n, int64_t tid, int64_t threads,
                                   sinter_chunk* chunk, const int64_t* places);

/* A kernel of a compiled step. */
typedef struct sinter_kernel {
  sinter_kernel_body body;
  const int64_t* places; /* slots of the buffer array and byte offsets in the arena, for a body that
                            several kernels share; else NULL */
  const sinter_chunk_plan* chunks; /* NULL: it is not cut */
} sinter_kernel;

/* What one thread of a call hands to all kernels: the fields of its sinter_call, scratch from its
   own on, and the arguments of its sinter_function. */
typedef struct sinter_thread {
  void* const* buffers;
  unsigned char *arena, *scratch;
  int64_t n, tid, threads;
  sinter_barrier* barrier;
} sinter_thread;

/* Runs what a thread gets of a kernel. If it is cut, those are the chunks of the thread's share,
   and of its partner's when it is through with them; every chunk goes to one thread. Without a
   barrier a thread's share is one chunk. All participants run the same kernels in the same order,
   at most sinter_open_runs of those that are cut between two waits. */
enum { sinter_open_runs = 8 };
void sinter_run_kernel(const sinter_kernel* kernel, const sinter_thread* thread);

#ifdef __cplusplus
}
#endif
