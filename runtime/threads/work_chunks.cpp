#include "runtime/threads/work_chunks.h"

#include <algorithm>
#include <utility>

namespace {

struct Range {
  int64_t begin, end;

  /// Parts `first` to `last` - 1 of `of` about equal ones.
  Range parts(int64_t first, int64_t last, int64_t of) const {
    const int64_t size = end - begin;
    return {begin + size * first / of, begin + size * last / of};
  }
};

/// The chunk of this number, or, if `whole`, all chunks of the share that it belongs to.
sinter_chunk locate(const sinter_chunk_plan& plan, int64_t number, bool whole, int64_t n,
                    int64_t threads) {
  const int64_t chunks = plan.panel_chunks * plan.row_chunks;
  const int64_t share = number / chunks, in_share = number % chunks;
  const int64_t inner = plan.panels_inside ? plan.panel_chunks : plan.row_chunks;
  int64_t panel_part = in_share / inner, row_part = in_share % inner;
  if (plan.panels_inside) std::swap(panel_part, row_part);
  const auto cut = [&](int64_t units, bool shared, int64_t part, int64_t parts) {
    Range range{0, units};
    if (shared) range = range.parts(share, share + 1, threads);
    return whole ? range : range.parts(part, part + 1, parts);
  };
  const int64_t rows = plan.rows_per_n * n + plan.more_rows;
  const int64_t tiles = (rows + plan.tile_rows - 1) / plan.tile_rows;
  const Range panel = cut(plan.panels, !plan.by_rows, panel_part, plan.panel_chunks);
  const Range tile = cut(tiles, plan.by_rows, row_part, plan.row_chunks);
  return {panel.begin, panel.end, std::min(tile.begin * plan.tile_rows, rows),
          std::min(tile.end * plan.tile_rows, rows), -1};
}

}  // namespace

extern "C" void sinter_run_kernel(const sinter_kernel* kernel, const sinter_thread* thread) {
  const sinter_thread& t = *thread;
  const auto run_body = [&](sinter_chunk* chunk) {
    kernel->body(t.buffers, t.arena, t.scratch, t.n, t.tid, t.threads, chunk, kernel->places);
  };
  const sinter_chunk_plan* const plan = kernel->chunks;
  if (!plan) return run_body(nullptr);
  const auto chunks = static_cast<int32_t>(plan->panel_chunks * plan->row_chunks);
  int64_t kept = -1;
  const auto run = [&](int64_t number, bool whole) {
    sinter_chunk chunk = locate(*plan, number, whole, t.n, t.threads);
    chunk.kept = kept;
    run_body(&chunk);
    kept = chunk.kept;
  };
  if (!t.barrier) return run(t.tid * chunks, true);
  sinter::detail::WorkChunks& shared = sinter::detail::chunks_of(t.barrier);
  const auto own = static_cast<int32_t>(t.tid);
  for (int64_t number = -1; (number = shared.next(own, chunks, number)) >= 0;) run(number, false);
}
