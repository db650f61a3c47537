#include "tests/unit/module_run.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include <fmt/format.h>

#include <sinter/tensor.h>
#include <sinter/thread_team.h>

#include "compiler/pipeline.h"
#include "ir/interpret.h"
#include "runtime/float_mode.h"

namespace sinter::compiler {

using namespace ir;

namespace {

Array<double> random_array(const Type& type, int64_t n, std::mt19937_64& random) {
  Array<double> out(type.dtype, type.dims(n));
  // Multiples of 1/64 are the same in f32 and f64.
  for (double& v : out.f) v = static_cast<double>(random() % 129) / 64 - 1;
  for (int64_t& v : out.i) v = static_cast<int64_t>(random() % 3);
  return out;
}

double scale_of(const Array<double>& a) {
  double out = 1;
  for (double v : a.f) out = std::max(out, std::abs(v));
  return out;
}

// The first difference, in words; empty if there is none.
std::string difference(const Values& got, const Values& want, double tolerance) {
  if (got.size() != want.size()) return "another number of values";
  for (size_t k = 0; k < got.size(); ++k) {
    if (got[k].dims != want[k].dims || got[k].i != want[k].i) return fmt::format("value {}", k);
    const double limit = tolerance * scale_of(want[k]);
    for (size_t i = 0; i < got[k].f.size(); ++i) {
      const double a = got[k].f[i], b = want[k].f[i];
      if (!(std::abs(a - b) <= limit) && !(std::isnan(a) && std::isnan(b))) {
        return fmt::format("value {}, element {}: {} instead of {}", k, i, a, b);
      }
    }
  }
  return {};
}

template <class T, class U>
std::vector<unsigned char> bytes_of(const std::vector<U>& values) {
  const std::vector<T> narrow(values.begin(), values.end());
  std::vector<unsigned char> out(narrow.size() * sizeof(T));
  if (!out.empty()) std::memcpy(out.data(), narrow.data(), out.size());
  return out;
}
template <class T, class U>
void read_back(const std::vector<unsigned char>& bytes, std::vector<U>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    T v;
    std::memcpy(&v, &bytes[i * sizeof(T)], sizeof(T));
    values[i] = static_cast<U>(v);
  }
}

std::vector<unsigned char> memory_of(const Array<double>& a) {
  switch (a.dtype) {
    case DType::f32:
      return bytes_of<float>(a.f);
    case DType::f64:
      return bytes_of<double>(a.f);
    case DType::i32:
      return bytes_of<int32_t>(a.i);
    case DType::i64:
      return bytes_of<int64_t>(a.i);
    case DType::boolean:
      break;
  }
  std::vector<unsigned char> out(a.i.begin(), a.i.end());
  return out;
}

Array<double> array_of(const Type& type, int64_t n, const std::vector<unsigned char>& bytes) {
  Array<double> out(type.dtype, type.dims(n));
  switch (type.dtype) {
    case DType::f32:
      read_back<float>(bytes, out.f);
      break;
    case DType::f64:
      read_back<double>(bytes, out.f);
      break;
    case DType::i32:
      read_back<int32_t>(bytes, out.i);
      break;
    case DType::i64:
      read_back<int64_t>(bytes, out.i);
      break;
    case DType::boolean:
      read_back<uint8_t>(bytes, out.i);
      break;
  }
  return out;
}

}  // namespace

Inputs inputs_for(const Module& module, int64_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  Inputs out;
  const Func& f = module.funcs[0];
  for (ValueId v : f.args) out.args.push_back(random_array(f.type(v), n, random));
  for (const Global& g : module.globals) out.globals.push_back(random_array(g.type, n, random));
  return out;
}

std::string difference(const Run& got, const Run& want, double tolerance) {
  std::string out = difference(got.results, want.results, tolerance);
  if (!out.empty()) return "results: " + out;
  out = difference(got.globals, want.globals, tolerance);
  return out.empty() ? out : "globals: " + out;
}

