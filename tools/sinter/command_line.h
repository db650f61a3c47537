// The command line of `sinter` and of its subcommands. CLI11 reads it, and stays in one file: every
// file that includes it takes seven seconds to compile, and each subcommand has its own.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace sinter::command {

// An argument, and what is accepted for it; anything else is a usage error that names it.
class Argument {
 public:
  Argument& required();
  Argument& required_unless(const Argument& other);
  Argument& needs(const Argument& other);
  Argument& positive();
  Argument& non_negative();
  Argument& between(int first, int last);
  Argument& one_of(const std::vector<std::string>& names);
  Argument& existing_folder();
  // Values of a list may also be written as a,b,c.
  Argument& comma_separated();

 private:
  friend class CommandLine;
  explicit Argument(CLI::Option* option) : option_(option) {}

  CLI::Option* option_;
};

// The arguments of the program, or of one of its subcommands.
class CommandLine {
 public:
  CommandLine(const std::string& program, const std::string& description);
  ~CommandLine();

  CommandLine subcommand(const std::string& name, const std::string& description);

  // "--name" takes a value, "NAME" is known by its place. `value` must outlive the parsing and
  // keeps its content where the argument is left out. T is text or a number, or a std::optional or
  // std::vector of one.
  template <class T>
  Argument option(const std::string& names, T& value, const std::string& help);
  // A switch that takes no value; "!--name" sets `value` to false.
  Argument flag(const std::string& names, bool& value, const std::string& help);
  // What --help ends with.
  void footer(const std::string& text);
  // What the program does where this subcommand is given; returns its exit status.
  void runs(std::function<int()> action);

  // Returns the exit status where there is nothing to run: help was asked for and is printed, or
  // the arguments are wrong and the mistake is on stderr. Else action() is what to run.
  std::optional<int> parse(int argc, char** argv);
  const std::function<int()>& action() const;

 private:
  struct Program;
  CommandLine(std::shared_ptr<Program> program, CLI::App* app);

  std::shared_ptr<Program> program_;
  CLI::App* app_;
};

}  // namespace sinter::command
