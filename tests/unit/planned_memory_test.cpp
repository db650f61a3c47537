// The memory plan against compiled code. Kernels run one at a time on memory that is watched:
//   - spread: each planned value alone, in pages that end at an inaccessible one. Whatever is
//     touched outside a value, by the length of one element, ends the program;
//   - as planned: before each kernel every byte that holds no living value is a signalling NaN, and
//     after it only its own outputs may have changed.
// What is left is that kernels which may run at the same time do not meet; that is read off the
// plan, with a notion of "at the same time" of its own.
#include <algorithm>
#include <cfenv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>

#include <catch2/catch.hpp>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sinter/sinter.h>

#include "compiler/compile.h"
#include "compiler/pipeline.h"
#include "ir/text/text.h"
#include "ir/verify.h"
#include "runtime/float_mode.h"

namespace sinter::compiler {

namespace {

using ir::Func;
using ir::Module;
using ir::Op;
using ir::OpKind;
using ir::ValueDef;
using ir::ValueId;

// ---- The nets -----------------------------------------------------------------------------------

class Mlp : public nn::Module {
 public:
  using Activation = Value (*)(const Operand&);
  Mlp(const std::vector<int64_t>& sizes, Activation activation) : activation_(activation) {
    for (size_t i = 0; i + 1 < sizes.size(); ++i) {
      layers_.push_back(std::make_unique<nn::Linear>(sizes[i], sizes[i + 1]));
      add(fmt::format("fc{}", i), *layers_.back());
    }
  }
  Value forward(Value x) override {
    for (size_t i = 0; i + 1 < layers_.size(); ++i) x = activation_((*layers_[i])(x));
    return (*layers_.back())(x);
  }

 private:
  Activation activation_;
  std::vector<std::unique_ptr<nn::Linear>> layers_;
};

struct Net {
  std::string name;
  std::vector<int64_t> sizes;
  int64_t batch;
  bool classes;
  optim::Optimizer optimizer;
  Mlp::Activation activation = relu;
};

std::vector<int64_t> deep(int64_t width, int layers) {
  return std::vector<int64_t>(static_cast<size_t>(layers) + 1, width);
}

// Those whose every byte is watched, at many batch sizes.
std::vector<Net> small_nets() {
  return {{"regression, SGD", {1, 10, 1}, 33, false, optim::SGD{}},
          {"regression, Adam", {1, 10, 1}, 33, false, optim::Adam{}},
          {"classes, SGD", {2, 10, 2}, 33, true, optim::SGD{}},
          {"odd widths, momentum", {5, 17, 33, 3}, 33, true, optim::SGD{.momentum = 0.9}},
          {"tanh, Adam", {4, 32, 16, 4}, 33, false, optim::Adam{}, tanh},
          {"deep, SGD", deep(20, 6), 33, false, optim::SGD{}},
          {"wide, Adam", {7, 40, 36, 5}, 33, true, optim::Adam{}},
          {"several kernels, SGD", {33, 130, 70, 5}, 33, true, optim::SGD{}}};
}

// The nets of the examples and of the measurements, at their sizes.
std::vector<Net> large_nets() {
  std::vector<Net> out{{"W1", {1, 10, 1}, 100, false, optim::Adam{}},
                       {"W2", {2, 10, 2}, 200, true, optim::SGD{}},
                       {"W3", {1, 20, 1}, 32, false, optim::Adam{}},
                       {"W4", {4, 32, 16, 4}, 10000, false, optim::Adam{}, tanh},
                       {"W6, SGD", {784, 512, 256, 10}, 128, true, optim::SGD{}},
                       {"W6, Adam", {784, 512, 256, 10}, 128, true, optim::Adam{}},
                       {"W7", deep(256, 64), 128, false, optim::SGD{}}};
  for (int64_t w : {32, 64, 128, 256}) {
    out.push_back({fmt::format("W5, {}", w), {10, w, w, 10}, 128, true, optim::Adam{}});
  }
  return out;
}

Value mse(const Value& p, const Value& y) { return mse_loss(p, y); }
Value entropy(const Value& p, const Value& y) { return cross_entropy(p, y); }

// @train_step and @predict as recorded.
Module recorded(const Net& net) {
  Mlp mlp(net.sizes, net.activation);
  Trainer trainer(mlp, net.classes ? Objective(entropy) : Objective(mse), net.optimizer,
                  {.interpret = true});
  const Tensor y = net.classes ? zeros({2}, DType::i64) : zeros({2, net.sizes.back()});
  trainer.record(zeros({2, net.sizes.front()}), y);
  return ir::parse(trainer.ir());
}

Module planned(const Module& recorded, int64_t max_batch) {
  Module out = recorded;
  run_pipeline(out, {.max_batch = max_batch});
  return out;
}

// ---- Memory -------------------------------------------------------------------------------------

const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));
constexpr uint32_t kSignallingNan = 0x7FA0DEAD;
constexpr int64_t kLine = 64;  // what offsets in the arena are multiples of

