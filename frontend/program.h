// A recorded function that is compiled and bound to its buffers: what is left of a call is to put
// in the pointers that change.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compiler/compile.h"
#include "frontend/recording.h"

namespace sinter::detail {

class Program {
 public:
  // Arguments that are inputs, and all results, stay unbound.
  Program(Recorded recorded, const compiler::Options& options);

  // Compiles again, for another largest batch.
  void recompile(const compiler::Options& options);

  void set_argument(size_t i, const void* data) { buffers_[i] = const_cast<void*>(data); }
  void set_result(size_t i, void* data) { buffers_[first_result_ + i] = data; }
  // Bytes from one step's buffer to the next, for run_steps; 0 at first.
  void set_argument_stride(size_t i, int64_t bytes) { strides_[i] = bytes; }
  void set_result_stride(size_t i, int64_t bytes) { strides_[first_result_ + i] = bytes; }

  void run(int64_t n) { executable_->run(buffers_.data(), n); }
  void run_steps(int64_t count, int64_t batch, int64_t last_rows) {
    executable_->run_steps(buffers_.data(), strides_, count, batch, last_rows);
  }

  const Recorded& recorded() const { return recorded_; }
  const compiler::Executable& executable() const { return *executable_; }

 private:
  Recorded recorded_;
  std::unique_ptr<compiler::Executable> executable_;
  std::vector<void*> buffers_;
  std::vector<int64_t> strides_;
  std::vector<Tensor> kept_;  // contiguous copies of captured views
  size_t first_result_ = 0;
};

}  // namespace sinter::detail
