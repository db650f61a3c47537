#include "tools/sinter/fuzz/isolate.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sinter/error.h>

#include "tools/sinter/fuzz/judge.h"

namespace sinter::fuzz {

namespace {

constexpr double kJudgePatience = 60;
constexpr char kThrown[] = "\x02";

void write_line(int fd, std::string line) {
  for (char& c : line) {
    if (c == '\n') c = ' ';
  }
  line += '\n';
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t count = write(fd, line.data() + done, line.size() - done);
    if (count <= 0) _exit(1);
    done += static_cast<size_t>(count);
  }
}

// Processor time that a child has used.
double cpu_seconds(pid_t child) {
  clockid_t clock;
  timespec time{};
  if (clock_getcpuclockid(child, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

[[noreturn]] void be_child(const std::function<void(const Emit&)>& work, int fd) {
  // A core dump of a thousand crashes helps nobody: the trial itself is what gets kept.
  for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) std::signal(signal, SIG_DFL);
  try {
    work([fd](std::string_view line) { write_line(fd, std::string(line)); });
  } catch (const std::exception& e) {
    write_line(fd, kThrown + std::string(e.what()));
  }
  // Not exit: what the parent has buffered is not this process's to flush.
  _exit(0);
}

}  // namespace

Ending run_apart(const std::function<void(const Emit&)>& work,
                 const std::function<void(std::string_view)>& on_line, double patience_s) {
  int ends[2];
  SINTER_CHECK(pipe(ends) == 0, "pipe: {}", std::strerror(errno));
  const pid_t child = fork();
  SINTER_CHECK(child >= 0, "fork: {}", std::strerror(errno));
  if (child == 0) {
    close(ends[0]);
    be_child(work, ends[1]);
  }
  close(ends[1]);
  Ending ending;
  std::string pending;
  char buffer[4096];
  int silences = 0;
  double used = 0;
  while (true) {
    pollfd ready{ends[0], POLLIN, 0};
    const int count = poll(&ready, 1, static_cast<int>(patience_s * 1000));
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) {
      // On a busy machine a process may wait long for its turn: only one that used its time hangs.
      constexpr int kLongest = 20;
      const double now = cpu_seconds(child);
      if (++silences < kLongest && now - used < patience_s / 2) continue;
      ending = {Ending::How::hung, fmt::format("no answer for {} s", patience_s)};
      kill(child, SIGKILL);
      break;
    }
    const ssize_t bytes = read(ends[0], buffer, sizeof buffer);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) break;
    silences = 0;
    used = cpu_seconds(child);
    pending.append(buffer, static_cast<size_t>(bytes));
    size_t end;
    while ((end = pending.find('\n')) != std::string::npos) {
      const std::string line = pending.substr(0, end);
      pending.erase(0, end + 1);
      if (line.starts_with(kThrown)) {
        ending = {Ending::How::crashed, line.substr(sizeof kThrown - 1)};
      } else {
        on_line(line);
      }
    }
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (ending.how == Ending::How::finished && WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    ending = {Ending::How::crashed, fmt::format("signal {} ({})", signal, strsignal(signal))};
  } else if (ending.how == Ending::How::finished && WEXITSTATUS(status) != 0) {
    ending = {Ending::How::crashed, fmt::format("exit status {}", WEXITSTATUS(status))};
  }
  return ending;
}

Verdict judge_apart(const Trial& trial) {
  Verdict verdict;
  const Ending ending =
      run_apart([&](const Emit& emit) { emit(to_line(judge(trial))); },
                [&](std::string_view line) { verdict = verdict_from_line(line); }, kJudgePatience);
  if (ending.how == Ending::How::crashed) verdict = {Kind::crashed, ending.text};
  if (ending.how == Ending::How::hung) verdict = {Kind::hung, ending.text};
  return verdict;
}

std::string to_line(const Verdict& v) {
  return fmt::format("{} {} {} {}", static_cast<int>(v.kind), v.elements, v.tight, v.message);
}

Verdict verdict_from_line(std::string_view line) {
  Verdict out;
  int kind = 0, length = 0;
  const std::string text(line);
  const int read =
      std::sscanf(text.c_str(), "%d %ld %ld %n", &kind, &out.elements, &out.tight, &length);
  SINTER_CHECK(read == 3, "\"{}\" is not a verdict", text);
  out.kind = static_cast<Kind>(kind);
  out.message = text.substr(static_cast<size_t>(length));
  return out;
}

}  // namespace sinter::fuzz
