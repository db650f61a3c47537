// An epoch of a loader in few calls.
#include <cstring>

#include <sinter/data_loader.h>

#include "frontend/train/trainer_impl.h"

namespace sinter {

float Trainer::steps(DataLoader& loader, const std::source_location& at) {
  Impl& m = *impl_;
  const int64_t batch = loader.batch_size();
  const int64_t total = loader.batches() - loader.position().batch;
  int64_t done = 0, waiting = 0, last_rows = batch;
  const auto train = [&] {
    if (waiting == 0) return;
    m.run_steps(done, waiting, batch, last_rows);
    done += waiting;
    waiting = 0;
  };
  const auto finish = [&] {
    train();
    m.steps += done;
    m.bind_results(*m.train);
    return m.collect(done, batch, last_rows, done);
  };
  int64_t room = 0;
  try {
    for (const auto& [step, x, y] : loader) {
      m.prepare(x, y, batch, at);
      if (room == 0) {
        room = m.stage(batch, total);
        m.reserve_results(total);
      }
      last_rows = x.shape()[0];
      const int64_t row = waiting * batch;
      const auto copy = [&](const Tensor& from, Tensor& to, int64_t row_bytes) {
        std::memcpy(static_cast<char*>(to.raw()) + row * row_bytes, from.raw(),
                    static_cast<size_t>(last_rows * row_bytes));
      };
      copy(x, m.staged_x, m.x_input.row_bytes());
      copy(y, m.staged_y, m.y_input.row_bytes());
      if (++waiting == room) train();
    }
  } catch (...) {
    // What came before the batch that cannot be read has been trained with, as in a loop over it.
    if (room > 0) finish();
    throw;
  }
  return finish();
}

}  // namespace sinter
