// Sums over the batch in parts of rows, and threads that keep to rows of their own: what they
// compute, for any number of rows, parts and threads, and that they touch no other rows.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "compiler/compile.h"
#include "compiler/pipeline.h"
#include "ir/op.h"
#include "ir/text/text.h"
#include "runtime/float_mode.h"
#include "tests/unit/module_run.h"

namespace sinter::compiler {

namespace {

// A gradient of a weight and of a bias, each in parts: alone, and behind a product.
std::string part_sums(int64_t in, int64_t out, int64_t parts) {
  return fmt::format(R"(global @w : f32[{1}, {0}]
func @f(%x: f32[n, {0}], %dy: f32[n, {1}]) {{
  %dw = contraction %dy, %x {{a = [0], b = [0], parts = {2}}} : f32[{2}, {1}, {0}]
  %db = sum %dy {{axes = [0], parts = {2}}} : f32[{2}, {1}]
  %dx = contraction %dy, @w {{a = [1], b = [0]}} : f32[n, {0}]
  %zero = constant {{value = 0.0}} : f32[]
  %on = less %zero, %x : bool[n, {0}]
  %d = select %on, %dx, %zero : f32[n, {0}]
  %sum = sum %d {{axes = [0], parts = {2}}} : f32[{2}, {0}]
  return %dw, %db, %sum, %d
}}
)",
                     in, out, parts);
}

// A net of two layers, its gradients and their update, as `differentiate` leaves them.
std::string training_step(int64_t in, int64_t width, int64_t out) {
  return fmt::format(R"(global @w1 : f32[{1}, {0}]
global @b1 : f32[{1}]
global @w2 : f32[{1}, {1}]
global @w3 : f32[{2}, {1}]
func @f(%x: f32[n, {0}], %y: f32[n, {2}], %lr: f32[]) {{
  %z1 = linear %x, @w1, @b1 : f32[n, {1}]
  %h1 = relu %z1 : f32[n, {1}]
  %z2 = contraction %h1, @w2 {{a = [1], b = [1]}} : f32[n, {1}]
  %h2 = relu %z2 : f32[n, {1}]
  %z3 = contraction %h2, @w3 {{a = [1], b = [1]}} : f32[n, {2}]
  %loss = mse_loss %z3, %y : f32[]
  %g1 = gradient %loss, @w1 : f32[{1}, {0}]
  %gb = gradient %loss, @b1 : f32[{1}]
  %g2 = gradient %loss, @w2 : f32[{1}, {1}]
  %g3 = gradient %loss, @w3 : f32[{2}, {1}]
  %u1 = mul %lr, %g1 : f32[{1}, {0}]
  %v1 = sub @w1, %u1 : f32[{1}, {0}]
  assign @w1, %v1
  %ub = mul %lr, %gb : f32[{1}]
  %vb = sub @b1, %ub : f32[{1}]
  assign @b1, %vb
  %u2 = mul %lr, %g2 : f32[{1}, {1}]
  %v2 = sub @w2, %u2 : f32[{1}, {1}]
  assign @w2, %v2
  %u3 = mul %lr, %g3 : f32[{2}, {1}]
  %v3 = sub @w3, %u3 : f32[{2}, {1}]
  assign @w3, %v3
  return %loss
}}
)",
                     in, width, out);
}

int count(const ir::Func& func, ir::OpKind kind) {
  int out = 0;
  for (const ir::Op& op : func.body) out += op.kind == kind ? 1 : 0;
  return out;
}

ir::Module planned(const std::string& text, const Options& options) {
  ir::Module module = ir::parse(text);
  run_pipeline(module, options);
  return module;
}

