// The pass list and its runner, the options, and gradients of gradients by value.
#include "compiler/passes/passes.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <sinter/error.h>

#include "compiler/compile.h"
#include "compiler/pass_order.h"
#include "compiler/pipeline.h"
#include "ir/interpret.h"
#include "ir/op.h"
#include "ir/text/text.h"

namespace sinter::compiler {

namespace fs = std::filesystem;
using Catch::Contains;

namespace {

// A directory of its own for one test, removed at the end.
class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "sinter_passes_XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Scratch() { fs::remove_all(path_); }
  std::string path() const { return path_.string(); }
  std::vector<std::string> files() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(path_)) {
      out.push_back(entry.path().filename().string());
    }
    std::sort(out.begin(), out.end());
    return out;
  }

 private:
  fs::path path_;
};

std::string read(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// What `f` writes to stderr.
template <class F>
std::string stderr_of(F f) {
  std::FILE* file = std::tmpfile();
  std::fflush(stderr);
  const int saved = dup(fileno(stderr));
  dup2(fileno(file), fileno(stderr));
  f();
  std::fflush(stderr);
  dup2(saved, fileno(stderr));
  close(saved);
  std::rewind(file);
  std::string text;
  for (int c; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
  std::fclose(file);
  return text;
}

// Sets an environment variable for one scope.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name_); }

 private:
  const char* name_;
};

template <class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing was thrown";
}

void run(ir::Module& module, const std::vector<std::string>& names, const Options& options = {},
         const Observer& observer = {}) {
  std::vector<const Pass*> list;
  for (const std::string& name : names) {
    list.push_back(find_pass(name));
    REQUIRE(list.back() != nullptr);
  }
  run_passes(module, list, options, observer);
}

std::vector<double> results_at(const ir::Module& module, double x) {
  ir::Array<double> argument(DType::f64, {});
  argument.f[0] = x;
  std::vector<ir::Array<double>> globals;
  std::vector<double> out;
  for (const auto& value : ir::interpret<double>(module, module.funcs[0], {argument}, globals, 1)) {
    out.push_back(value.f[0]);
  }
  return out;
}

constexpr const char* kCube = R"(
func @cube(%x: f64[]) {
  %square = mul %x, %x : f64[]
  %y = mul %square, %x : f64[]
  %first = gradient %y, %x : f64[]
  %second = gradient %first, %x : f64[]
  %third = gradient %second, %x : f64[]
  return %y, %first, %second, %third
}
)";

constexpr const char* kWaste = R"(
func @waste(%x: f32[n]) {
  %0 = constant {value = 1.0} : f32[]
  %1 = mul %x, %0 : f32[n]
  %2 = exp %1 : f32[n]
  return %2
}
)";

}  // namespace

TEST_CASE("three nested gradients give the derivatives of a cube") {
  ir::Module module = ir::parse(kCube);
  run(module, {"differentiate"});
  CHECK(results_at(module, 3) == std::vector<double>{27, 27, 18, 6});

  SECTION("and still do when simplified") {
    run(module, {"expand", "simplify", "cse", "dce"});
    CHECK(results_at(module, 3) == std::vector<double>{27, 27, 18, 6});
  }
}

TEST_CASE("derivatives of composites agree before and after they are lowered") {
  const std::string text = R"(
func @f(%x: f64[]) {
  %row = reshape %x : f64[1, 1]
  %wide = broadcast %row : f64[1, 3]
  %place = iota {axis = 1} : f64[1, 3]
  %z = mul %wide, %place : f64[1, 3]
  %p = softmax %z {axis = 1} : f64[1, 3]
  %q = mul %p, %place : f64[1, 3]
  %y = sum %q {axes = [0, 1]} : f64[]
  %dy = gradient %y, %x : f64[]
  return %y, %dy
})";
  ir::Module early = ir::parse(text), late = ir::parse(text);
  run(early, {"differentiate", "expand", "simplify", "cse", "dce"});
  run(late, {"expand", "differentiate", "simplify", "cse", "dce"});
  const auto a = results_at(early, 0.3), b = results_at(late, 0.3);
  CHECK(a[0] == Approx(b[0]).epsilon(1e-14));
  CHECK(a[1] == Approx(b[1]).epsilon(1e-12));
  const double h = 1e-5;
  const double slope = (results_at(early, 0.3 + h)[0] - results_at(early, 0.3 - h)[0]) / (2 * h);
  CHECK(a[1] == Approx(slope).epsilon(1e-8));
}

