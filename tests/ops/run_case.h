// Runs a function of a case, interpreted or compiled, on the same data.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "compiler/compile.h"
#include "ir/interpret.h"

namespace sinter::test {

template <class T>
std::vector<ir::Array<T>> converted(const std::vector<ir::Array<double>>& arrays) {
  std::vector<ir::Array<T>> out;
  for (const ir::Array<double>& a : arrays) {
    ir::Array<T> b(a.dtype, a.dims);
    for (size_t i = 0; i < a.f.size(); ++i) b.f[i] = T(static_cast<T>(a.f[i]));
    b.i = a.i;
    out.push_back(std::move(b));
  }
  return out;
}

template <class T>
std::vector<ir::Array<T>> interpreted(const ir::Module& module,
                                      const std::vector<ir::Array<double>>& args, int64_t n) {
  std::vector<ir::Array<T>> none;
  return ir::interpret<T>(module, module.funcs.front(), converted<T>(args), none, n);
}

// One function compiled once, called on any n; checks that nothing outside the results is written.
class CompiledCase {
 public:
  CompiledCase(const ir::Module& module, const compiler::Options& options);
  std::vector<ir::Array<double>> operator()(const std::vector<ir::Array<double>>& args, int64_t n);

 private:
  ir::Func func_;
  std::unique_ptr<compiler::Executable> executable_;
};

}  // namespace sinter::test
