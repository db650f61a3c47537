#include <sinter/dataset.h>
#include <sinter/error.h>

namespace sinter {

TensorDataset::TensorDataset(const Tensor& x, const Tensor& y, const std::source_location& at)
    : x_(x.contiguous()), y_(y.contiguous()) {
  const bool scalar = x.dim() == 0 || y.dim() == 0;
  if (!scalar && x.shape()[0] == y.shape()[0]) return;
  Error error = scalar ? Error("a TensorDataset needs rows, but one of its tensors is one number")
                       : Error("x and y have {} and {} rows", x.shape()[0], y.shape()[0]);
  throw error.at(SourceLoc::from(at))
      .note("x : {}", x.type_string())
      .note("y : {}", y.type_string())
      .help("give one row of y for each row of x");
}

}  // namespace sinter