namespace {

// What `run` makes of buffers with these inputs.
template <class OnBuffers>
Run run_on_buffers(const Func& func, const std::vector<Global>& globals, const Inputs& in,
                   int64_t n, OnBuffers&& run) {
  std::vector<std::vector<unsigned char>> memory;
  for (const Array<double>& a : in.args) memory.push_back(memory_of(a));
  for (const Array<double>& a : in.globals) memory.push_back(memory_of(a));
  for (ValueId v : func.results) {
    memory.emplace_back(static_cast<size_t>(func.type(v).bytes(n)), 0xFF);
  }
  std::vector<void*> buffers;
  for (auto& m : memory) buffers.push_back(m.data());
  run(buffers.data());
  Run out;
  for (size_t i = 0; i < globals.size(); ++i) {
    out.globals.push_back(array_of(globals[i].type, n, memory[func.args.size() + i]));
  }
  for (size_t i = 0; i < func.results.size(); ++i) {
    out.results.push_back(
        array_of(func.type(func.results[i]), n, memory[func.args.size() + globals.size() + i]));
  }
  return out;
}

unsigned char* bytes_of(Tensor& tensor) { return static_cast<unsigned char*>(tensor.raw()); }

}  // namespace

Run run_compiled(Executable& executable, const Func& func, const std::vector<Global>& globals,
                 const Inputs& in, int64_t n) {
  return run_on_buffers(func, globals, in, n,
                        [&](void* const* buffers) { executable.run(buffers, n); });
}

Run run_one_after_the_other(const Executable& executable, const Func& func,
                            const std::vector<Global>& globals, const Inputs& in, int64_t n,
                            int threads) {
  const Func& planned = *executable.module().find(func.name);
  const std::vector<CompiledKernel> kernels = executable.kernels();
  Tensor arena = zeros({planned.arena_bytes / 8 + 1}, DType::f64);
  const Barrier barrier(threads);
  const DenormalsAreZero mode;
  return run_on_buffers(func, globals, in, n, [&](void* const* buffers) {
    size_t next = 0;
    for (const Op& op : planned.body) {
      if (op.kind != OpKind::kernel) continue;
      const CompiledKernel& kernel = kernels.at(next++);
      Tensor scratch = zeros({kernel.scratch_bytes / 8 + 1}, DType::f64);
      for (int tid = 0; tid < (op.attrs.flag("parallel") ? threads : 1); ++tid) {
        const sinter_thread thread{buffers, bytes_of(arena), bytes_of(scratch), n,
                                   tid,     threads,         barrier.handle()};
        sinter_run_kernel(kernel.code, &thread);
      }
    }
  });
}

Run interpret_as_recorded(Module module, const Inputs& in, int64_t n) {
  const Pass* differentiate = find_pass("differentiate");
  const Pass* list[] = {differentiate};
  run_passes(module, list, {});
  Run out{{}, in.globals};
  out.results = interpret<double>(module, module.funcs[0], in.args, out.globals, n);
  return out;
}

std::string difference_on_threads(const Module& module, int64_t max_batch, int64_t n,
                                  std::initializer_list<int> threads) {
  const Inputs inputs = inputs_for(module, n, static_cast<uint64_t>(n));
  const Run want = interpret_as_recorded(module, inputs, n);
  for (const std::string& cpu : processors()) {
    const auto run = [&](int count) {
      const auto code =
          compile(module, module.funcs[0].name,
                  {.max_batch = max_batch, .threads = count, .oversubscribe = true, .cpu = cpu});
      return run_compiled(*code, module.funcs[0], module.globals, inputs, n);
    };
    const auto at = [&](int count, const std::string& what) {
      return fmt::format("n = {}, {} threads, cpu \"{}\": {}", n, count, cpu, what);
    };
    const Run one = run(1);
    std::string out = difference(one, want, 1e-5);
    if (!out.empty()) return at(1, out);
    for (int count : threads) {
      out = difference(run(count), one, 0);
      if (!out.empty()) return at(count, out);
    }
  }
  return "";
}

std::vector<std::string> processors() {
  std::vector<std::string> out{""};
#if defined(__x86_64__)
  out.emplace_back("x86-64-v2");
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    out.emplace_back("x86-64-v3");
  }
  if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq")) {
    out.emplace_back("x86-64-v4");
  }
#endif
  return out;
}

}  // namespace sinter::compiler