TEST_CASE("a value that does not lead to the loss is an error with its name and line") {
  ir::Module module = ir::parse(R"(
global @spare.weight : f32[3]
func @f(%x: f32[n, 3]) {
  %loss = mean %x {axes = [0, 1]} : f32[] loc("net.cpp":4)
  %g = gradient %loss, @spare.weight : f32[3] loc("net.cpp":9)
  return %g
})");
  const std::string message = message_of([&] { run(module, {"differentiate"}); });
  CHECK_THAT(message, Contains("the loss does not depend on spare.weight"));
  CHECK_THAT(message, Contains("net.cpp:9"));
  CHECK_THAT(message, Contains("= help: use spare.weight in"));
  CHECK_THAT(message, !Contains("internal error"));
}

TEST_CASE("simplifying twice changes nothing more") {
  ir::Module module = ir::parse(kCube);
  run(module, {"differentiate", "expand", "simplify", "cse", "dce"});
  bool changed = true;
  run(module, {"simplify"}, {}, [&](std::string_view stage, const ir::Module&, bool now) {
    if (stage == "simplify") changed = now;
  });
  CHECK_FALSE(changed);
}

TEST_CASE("fusion looks once at a scalar that is reached on many ways") {
  std::string text =
      "global @state : f32[]\nfunc @f(%rate: f32[]) {\n  %s0 = add @state, %rate : f32[]\n";
  constexpr int squares = 64;  // as many ways as two to this power
  for (int i = 1; i <= squares; ++i) {
    text += fmt::format("  %s{0} = mul %s{1}, %s{1} : f32[]\n", i, i - 1);
  }
  text += fmt::format("  assign @state, %s{}\n  return\n}}\n", squares);
  ir::Module module = ir::parse(text);
  run(module, {"fuse"});
  REQUIRE(module.funcs[0].body.size() == 1);
  CHECK(module.funcs[0].body[0].body.size() == squares + 2);
}

TEST_CASE("the pass list keeps every stated order") {
  CHECK_NOTHROW(check_order(passes()));
  for (const PassOrder& order : pass_order()) {
    std::vector<Pass> list(passes().begin(), passes().end());
    const auto place = [&](std::string_view name) {
      return std::find_if(list.begin(), list.end(), [&](const Pass& p) { return p.name == name; });
    };
    std::iter_swap(place(order.before), place(order.after));
    const std::string message = message_of([&] { check_order(list); });
    CHECK_THAT(message, Contains("must run before"));
  }
  std::vector<Pass> wrong(passes().begin(), passes().end());
  std::swap(wrong[0], wrong[1]);
  CHECK_THAT(message_of([&] { check_order(wrong); }),
             Contains("differentiate must run before expand: composites own derivatives"));
  wrong.clear();
  CHECK_THAT(message_of([&] { check_order(wrong); }),
             Contains("the pass list lacks differentiate"));
}

TEST_CASE("passes are found by name") {
  REQUIRE(find_pass("cse") != nullptr);
  CHECK(find_pass("cse")->run == cse);
  CHECK(find_pass("vectorize") == nullptr);
  for (const Pass& pass : passes()) CHECK_FALSE(pass.summary.empty());
}

TEST_CASE("an observer sees every stage and whether it changed") {
  ir::Module module = ir::parse(kWaste);
  std::vector<std::string> seen;
  run(module, {"differentiate", "simplify", "dce"}, {},
      [&](std::string_view stage, const ir::Module&, bool changed) {
        seen.push_back(std::string(stage) + (changed ? "+" : "-"));
      });
  CHECK(seen == std::vector<std::string>{"forward+", "differentiate-", "simplify+", "dce+"});
}

TEST_CASE("stages that changed are dumped as text that parses back") {
  const Scratch scratch;
  ir::Module module = ir::parse(kWaste);
  Options options;
  options.dump_dir = scratch.path() + "/made/on/the/way";
  run(module, {"differentiate", "simplify", "cse", "dce"}, options);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(options.dump_dir)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"waste.00.forward.sir", "waste.02.simplify.sir",
                                          "waste.04.dce.sir"});
  CHECK(ir::equal(ir::parse_file(options.dump_dir + "/waste.04.dce.sir"), module));
}

TEST_CASE("a dump directory that cannot be made is the user's error") {
  const Scratch scratch;
  std::ofstream(scratch.path() + "/file") << "in the way";
  ir::Module module = ir::parse(kWaste);
  Options options;
  options.dump_dir = scratch.path() + "/file/below";
  const std::string message = message_of([&] { run(module, {"dce"}, options); });
  CHECK_THAT(message, Contains("error: cannot write the dump"));
  CHECK_THAT(message, Contains("SINTER_DUMP"));
}