void poison(unsigned char* at, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) {
    at[i] = static_cast<unsigned char>(kSignallingNan >> (8 * (i % 4)));
  }
}

size_t pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// Inaccessible memory of which pieces are opened.
class Mapping {
 public:
  explicit Mapping(size_t bytes) : bytes_(pages(bytes) + kPage) {
    void* at = mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(at != MAP_FAILED);
    base_ = static_cast<unsigned char*>(at);
  }
  ~Mapping() { munmap(base_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  unsigned char* base() const { return base_; }
  // Both ends are multiples of the page size.
  void open(size_t offset, size_t bytes) {
    REQUIRE(mprotect(base_ + offset, bytes, PROT_READ | PROT_WRITE) == 0);
    poison(base_ + offset, bytes);
  }

 private:
  size_t bytes_;
  unsigned char* base_ = nullptr;
};

// Elements of one type whose last byte lies before an inaccessible page.
class Buffer {
 public:
  Buffer(const ir::Type& type, int64_t n)
      : bytes_(static_cast<size_t>(type.bytes(n))), mapping_(pages(bytes_)) {
    mapping_.open(0, pages(bytes_));
  }
  unsigned char* data() const { return mapping_.base() + pages(bytes_) - bytes_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_;
  Mapping mapping_;
};

// Arguments, globals and results of a function, with the same contents for the same seed.
class Buffers {
 public:
  Buffers(const Module& module, const Func& func, int64_t n) {
    std::mt19937_64 random(7);
    for (ValueId v : func.args) fill(add(func.type(v), n), func.type(v), random);
    for (const ir::Global& g : module.globals) fill(add(g.type, n), g.type, random);
    for (ValueId v : func.results) add(func.type(v), n);
    for (const auto& buffer : all_) pointers_.push_back(buffer->data());
  }
  void* const* pointers() const { return pointers_.data(); }

  bool operator==(const Buffers& other) const {
    return std::equal(all_.begin(), all_.end(), other.all_.begin(), other.all_.end(),
                      [](const auto& a, const auto& b) {
                        return a->bytes() == b->bytes() &&
                               std::memcmp(a->data(), b->data(), a->bytes()) == 0;
                      });
  }

 private:
  const Buffer& add(const ir::Type& type, int64_t n) {
    return *all_.emplace_back(std::make_unique<Buffer>(type, n));
  }

  // Positive numbers below one half, which suit second moments, rates and counts alike; labels are
  // 0 or 1.
  static void fill(const Buffer& buffer, const ir::Type& type, std::mt19937_64& random) {
    const size_t count = buffer.bytes() / dtype_size(type.dtype);
    for (size_t i = 0; i < count; ++i) {
      const float real = (1 + static_cast<float>(random() % 255)) / 512;
      const auto whole = static_cast<int64_t>(random() % 2);
      if (type.dtype == DType::f32) std::memcpy(buffer.data() + 4 * i, &real, 4);
      if (type.dtype == DType::i64) std::memcpy(buffer.data() + 8 * i, &whole, 8);
      REQUIRE((type.dtype == DType::f32 || type.dtype == DType::i64));
    }
  }

  std::vector<std::unique_ptr<Buffer>> all_;
  std::vector<void*> pointers_;
};

// Runs a kernel and reports arithmetic on a signalling NaN, which is how a read of memory that
// nobody has written shows.
void run_watched(const CompiledKernel& kernel, const Buffers& buffers, unsigned char* arena,
                 int64_t n) {
  INFO(kernel.symbol);
  const Buffer scratch({DType::f32, {kernel.scratch_bytes / 4}}, n);
  const DenormalsAreZero mode;
  std::feclearexcept(FE_ALL_EXCEPT);
  const sinter_thread thread{buffers.pointers(), arena, scratch.data(), n, 0, 1, nullptr};
  sinter_run_kernel(kernel.code, &thread);
  CHECK_FALSE(std::fetestexcept(FE_INVALID));
}

// ---- What kernels touch, from the text of the plan alone ----------------------------------------

struct Touches {
  std::set<ValueId> reads, writes;  // values in memory; an assigned global is written
  bool parallel = false;
  int64_t thread = 0;  // that runs it if it is not parallel
  int region = 0;      // barriers before it
  int64_t parts = 1;
};

std::vector<Touches> touches(const Func& func) {
  const std::vector<const Op*> defs = ir::definitions(func);
  std::set<ValueId> stored;
  for (const Op& op : func.body) stored.insert(op.outputs.begin(), op.outputs.end());
  const auto in_memory = [&](ValueId v) {
    while (func[v].def == ValueDef::op && !stored.count(v)) {
      v = defs[static_cast<size_t>(v.index)]->operands[0];
    }
    return v;
  };
  std::vector<Touches> out;
  int region = 0;
  for (const Op& kernel : func.body) {
    if (kernel.kind == OpKind::barrier) ++region;
    if (kernel.kind != OpKind::kernel) continue;
    Touches t{{},
              {},
              kernel.attrs.flag("parallel"),
              kernel.attrs.integer("thread"),
              region,
              kernel.attrs.integer("parts")};
    std::set<ValueId> own;
    for (const Op& op : kernel.body) {
      for (ValueId v : op.operands) {
        if (!own.count(v)) t.reads.insert(in_memory(v));
      }
      if (op.result.valid()) own.insert(op.result);
      if (op.kind == OpKind::assign) t.writes.insert(op.operands[0]);
    }
    for (ValueId v : kernel.outputs) t.writes.insert(v);
    out.push_back(std::move(t));
  }
  return out;
}

struct Span {
  int64_t begin, end;
  bool meets(const Span& other) const { return begin < other.end && other.begin < end; }
};

std::vector<ValueId> planned_values(const Func& func) {
  std::vector<ValueId> out;
  for (const Op& op : func.body) {
    for (ValueId v : op.outputs) {
      if (func[v].storage) out.push_back(v);
    }
  }
  return out;
}

Span place(const Func& func, ValueId v, int64_t n) {
  const int64_t at = func[v].storage->offset;
  return {at, at + func.stored_type(v).bytes(n)};
}

bool overlap(const Func& func, ValueId a, ValueId b) {
  if (a == b) return true;
  if (!func[a].storage || !func[b].storage) return false;
  return place(func, a, func.max_batch).meets(place(func, b, func.max_batch));
}

bool overlap(const Func& func, const std::set<ValueId>& a, const std::set<ValueId>& b) {
  return std::any_of(a.begin(), a.end(), [&](ValueId v) {
    return std::any_of(b.begin(), b.end(), [&](ValueId w) { return overlap(func, v, w); });
  });
}

// Planned values alive around kernel i: written before it and read by it or later.
std::set<ValueId> alive_at(const Func& func, const std::vector<Touches>& all, size_t i) {
  std::set<ValueId> before, out;
  for (size_t k = 0; k < i; ++k) before.insert(all[k].writes.begin(), all[k].writes.end());
  for (size_t k = i; k < all.size(); ++k) {
    for (ValueId v : all[k].reads) {
      if (func[v].storage && before.count(v)) out.insert(v);
    }
  }
  return out;
}

// ---- The checks ---------------------------------------------------------------------------------

// The same function with every planned value in pages of its own.
Module spread(Module module, const std::string& name) {
  Func& func = *module.find(name);
  int64_t end = 0;
  for (ValueId v : planned_values(func)) {
    const int64_t bytes = func.stored_type(v).bytes(func.max_batch);
    end += static_cast<int64_t>(pages(static_cast<size_t>(bytes)));
    func[v].storage->offset = end - bytes;
    end += static_cast<int64_t>(kPage);
  }
  func.arena_bytes = end;
  ir::verify(module);
  return module;
}

std::unique_ptr<Mapping> spread_arena(const Func& func) {
  auto out = std::make_unique<Mapping>(static_cast<size_t>(func.arena_bytes));
  for (ValueId v : planned_values(func)) {
    const Span at = place(func, v, func.max_batch);
    const size_t size = pages(static_cast<size_t>(at.end - at.begin));
    out->open(static_cast<size_t>(at.end) - size, size);
  }
  return out;
}

// What the function does by itself.
std::unique_ptr<Buffers> ordinary_run(Executable& executable, const Func& func, int64_t n) {
  auto out = std::make_unique<Buffers>(executable.module(), func, n);
  executable.run(out->pointers(), n);
  return out;
}

void check_spread(const Module& plan, const std::string& name) {
  const int64_t n = plan.find(name)->max_batch;
  const Module module = spread(plan, name);
  const Func& func = *module.find(name);
  const auto executable = make_native(module, name, {.threads = 1});
  const auto arena = spread_arena(func);
  const Buffers buffers(module, func, n);
  for (const CompiledKernel& kernel : executable->kernels()) {
    run_watched(kernel, buffers, arena->base(), n);
  }
  CHECK(buffers == *ordinary_run(*executable, func, n));
}

// Returns how many lines of the arena were written.
int64_t check_as_planned(Executable& executable, const Func& func, int64_t n) {
  const std::vector<Touches> all = touches(func);
  const std::vector<CompiledKernel> kernels = executable.kernels();
  REQUIRE(kernels.size() == all.size());
  const auto bytes = static_cast<size_t>(func.arena_bytes);
  Mapping mapping(bytes);
  mapping.open(0, pages(bytes));
  unsigned char* arena = mapping.base();
  const Buffers buffers(executable.module(), func, n);
  std::vector<bool> touched(bytes / kLine, false);
  for (size_t i = 0; i < kernels.size(); ++i) {
    std::vector<unsigned char> before(bytes);
    poison(before.data(), bytes);
    for (ValueId v : alive_at(func, all, i)) {
      const Span at = place(func, v, n);
      std::copy(arena + at.begin, arena + at.end, before.begin() + at.begin);
    }
    std::copy(before.begin(), before.end(), arena);
    run_watched(kernels[i], buffers, arena, n);
    for (size_t k = 0; k < bytes; ++k) {
      if (arena[k] == before[k]) continue;
      touched[k / kLine] = true;
      const auto at = static_cast<int64_t>(k);
      const bool own = std::any_of(all[i].writes.begin(), all[i].writes.end(), [&](ValueId v) {
        return func[v].storage && place(func, v, n).meets({at, at + 1});
      });
      if (own) continue;
      FAIL_CHECK(kernels[i].symbol << " writes byte " << k << ", which is not its own");
      break;
    }
  }
  CHECK(buffers == *ordinary_run(executable, func, n));
  return std::count(touched.begin(), touched.end(), true);
}

void check_no_races(const Func& func) {
  const std::vector<Touches> all = touches(func);
  for (size_t j = 0; j < all.size(); ++j) {
    for (size_t i = 0; i < j; ++i) {
      const Touches &a = all[i], &b = all[j];
      // A thread runs its serial kernels in order; a barrier is passed by all together.
      const bool in_order = !a.parallel && !b.parallel && a.thread == b.thread;
      if (a.region != b.region || in_order) continue;
      INFO("kernels " << i << " and " << j);
      // Rows of the batch belong to the thread that has their part (row_parts_test.cpp).
      const auto meet = [&](std::set<ValueId> p, std::set<ValueId> q) {
        const auto own_rows = [&](ValueId v) {
          const ir::Shape& shape = func.type(v).shape;
          return !shape.empty() && shape[0] == ir::batch_dim && p.count(v) && q.count(v);
        };
        if (a.parts > 1 && a.parts == b.parts) {
          for (ValueId v : std::set<ValueId>(p)) {
            if (own_rows(v)) p.erase(v);
          }
        }
        return overlap(func, p, q);
      };
      CHECK_FALSE(meet(a.writes, b.reads));
      CHECK_FALSE(meet(a.reads, b.writes));
      CHECK_FALSE(meet(a.writes, b.writes));
    }
  }
}

// The number in the planner's remark before the first op.
int64_t printed_bound(const Func& func) {
  long long out = 0;
  for (const std::string& note : func.body.at(0).notes) {
    std::sscanf(note.c_str(), "no arena is below %lld bytes", &out);
  }
  return out;
}

}  // namespace

TEST_CASE("no kernel touches a byte outside its values", "[memory]") {
  for (const Net& net : small_nets()) {
    const Module module = recorded(net);
    for (int64_t n : {1, 7, 16, 33}) {
      INFO(net.name << ", n = " << n);
      check_spread(planned(module, n), "train_step");
    }
    check_spread(planned(module, 5), "predict");
  }
}

TEST_CASE("kernels touch the whole arena, but nothing dead and nothing of others", "[memory]") {
  for (const Net& net : small_nets()) {
    const Module module = planned(recorded(net), net.batch);
    for (const Func& func : module.funcs) {
      const auto executable = make_native(module, func.name, {.threads = 1});
      for (int64_t n : {1, 16, 17}) {
        INFO(net.name << ", @" << func.name << ", n = " << n);
        check_as_planned(*executable, func, n);
      }
      INFO(net.name << ", @" << func.name);
      CHECK(check_as_planned(*executable, func, net.batch) * kLine == func.arena_bytes);
    }
  }
}

TEST_CASE("the arena is near the least that is possible, and kernels do not race in it",
          "[memory]") {
  for (const Net& net : large_nets()) {
    INFO(net.name);
    const Module module = planned(recorded(net), net.batch);
    const Func& func = *module.find("train_step");
    check_no_races(func);
    const int64_t bound = printed_bound(func);
    CHECK((bound == 0) == (func.arena_bytes == 0));
    CHECK(bound <= func.arena_bytes);
    CHECK(static_cast<double>(func.arena_bytes) <= 1.1 * static_cast<double>(bound));
    // No order of the kernels counts here but the one of the text, so this is at most the bound.
    int64_t at_once = 0;
    const std::vector<Touches> all = touches(func);
    for (size_t i = 0; i < all.size(); ++i) {
      std::set<ValueId> alive = alive_at(func, all, i);
      for (ValueId v : all[i].writes) {
        if (func[v].storage) alive.insert(v);
      }
      int64_t sum = 0;
      for (ValueId v : alive) {
        sum += (func.stored_type(v).bytes(func.max_batch) + kLine - 1) / kLine * kLine;
      }
      at_once = std::max(at_once, sum);
    }
    CHECK(at_once <= bound);
  }
}

// P4. The name of a gradient is that of its parameter and ".grad", wherever it was computed.
TEST_CASE("no gradient of a parameter is stored", "[memory]") {
  std::vector<Net> nets = small_nets();
  for (Net& net : large_nets()) nets.push_back(std::move(net));
  for (const Net& net : nets) {
    INFO(net.name);
    const Module module = planned(recorded(net), net.batch);
    const Func& func = *module.find("train_step");
    const auto is_gradient = [&](ValueId v) {
      const std::string& name = func[v].name;
      return name.size() > 5 && name.compare(name.size() - 5, 5, ".grad") == 0;
    };
    int64_t gradients = 0, stored_bytes = 0;
    ir::for_each_op(func.body, [&](const Op& op) {
      if (op.result.valid() && is_gradient(op.result)) ++gradients;
      for (ValueId v : op.outputs) {
        if (is_gradient(v)) stored_bytes += func.stored_type(v).bytes(func.max_batch);
      }
    });
    CHECK(gradients == static_cast<int64_t>(2 * (net.sizes.size() - 1)));
    CHECK(stored_bytes == 0);
  }
}

TEST_CASE("the watch sees a row too many and a value that was not written", "[memory]") {
  // Too wide for one kernel with the batch in lanes.
  const Net net{"several kernels", {33, 130, 70, 5}, 33, true, optim::SGD{}};
  const Module module = spread(planned(recorded(net), 8), "train_step");
  const Func& func = *module.find("train_step");
  const auto executable = make_native(module, "train_step", {.threads = 1});
  const std::vector<CompiledKernel> kernels = executable->kernels();
  REQUIRE(kernels.size() > 1);
  const auto arena = spread_arena(func);
  const Buffers buffers(module, func, 8);
  const Buffer scratch({DType::f32, {kernels[0].scratch_bytes / 4}}, 8);
  sinter_thread thread{buffers.pointers(), arena->base(), scratch.data(), 8, 0, 1, nullptr};
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);
    thread.n = 9;
    sinter_run_kernel(kernels[0].code, &thread);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);

  std::feclearexcept(FE_ALL_EXCEPT);
  sinter_run_kernel(kernels[1].code, &thread);
  CHECK(std::fetestexcept(FE_INVALID));
}

}  // namespace sinter::compiler
