#include "tools/sinter/command_line.h"

#include <cstdint>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sinter/error.h>

#include "ir/text/lex.h"
#include "tools/sinter/command.h"

namespace sinter::command {

namespace {

// Where CLI11's own check prints the largest double in full, this one says what is wanted.
CLI::Validator number(const std::string& type, const std::string& wanted, bool (*good)(double)) {
  const auto check = [=](const std::string& text) -> std::string {
    double x = 0;
    if (CLI::detail::lexical_cast(text, x) && good(x)) return {};
    return "must be a number " + wanted + ", not " + text;
  };
  return {check, type};
}

}  // namespace

Argument& Argument::required() {
  option_->required();
  return *this;
}

Argument& Argument::required_unless(const Argument& other) {
  // CLI11 reads all values, and calls this, before it looks for what is missing.
  CLI::Option* unless = other.option_;
  unless->each([option = option_](const std::string&) { option->required(false); });
  return required();
}

Argument& Argument::needs(const Argument& other) {
  option_->needs(other.option_);
  return *this;
}

Argument& Argument::positive() {
  option_->check(number("POSITIVE", "greater than 0", [](double x) { return x > 0; }));
  return *this;
}

Argument& Argument::non_negative() {
  option_->check(number("NONNEGATIVE", "at least 0", [](double x) { return x >= 0; }));
  return *this;
}

Argument& Argument::between(int first, int last) {
  option_->check(CLI::Range(first, last));
  return *this;
}

Argument& Argument::one_of(const std::vector<std::string>& names) {
  option_->check(CLI::IsMember(names));
  return *this;
}

Argument& Argument::existing_folder() {
  option_->check(CLI::ExistingDirectory);
  return *this;
}

Argument& Argument::comma_separated() {
  option_->delimiter(',');
  return *this;
}

struct CommandLine::Program {
  CLI::App app;
  std::function<int()> action;
};

CommandLine::CommandLine(const std::string& program, const std::string& description)
    : program_(std::make_shared<Program>()), app_(&program_->app) {
  app_->name(program);
  app_->description(description);
  app_->require_subcommand(1);
}

CommandLine::CommandLine(std::shared_ptr<Program> program, CLI::App* app)
    : program_(std::move(program)), app_(app) {}

CommandLine::~CommandLine() = default;

CommandLine CommandLine::subcommand(const std::string& name, const std::string& description) {
  return {program_, app_->add_subcommand(name, description)};
}

template <class T>
Argument CommandLine::option(const std::string& names, T& value, const std::string& help) {
  return Argument(app_->add_option(names, value, help));
}

template Argument CommandLine::option(const std::string&, int&, const std::string&);
template Argument CommandLine::option(const std::string&, int64_t&, const std::string&);
template Argument CommandLine::option(const std::string&, uint64_t&, const std::string&);
template Argument CommandLine::option(const std::string&, double&, const std::string&);
template Argument CommandLine::option(const std::string&, std::string&, const std::string&);
template Argument CommandLine::option(const std::string&, std::optional<int>&, const std::string&);
template Argument CommandLine::option(const std::string&, std::optional<int64_t>&,
                                      const std::string&);
template Argument CommandLine::option(const std::string&, std::optional<double>&,
                                      const std::string&);
template Argument CommandLine::option(const std::string&, std::optional<std::string>&,
                                      const std::string&);
template Argument CommandLine::option(const std::string&, std::vector<int64_t>&,
                                      const std::string&);
template Argument CommandLine::option(const std::string&, std::vector<std::string>&,
                                      const std::string&);

Argument CommandLine::flag(const std::string& names, bool& value, const std::string& help) {
  return Argument(app_->add_flag(names, value, help));
}

void CommandLine::footer(const std::string& text) { app_->footer(text); }

void CommandLine::runs(std::function<int()> action) {
  app_->callback(
      [program = program_.get(), action = std::move(action)] { program->action = action; });
}

std::optional<int> CommandLine::parse(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::RequiredError& e) {
    const std::vector<std::string> unknown =
        app_->get_subcommands().empty() ? app_->remaining() : std::vector<std::string>();
    if (unknown.empty()) return app_->exit(e), exit_usage;
    std::vector<std::string> names;
    for (const CLI::App* sub : app_->get_subcommands({})) names.push_back(sub->get_name());
    const std::string near = ir::closest(unknown[0], {names.begin(), names.end()});
    const Error error =
        Error("no subcommand is named {}", unknown[0])
            .help(near.empty()
                      ? fmt::format("there are {}; run sinter --help", fmt::join(names, ", "))
                      : fmt::format("did you mean {}? All are in sinter --help", near));
    fmt::print(stderr, "{}\n", error.what());
    return exit_usage;
  } catch (const CLI::ParseError& e) {
    // --help comes here too, as an error without a code.
    return app_->exit(e) == 0 ? exit_good : exit_usage;
  }
}

const std::function<int()>& CommandLine::action() const { return program_->action; }

}  // namespace sinter::command