TEST_CASE("a pass that throws is named and leaves a reproducer") {
  const Scratch scratch;
  const Pass broken{"broken", "fails",
                    [](ir::Module& module, const Options&) {
                      module.funcs.clear();
                      throw std::runtime_error("out of ideas");
                    },
                    false};
  const Pass* const list[] = {find_pass("simplify"), find_pass("dce"), &broken};
  ir::Module module = ir::parse(kWaste);
  Options options;
  options.dump_dir = scratch.path() + "/repro";
  const std::string message = message_of([&] { run_passes(module, list, options); });
  CHECK_THAT(message, Contains("internal error: pass broken failed: out of ideas"));
  CHECK_THAT(message, Contains("%0 = exp %x : f32[n]"));

  std::string path;
  for (const auto& entry : fs::directory_iterator(options.dump_dir)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("sinter-repro-", 0) == 0) path = entry.path().string();
  }
  REQUIRE_FALSE(path.empty());
  const std::string command = "sinter opt " + path + " --passes=broken";
  CHECK_THAT(message, Contains("replay it with: " + command));
  CHECK_THAT(read(path), Contains("// " + command));
  // The module as it was just before the pass.
  ir::Module before = ir::parse(kWaste);
  run(before, {"simplify", "dce"});
  CHECK(ir::equal(ir::parse_file(path), before));
}

TEST_CASE("a pass that leaves a broken module is named") {
  const Scratch scratch;
  const Pass broken{"broken", "forgets an op",
                    [](ir::Module& module, const Options&) { module.funcs[0].body.pop_back(); },
                    false};
  const Pass* const list[] = {&broken};
  ir::Module module = ir::parse(kWaste);
  Options options;
  options.dump_dir = scratch.path();
  CHECK_THAT(message_of([&] { run_passes(module, list, options); }),
             Contains("pass broken failed: it leaves a module that breaks the rules of the IR"));
  CHECK(scratch.files().size() == 2);  // the stage `forward` and the reproducer

  SECTION("unless verification is off") {
    ir::Module unchecked = ir::parse(kWaste);
    options.verify = false;
    options.dump_dir.clear();
    CHECK_NOTHROW(run_passes(unchecked, list, options));
  }
}

TEST_CASE("an error of the user in another pass than differentiate is a bug of that pass") {
  const Scratch scratch;
  const Pass broken{"broken", "fails",
                    [](ir::Module&, const Options&) { throw Error("not your fault").help("none"); },
                    false};
  const Pass* const list[] = {&broken};
  ir::Module module = ir::parse(kWaste);
  Options options;
  options.dump_dir = scratch.path();
  CHECK_THROWS_AS(run_passes(module, list, options), InternalError);
}

TEST_CASE("times of passes are printed, slowest first") {
  ir::Module module = ir::parse(kCube);
  Options options;
  CHECK(stderr_of([&] { run(module, {"differentiate", "expand"}, options); }).empty());
  options.time = true;
  const Pass slow{"slow", "waits", [](ir::Module&, const Options&) { usleep(5000); }, false};
  const Pass* const list[] = {find_pass("simplify"), &slow};
  const std::string text = stderr_of([&] { run_passes(module, list, options); });
  CHECK_THAT(text, Contains("simplify") && Contains("(verify)") && Contains("total"));
  CHECK(text.find("slow") < text.find("simplify"));
}

TEST_CASE("a pass that is switched off does not run, a required one does") {
  Options options;
  options.max_batch = 4;
  options.off = {"simplify", "dce", "differentiate"};
  ir::Module module = ir::parse(kWaste);
  std::vector<std::string> seen;
  run_pipeline(module, options,
               [&](std::string_view stage, const ir::Module&, bool) { seen.emplace_back(stage); });
  CHECK(seen == std::vector<std::string>{"forward", "differentiate", "expand", "orient_reductions",
                                         "cse", "factor_sums", "fuse_batch", "split_sums", "fuse",
                                         "plan_memory"});
}

TEST_CASE("switching off an unknown pass names the known ones") {
  Options options;
  options.off = {"simplfy"};
  ir::Module module = ir::parse(kWaste);
  const std::string message = message_of([&] { run_pipeline(module, options); });
  CHECK_THAT(message, Contains("no pass is named \"simplfy\"") &&
                          Contains("differentiate, expand, simplify, orient_reductions, cse, dce"));
}

