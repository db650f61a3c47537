// Texts that ask for more than they look like. Each is read, printed and read again by a process of
// its own that may use 256 MiB, and must end within a second of processor time in a module or in an
// Error with a place: no crash, no bad_alloc.
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sinter/error.h>

#include "ir/text/text.h"

namespace {

// Instrumented code needs its shadow memory and more time; there only crashes count.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool limited = false;
#else
constexpr bool limited = true;
#endif
constexpr rlim_t most_bytes = rlim_t{256} << 20, most_seconds = 1;

struct Bomb {
  const char* name;
  bool refused;  // else it is a module
  std::function<std::string()> text;
};

std::string repeated(const std::string& piece, size_t times) {
  std::string out;
  out.reserve(piece.size() * times);
  for (size_t i = 0; i < times; ++i) out += piece;
  return out;
}

// A function with this in its body.
std::string func(const std::string& body) {
  return "func @f(%x: f32[n, 4]) {\n" + body + "return %x\n}\n";
}

std::string chain(size_t ops) {
  std::string out = "func @f(%x: f32[n, 4]) {\n%0 = neg %x : f32[n, 4]\n";
  for (size_t i = 1; i < ops; ++i) out += fmt::format("%{} = neg %{} : f32[n, 4]\n", i, i - 1);
  return out + fmt::format("return %{}\n}}\n", ops - 1);
}

std::vector<Bomb> bombs() {
  return {
      {"a hundred thousand ops", false, [] { return chain(100'000); }},
      {"a million ops", true, [] { return chain(1'000'000); }},
      {"dimensions whose product overflows", true,
       [] { return std::string("global @w : f32[4294967296, 4294967296, 4294967296]\n"); }},
      {"a dimension that overflows", true,
       [] { return std::string("global @w : f32[99999999999999999999]\n"); }},
      {"the largest dimension that there is", false,
       [] { return func("%c = constant {value = 1.0} : f32[281474976710656]\n"); }},
      {"a plan of more rows than memory", true,
       [] {
         return std::string(
             "func @f(%x: f32[n, 1048576]) max_batch 9223372036854775807 arena 64 {\n"
             "kernel {name = \"k\"} -> (%y at 0) {\n%y = neg %x : f32[n, 1048576]\n}\n"
             "kernel {name = \"l\"} -> (%z) {\n%z = neg %y : f32[n, 1048576]\n}\n"
             "return %z\n}\n");
       }},
      {"a large splat", false,
       [] { return func("%c = constant {value = 0.5} : f32[16777216, 16777216]\n"); }},
      {"braces in braces", true,
       [] { return func(repeated("kernel {name = \"k\"} {\n", 500'000)); }},
      {"brackets in brackets", true, [] { return "global @w : f32" + repeated("[", 5'000'000); }},
      {"a million axes", true,
       [] { return "global @w : f32[1" + repeated(", 1", 1'000'000) + "]\n"; }},
      {"a million axes to sum over", true,
       [] { return func("%s = sum %x {axes = [0" + repeated(", 0", 1'000'000) + "]} : f32[]\n"); }},
      {"a name of ten million letters", true,
       [] { return func("%" + repeated("a", 10'000'000) + " = neg %x : f32[n, 4]\n"); }},
      {"a number of ten million digits", true,
       [] { return "global @w : f32[" + repeated("9", 10'000'000) + "]\n"; }},
      {"an op of ten million letters", true,
       [] { return func("%y = " + repeated("a", 10'000'000) + " %x : f32[n, 4]\n"); }},
      {"an exponent that never comes", true,
       [] { return "global @w : f32[" + repeated("9", 10'000'000) + "e]\n"; }},
      {"quoted text of ten million letters", true,
       [] {
         return func("%y = neg %x : f32[n, 4] loc(\"" + repeated("a", 10'000'000) + "\":1)\n");
       }},
      {"a comment of fifty million letters", false,
       [] { return "//" + repeated("a", 50'000'000) + "\n" + func(""); }},
      {"blanks of seventy million bytes", true,
       [] { return repeated(" ", 70'000'000) + func(""); }},
      {"a million globals", true,
       [] {
         std::string out;
         for (int i = 0; i < 1'000'000; ++i) out += fmt::format("global @g{} : f32[]\n", i);
         return out;
       }},
      {"a million arguments", true,
       [] {
         std::string out = "func @f(%a: f32[]";
         for (int i = 0; i < 1'000'000; ++i) out += fmt::format(", %b{}: f32[]", i);
         return out + ") { return }";
       }},
      {"a million operands", true,
       [] { return func("%y = add %x" + repeated(", %x", 1'000'000) + " : f32[n, 4]\n"); }},
      {"a million results", true,
       [] { return "func @f(%x: f32[]) { return %x" + repeated(", %x", 1'000'000) + "}"; }},
      {"a million outputs", true,
       [] {
         return func("kernel {name = \"k\"} -> (%y" + repeated(", %y", 1'000'000) +
                     ") {\n%y = neg %x : f32[n, 4]\n}\n");
       }},
      {"an attribute given a million times", true,
       [] {
         return func("%c = constant {value = 1.0" + repeated(", value = 1.0", 1'000'000) +
                     "} : f32[]\n");
       }},
      {"names that are almost the one that is wanted", true,
       [] {
         std::string out = "func @f(%x: f32[]) {\n";
         for (int i = 0; i < 100'000; ++i) out += fmt::format("%a{} = neg %x : f32[]\n", i);
         return out + "return %b5000\n}\n";
       }},
  };
}

// In the child: exit status 0 for a module, 1 for an Error with a place, 2 for anything else.
int read(const std::string& text) try {
  const sinter::ir::Module module = sinter::ir::parse(text);
  const std::string printed = sinter::ir::print(module);
  return printed.empty() ? 2 : 0;
} catch (const sinter::Error& e) {
  const std::string message = e.what();
  std::fprintf(stderr, "  %s\n", message.substr(0, message.find('\n')).substr(0, 200).c_str());
  const bool placed = e.loc() && e.loc()->known() && message.find("^ column ") != std::string::npos;
  return placed && message.size() < 4096 ? 1 : 2;
} catch (const std::exception& e) {
  std::fprintf(stderr, "  %s\n", e.what());
  return 2;
}

// What is wrong; empty if nothing is.
std::string explode(const Bomb& bomb) {
  const std::string text = bomb.text();
  const pid_t child = fork();
  if (child == 0) {
    if (limited) {
      const rlimit memory{most_bytes, most_bytes}, seconds{most_seconds, most_seconds};
      setrlimit(RLIMIT_DATA, &memory);
      setrlimit(RLIMIT_CPU, &seconds);
    }
    _exit(read(text));
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return "no process for it";
  if (WIFSIGNALED(status)) return fmt::format("ended by signal {}", WTERMSIG(status));
  const int wanted = bomb.refused ? 1 : 0;
  if (WEXITSTATUS(status) == wanted) return {};
  return fmt::format("exit status {}, not {}", WEXITSTATUS(status), wanted);
}

}  // namespace

int main() {
  int failed = 0;
  for (const Bomb& bomb : bombs()) {
    const std::string found = explode(bomb);
    fmt::print("{}: {}\n", bomb.name, found.empty() ? "good" : found);
    std::fflush(stdout);
    failed += !found.empty();
  }
  return failed ? 1 : 0;
}
