// Products in chunks that one thread takes over from another: which chunks each gets, and that who
// computes them changes no bit.
#include "runtime/threads/work_chunks.h"

#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <sinter/abi.h>
#include <sinter/thread_team.h>

#include "compiler/compile.h"
#include "ir/text/text.h"
#include "tests/unit/module_run.h"

namespace sinter::compiler {

namespace {

// All that a thread gets of one work from now on.
std::vector<int64_t> take_all(const Barrier& barrier, int tid, int per_thread) {
  std::vector<int64_t> out;
  for (int64_t chunk = -1;;) {
    chunk = detail::chunks_of(barrier.handle()).next(tid, per_thread, chunk);
    if (chunk < 0) return out;
    out.push_back(chunk);
  }
}

using Chunks = std::vector<int64_t>;

// A layer and the gradients of its weight and of its inputs.
std::string layer(int64_t in, int64_t out) {
  return fmt::format(R"(global @w : f32[{1}, {0}]
global @b : f32[{1}]
func @f(%x: f32[n, {0}], %y: f32[n, {1}], %lr: f32[]) {{
  %c = contraction %x, @w {{a = [1], b = [1]}} : f32[n, {1}]
  %z = add %c, @b : f32[n, {1}]
  %h = relu %z : f32[n, {1}]
  %loss = mse_loss %h, %y : f32[]
  %gx = gradient %loss, %x : f32[n, {0}]
  %gw = gradient %loss, @w : f32[{1}, {0}]
  %gb = gradient %loss, @b : f32[{1}]
  %u = mul %lr, %gw : f32[{1}, {0}]
  %v = sub @w, %u : f32[{1}, {0}]
  assign @w, %v
  return %loss, %gx, %gb
}}
)",
                     in, out);
}

int count(const std::string& text, const std::string& what) {
  int out = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++out;
  return out;
}

}  // namespace

TEST_CASE("a thread takes its own chunks first, then its partner's, but leaves him his last",
          "[threads]") {
  const Barrier barrier(2);
  CHECK(take_all(barrier, 0, 4) == Chunks{0, 1, 2, 3, 4, 5, 6});
  CHECK(take_all(barrier, 1, 4) == Chunks{7});
  // The next work, in the other order and of another size.
  CHECK(take_all(barrier, 1, 3) == Chunks{3, 4, 5, 0, 1});
  CHECK(take_all(barrier, 0, 3) == Chunks{2});
}

TEST_CASE("partners are the first thread and the last, and the middle one has none", "[threads]") {
  const Barrier barrier(5);
  CHECK(take_all(barrier, 1, 2) == Chunks{2, 3, 6});
  CHECK(take_all(barrier, 2, 2) == Chunks{4, 5});
  CHECK(take_all(barrier, 4, 2) == Chunks{8, 9, 0});
  CHECK(take_all(barrier, 3, 2) == Chunks{7});
  CHECK(take_all(barrier, 0, 2) == Chunks{1});
}

TEST_CASE("a thread may be as many works behind as may be open", "[threads]") {
  const Barrier barrier(2);
  for (int work = 0; work < sinter_open_runs; ++work) take_all(barrier, 0, 4);
  for (int work = 0; work < sinter_open_runs; ++work) {
    CHECK(take_all(barrier, 1, 4) == Chunks{7});
  }
}

TEST_CASE("every chunk goes to one thread, whoever is quicker", "[threads]") {
  for (int threads : {2, 3, 4}) {
    ThreadTeam team(threads);
    struct Context {
      ThreadTeam& team;
      std::vector<std::vector<int64_t>> taken;
    } context{team, std::vector<std::vector<int64_t>>(static_cast<size_t>(threads))};
    constexpr int works = 300, per_thread = 5;
    team.run(
        [](void* opaque, int tid, int) {
          auto& c = *static_cast<Context*>(opaque);
          for (int work = 0; work < works; ++work) {
            for (int64_t chunk = -1;;) {
              chunk = detail::chunks_of(c.team.barrier()).next(tid, per_thread, chunk);
              if (chunk < 0) break;
              c.taken[static_cast<size_t>(tid)].push_back(work * 1000 + chunk);
              if ((work + tid) % 7 == 0) std::this_thread::yield();
            }
            if (work % sinter_open_runs == 0) sinter_barrier_wait(c.team.barrier(), tid);
          }
        },
        &context);
    std::set<int64_t> all;
    size_t total = 0;
    for (const auto& taken : context.taken) {
      all.insert(taken.begin(), taken.end());
      total += taken.size();
    }
    CHECK(total == all.size());
    CHECK(all.size() == static_cast<size_t>(works * per_thread * threads));
  }
}

TEST_CASE("chunks of another thread's share are those that it would have computed") {
  // Few panels, whose rows are cut; columns that fill no panel; a depth in blocks; rows in groups;
  // panels in groups.
  for (const auto& [in, out, max_batch] : {std::tuple{256, 256, 128},
                                           {200, 330, 90},
                                           {2304, 300, 80},
                                           {260, 530, 600},
                                           {1301, 810, 69}}) {
    const ir::Module module = ir::parse(layer(in, out));
    const ir::Func& func = module.funcs[0];
    for (const std::string& cpu : processors()) {
      const auto code = compile(module, "f", {.max_batch = max_batch, .threads = 1, .cpu = cpu});
      INFO(fmt::format("{} -> {}, cpu \"{}\"", in, out, cpu));
      int64_t cut = 0;
      for (const CompiledKernel& kernel : code->kernels()) cut += kernel.code->chunks != nullptr;
      CHECK(cut == 3);
      for (int64_t n : {int64_t{1}, int64_t{max_batch} / 2 + 3, int64_t{max_batch}}) {
        const Inputs inputs = inputs_for(module, n, 1);
        const Run one = run_compiled(*code, func, module.globals, inputs, n);
        for (int threads : {2, 3}) {
          INFO(fmt::format("n = {}, {} threads", n, threads));
          CHECK(difference(run_one_after_the_other(*code, func, module.globals, inputs, n, threads),
                           one, 0) == "");
        }
      }
    }
  }
}

TEST_CASE("threads that take chunks from each other have the bits of one") {
  const ir::Module module = ir::parse(layer(256, 192));
  for (int64_t n : {50, 128}) CHECK(difference_on_threads(module, 128, n, {2, 3, 6}) == "");
}

TEST_CASE("threads wait for each other before too many works are open") {
  std::string globals, body, results;
  constexpr int products = sinter_open_runs + 2;
  for (int i = 0; i < products; ++i) {
    globals += fmt::format("global @w{} : f32[128, 128]\n", i);
    body += fmt::format("  %y{0} = contraction %x, @w{0} {{a = [1], b = [1]}} : f32[n, 128]\n", i);
    results += fmt::format("{}%y{}", i > 0 ? ", " : "", i);
  }
  const ir::Module module = ir::parse(
      fmt::format("{}func @f(%x: f32[n, 128]) {{\n{}  return {}\n}}\n", globals, body, results));
  const auto code = compile(module, "f", {.max_batch = 128, .threads = 1, .keep_code_text = true});
  CHECK(count(code->llvm_ir(), "call void @sinter_barrier_wait") == 1);
  CHECK(difference_on_threads(module, 128, 19, {2}) == "");
}

}  // namespace sinter::compiler