TEST_CASE("the time of passes grows with the module, not with its square") {
  // CPU time for a chain of named ops and its gradient.
  const auto seconds = [](int count) {
    std::string text = "func @chain(%v0: f32[]) {\n";
    for (int i = 1; i <= count; ++i) {
      text += fmt::format("  %v{} = {} %v{} : f32[]\n", i, i % 2 ? "sigmoid" : "tanh", i - 1);
    }
    text += fmt::format("  %g = gradient %v{}, %v0 : f32[]\n  return %g\n}}\n", count);
    double best = 1e9;
    for (int repeat = 0; repeat < 3; ++repeat) {
      ir::Module module = ir::parse(text);
      const std::clock_t start = std::clock();
      Options options;
      options.verify = false;
      run(module, {"differentiate", "expand", "simplify", "cse", "dce"}, options);
      best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    }
    return best;
  };
  // 16 times the ops: 16 if linear, 256 if quadratic.
  const double small = std::max(seconds(500), 1e-4), large = seconds(8000);
  CHECK(large < 80 * small);
}

TEST_CASE("a long chain becomes kernels of a bounded size, each with the reason for its end") {
  std::string text = "func @chain(%v0: f32[n, 64]) {\n";
  for (int i = 1; i <= 300; ++i) text += fmt::format("  %v{} = sin %v{} : f32[n, 64]\n", i, i - 1);
  ir::Module module = ir::parse(text + "  return %v300\n}\n");
  run(module, {"fuse"});
  size_t ops = 0, apart = 0;
  for (const ir::Op& kernel : module.funcs[0].body) {
    CHECK(kernel.body.size() <= 128);
    ops += kernel.body.size();
    for (const std::string& note : kernel.notes) {
      apart += note.find("the kernel would have more than 128 ops") != std::string::npos;
    }
  }
  CHECK(ops == 300);
  CHECK(module.funcs[0].body.size() >= 3);
  CHECK(apart == module.funcs[0].body.size() - 1);
}

TEST_CASE("options come from the environment") {
  SECTION("none set") {
    const Options options = Options::from_environment();
    CHECK_FALSE(options.interpret);
    CHECK_FALSE(options.time);
    CHECK(options.threads == 0);
    CHECK(options.dump_dir.empty());
    CHECK_FALSE(options.keep_code_text);
  }
  SECTION("all set") {
    const Environment dump("SINTER_DUMP", "some/where"), jit("SINTER_JIT", "0"),
        threads("SINTER_THREADS", "3"), time("SINTER_TIME", "1"), off("SINTER_OFF", "cse,dce");
    const Options options = Options::from_environment();
    CHECK(options.dump_dir == "some/where");
    CHECK(options.keep_code_text);
    CHECK(options.interpret);
    CHECK(options.threads == 3);
    CHECK(options.time);
    CHECK(options.off == std::vector<std::string>{"cse", "dce"});
  }
}

TEST_CASE("an environment variable without a meaning is an error that names it") {
  const auto message_for = [](const char* name, const char* value) {
    const Environment variable(name, value);
    return message_of([] { Options::from_environment(); });
  };
  CHECK_THAT(message_for("SINTER_JIT", "yes"),
             Contains("SINTER_JIT=yes has no meaning") && Contains("set SINTER_JIT to 0 or 1"));
  CHECK_THAT(message_for("SINTER_TIME", "2"), Contains("SINTER_TIME=2 has no meaning"));
  CHECK_THAT(message_for("SINTER_THREADS", "two"), Contains("number of threads"));
  CHECK_THAT(message_for("SINTER_THREADS", "-1"), Contains("number of threads"));
  CHECK_THAT(message_for("SINTER_OFF", "cse,simplfy"),
             Contains("no pass is named simplfy") && Contains("simplify, cse, dce"));
  CHECK_THAT(message_for("SINTER_OFF", "fuse"), Contains("the pass fuse is always needed"));
}

TEST_CASE("compiling a function that the module lacks names those it has") {
  CHECK_THAT(message_of([] { compile(ir::parse(kWaste), "wast", {}); }),
             Contains("no function wast") && Contains("it has waste"));
  Options options;
  options.max_batch = 0;
  CHECK_THAT(message_of([&] { compile(ir::parse(kWaste), "waste", options); }),
             Contains("max_batch is 0"));
}

}  // namespace sinter::compiler
