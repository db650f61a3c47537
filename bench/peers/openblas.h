// What programs over OpenBLAS share.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include <cblas.h>
#include <unistd.h>

namespace sinter::bench {

// OpenBLAS knows processors by model and runs one that is newer than itself without AVX. Then this
// starts the program again and names its kernels, which OpenBLAS reads before main() only.
inline void use_widest_kernels(char** argv) {
  if (std::string_view(openblas_get_corename()) != "Prescott") return;
  const char* core = __builtin_cpu_supports("avx512bw") ? "SkylakeX"
                     : __builtin_cpu_supports("avx2")   ? "Haswell"
                                                        : nullptr;
  // Where it is set already, the user asks for it, or starting again did not help.
  if (!core || std::getenv("OPENBLAS_CORETYPE")) return;
  setenv("OPENBLAS_CORETYPE", core, 1);
  execv("/proc/self/exe", argv);
}

// "0.3.21 SkylakeX"
inline std::string openblas_version() {
  // "OpenBLAS 0.3.21 ...": what it is, then how it was built.
  std::string version = openblas_get_config();
  version = version.substr(version.find(' ') + 1);
  return version.substr(0, version.find(' ')) + " " + openblas_get_corename();
}

}  // namespace sinter::bench