// All floats of a function's buffers for n rows: arguments, globals, results.
class Floats {
 public:
  Floats(const ir::Module& module, int64_t n, const Inputs& in) {
    const ir::Func& func = module.funcs[0];
    for (const auto& a : in.args) add(a.f);
    for (const auto& a : in.globals) add(a.f);
    for (ir::ValueId v : func.results) {
      all_.emplace_back(static_cast<size_t>(func.type(v).numel(n)), nan());
    }
    for (std::vector<float>& buffer : all_) pointers_.push_back(buffer.data());
  }
  static float nan() { return std::numeric_limits<float>::quiet_NaN(); }
  void* const* pointers() const { return pointers_.data(); }
  std::vector<float>& operator[](size_t i) { return all_[i]; }

 private:
  void add(const std::vector<double>& values) { all_.emplace_back(values.begin(), values.end()); }
  std::vector<std::vector<float>> all_;
  std::vector<void*> pointers_;
};

}  // namespace

TEST_CASE("sums in parts, for any number of rows, parts and threads") {
  for (const std::string& cpu : processors()) {
    for (const auto& [in, out] : {std::pair{2, 3}, {10, 33}, {33, 10}, {64, 48}, {70, 20}}) {
      for (int64_t parts : {2, 3, 5}) {
        const ir::Module module = ir::parse(part_sums(in, out, parts));
        for (int threads : {1, 2, 3}) {
          const auto code =
              compile(module, "f",
                      {.max_batch = 40, .threads = threads, .oversubscribe = true, .cpu = cpu});
          for (int64_t n : {1, 2, 4, 5, 16, 31, 40}) {
            INFO(fmt::format("{} -> {}, {} parts, n = {}, {} threads, cpu {}", in, out, parts, n,
                             threads, cpu));
            const Inputs inputs = inputs_for(module, n, static_cast<uint64_t>(n));
            const Run want = interpret_as_recorded(module, inputs, n);
            CHECK(difference(run_compiled(*code, module.funcs[0], module.globals, inputs, n), want,
                             1e-5) == "");
          }
        }
      }
    }
  }
}

TEST_CASE("threads with rows of their own meet twice a step, and give the bits of one thread") {
  const std::string text = training_step(10, 64, 10);
  const ir::Module recorded = ir::parse(text);
  Options options{.max_batch = 128, .threads = 1, .oversubscribe = true};
  const ir::Module plan = planned(text, options);
  const ir::Func& func = plan.funcs[0];
  // Before the gradients meet, and none before the next step: no kernel follows that needs one.
  CHECK(count(func, ir::OpKind::barrier) == 1);
  int with_parts = 0;
  for (const ir::Op& op : func.body) {
    if (op.kind == ir::OpKind::kernel) with_parts += op.attrs.integer("parts") == 2 ? 1 : 0;
  }
  CHECK(with_parts >= 8);
  const auto alone = compile(recorded, "f", options);
  for (int threads : {2, 3, 4}) {
    options.threads = threads;
    const auto shared = compile(recorded, "f", options);
    for (int64_t n : {1, 2, 63, 64, 65, 100, 127, 128}) {
      INFO(threads << " threads, n = " << n);
      const Inputs inputs = inputs_for(recorded, n, static_cast<uint64_t>(n));
      const Run one = run_compiled(*alone, recorded.funcs[0], recorded.globals, inputs, n);
      const Run several = run_compiled(*shared, recorded.funcs[0], recorded.globals, inputs, n);
      CHECK(difference(several, one, 0) == "");
      CHECK(difference(one, interpret_as_recorded(recorded, inputs, n), 1e-4) == "");
    }
  }
}

TEST_CASE("a narrow step, a wide one and a small batch share no rows") {
  const Options small{.max_batch = 100, .threads = 1}, batch{.max_batch = 128, .threads = 1};
  const auto parts = [](const std::string& text, const Options& options) {
    return ir::print(planned(text, options)).find("parts = 2") != std::string::npos;
  };
  CHECK(parts(training_step(10, 64, 10), batch));
  CHECK_FALSE(parts(training_step(10, 64, 10), small));    // no part has rows enough
  CHECK_FALSE(parts(training_step(10, 16, 10), batch));    // too little work for two
  CHECK_FALSE(parts(training_step(512, 512, 10), batch));  // the weights outweigh the rows
}

// One thread of two runs its kernels while the rows of the other are not numbers.
TEST_CASE("a thread reads and writes the rows of its parts only") {
  constexpr int64_t n = 101, in = 64, out = 96;
  const ir::Module recorded = ir::parse(part_sums(in, out, 2));
  Options options{.max_batch = 128, .threads = 2, .oversubscribe = true};
  const ir::Module plan = planned(part_sums(in, out, 2), options);
  const auto code = make_native(plan, "f", options);
  const Inputs inputs = inputs_for(recorded, n, 1);
  Floats whole(plan, n, inputs);
  code->run(whole.pointers(), n);

  const int64_t half = n / 2;
  const DenormalsAreZero mode;
  for (const int64_t tid : {0, 1}) {
    INFO("thread " << tid);
    Floats own(plan, n, inputs);
    const auto is_own = [&](int64_t row) { return (row >= half) == (tid == 1); };
    const auto hide = [&](std::vector<float>& rows, int64_t width) {
      for (int64_t i = 0; i < n * width; ++i) {
        if (!is_own(i / width)) rows[static_cast<size_t>(i)] = Floats::nan();
      }
    };
    hide(own[0], in);
    hide(own[1], out);
    std::vector<float> arena(static_cast<size_t>(plan.funcs[0].arena_bytes) / 4 + 1024);
    for (const CompiledKernel& kernel : code->kernels()) {
      std::vector<std::byte> scratch(static_cast<size_t>(kernel.scratch_bytes) + 64);
      auto* at = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) /
                                              64 * 64);
      const sinter_thread thread{own.pointers(),
                                 reinterpret_cast<unsigned char*>(arena.data()),
                                 reinterpret_cast<unsigned char*>(at),
                                 n,
                                 tid,
                                 2,
                                 nullptr};
      sinter_run_kernel(kernel.code, &thread);
    }
    // Arguments 0 and 1, @w, then %dw, %db, %sum, %d.
    for (const auto& [buffer, rows, width] :
         {std::tuple{3, 2, in * out}, {4, 2, out}, {5, 2, in}, {6, static_cast<int>(n), in}}) {
      int wrong = 0;
      for (int64_t i = 0; i < rows * width; ++i) {
        const float got = own[static_cast<size_t>(buffer)][static_cast<size_t>(i)];
        const float want = whole[static_cast<size_t>(buffer)][static_cast<size_t>(i)];
        const int64_t row = i / width;
        const bool mine = rows == 2 ? row == tid : is_own(row);
        wrong += mine ? std::memcmp(&got, &want, 4) != 0 : !std::isnan(got);
      }
      INFO("buffer " << buffer);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("what cannot be summed in parts is refused with a reason") {
  const auto message = [](const char* op) {
    try {
      ir::parse(fmt::format(
          "func @f(%x: f32[n, 4], %y: f32[n, 1], %z: f32[8, 4]) {{\n  {}\n  return %r\n}}\n", op));
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("nothing");
  };
  using Catch::Contains;
  CHECK_THAT(message("%r = sum %x {axes = [1], parts = 2} : f32[2, n]"),
             Contains("cannot be summed in parts over axes [1]"));
  CHECK_THAT(message("%r = sum %y {axes = [0], parts = 2} : f32[2, 1]"), Contains("f32[n, 1]"));
  CHECK_THAT(message("%r = sum %z {axes = [0], parts = 2} : f32[2, 4]"), Contains("f32[8, 4]"));
  CHECK_THAT(message("%r = sum %x {axes = [0], parts = 0} : f32[4]"), Contains("0 parts"));
  CHECK_THAT(message("%r = contraction %x, %y {a = [0], b = [0], parts = 2} : f32[2, 4, 1]"),
             Contains("f32[n, 1]"));
}

}  // namespace sinter::compiler
