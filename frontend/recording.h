// A recording: one function of the IR under construction, what its arguments and globals are bound
// to, and which module is being called. Values hold handles on it; see value.h for the outside.
//
//   - A recording that was merged into another forwards there: `resolve` follows the chain, so that
//     old handles stay good.
//   - The recording of a training step is `primary`: it survives every merge, and its parameters
//   are
//     known beforehand (`closed`), so that a layer that was never listed by its net is an error.
//   - Ops carry the user's line: that of the operand, or, inside a function or module of the
//   library,
//     that of the call of it (Frame::library).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include <sinter/nn.h>
#include <sinter/random.h>
#include <sinter/value.h>

#include "ir/builder.h"
#include "ir/graph.h"

namespace sinter::detail {

struct Argument {
  enum class Kind : uint8_t { input, hyper, captured };
  Kind kind = Kind::captured;
  Tensor tensor{};  // of a captured one
};

// The elements of an integer argument must be class numbers, 0 to classes - 1 or `ignore`, or,
// without `ignore`, row numbers of a table. Checked on the host before the function runs.
struct LabelCheck {
  size_t argument = 0;
  int64_t classes = 0;
  std::optional<int64_t> ignore;
  SourceLoc loc;
};

struct GlobalBinding {
  const void* identity = nullptr;
  Tensor tensor;
  bool frozen = false;  // a parameter without a gradient
};

// A function with everything it needs to run, apart from its inputs.
struct Recorded {
  ir::Module module;
  std::vector<Argument> arguments;
  std::vector<GlobalBinding> globals;
  std::vector<LabelCheck> checks;

  ir::Func& func() { return module.funcs.front(); }
  const ir::Func& func() const { return module.funcs.front(); }
};

struct Frame {
  const nn::Module* module = nullptr;
  std::string path;
  SourceLoc at;
  // Set while code of the library records: ops count as written here.
  std::optional<SourceLoc> library;
};

// A call of a module, for summary().
struct Call {
  std::string path, class_name;
  int depth = 0;
  std::optional<ir::Type> output;
  std::vector<nn::Parameter> parameters;
};

class Recording : public Recorded {
 public:
  explicit Recording(std::string name);

  bool primary = false;
  bool closed = false;
  // Of a training step: dropout drops.
  bool training = false;
  std::vector<Frame> frames{Frame{}};
  std::vector<Call> calls;
  // By identity: parameters that take the place of others, while that part of a race is recorded.
  const std::map<const void*, nn::Parameter>* stand_ins = nullptr;

  Frame& frame() { return frames.back(); }
  // The line and path that an op recorded now gets, if its operand comes from `at`.
  ir::Loc loc_for(const std::source_location& at) const;

  ir::ValueId add_argument(Argument argument, ir::Type type, const std::string& name);
  ir::ValueId capture(const Tensor& tensor);
  // The global of a parameter, made at first use under its path from `name_parameters`.
  ir::ValueId parameter(const nn::Parameter& parameter);
  ir::ValueId add_global(const std::string& name, const void* identity, const Tensor& tensor);
  ir::ValueId add_parameter(const std::string& name, const nn::Parameter& p);
  // What random numbers of a training step are a function of: the seed and the step as globals,
  // made at first use, and a stream for each use, from the path of the module at hand.
  struct Draw {
    ir::ValueId seed, step;
    int64_t stream = 0;
  };
  Draw random_draw(const Generator& generator);
  // The globals made by random_draw, the step among them; it has to advance.
  const std::vector<std::pair<std::string, Tensor>>& random_state() const { return random_state_; }
  ir::ValueId random_step() const { return random_step_; }
  void name_parameters(const std::vector<nn::Parameter>& parameters);

  std::shared_ptr<Recording> merged_into;
  std::vector<ir::ValueId> moved_to;  // by value of this recording

 private:
  ir::ValueId add_random_state(const std::string& name, uint64_t value);

  std::map<const void*, std::string> parameter_names_;
  std::map<std::string, int> draws_;  // by path
  std::map<uint64_t, ir::ValueId> random_seeds_;
  ir::ValueId random_step_;
  std::vector<std::pair<std::string, Tensor>> random_state_;
};

// Moves everything in `from` to the end of `to`; handles on `from` forward from now on.
void merge(const std::shared_ptr<Recording>& from, const std::shared_ptr<Recording>& to);

// Only what `results` need, as a function of its own.
Recorded slice(const Recording& recording, const std::vector<ir::ValueId>& results);

// The first row whose label is out of range, or -1; `labels` has an integer dtype, contiguous.
int64_t first_bad_label(const LabelCheck& check, const Tensor& labels);
[[noreturn]] void refuse_label(const LabelCheck& check, const Tensor& labels, int64_t row,
                               const char* name, const SourceLoc& at);

// Sorts the operands of one user function into one recording and records ops there. Ops get the
// line of `at`, or of the library call that is going on.
class Recorder {
 public:
  using Operands = std::span<const Operand* const>;
  Recorder(Operands operands, const std::source_location& at);
  Recorder(std::initializer_list<const Operand*> operands, const std::source_location& at)
      : Recorder(Operands(operands.begin(), operands.size()), at) {}
  explicit Recorder(std::initializer_list<const Operand*> operands);

  // Operand i. A number becomes a constant of the dtype of the other operands.
  ir::Expr operator[](size_t i);
  ir::Builder& builder() { return builder_; }
  Recording& recording() { return *recording_; }
  const ir::Loc& loc() const { return builder_.loc(); }
  bool is_number(size_t i) const { return !values_[i].valid(); }

  // The result; `suffix` names it after its first operand, as "hidden.relu".
  Value done(ir::Expr e, std::string_view suffix = {});

  // Follows merges; Error for a value that holds nothing.
  static std::pair<std::shared_ptr<Recording>, ir::ValueId> resolve(const Value& value);
  static Value make(std::shared_ptr<Recording> recording, ir::ValueId id);

 private:
  std::shared_ptr<Recording> recording_;
  std::vector<ir::ValueId> values_;
  std::vector<double> numbers_;
  DType dtype_ = DType::f32;
  ir::Builder builder_;

  static std::shared_ptr<Recording> join(Operands operands);
};

// While it lives, ops count as written at `at` (or where an outer library call is).
class LibraryCall {
 public:
  LibraryCall(std::shared_ptr<Recording> recording, const SourceLoc& at);
  // The call of the library module that is going on.
  explicit LibraryCall(const Value& input);
  ~LibraryCall();
  LibraryCall(const LibraryCall&) = delete;
  LibraryCall& operator=(const LibraryCall&) = delete;

 private:
  std::shared_ptr<Recording> recording_;
  bool set_ = false;
};

// While it lives, ops belong to `module`, called at the line of `x`.
class ModuleCall {
 public:
  ModuleCall(std::shared_ptr<Recording> recording, const nn::Module& module,
             const std::source_location& at);
  ~ModuleCall();
  ModuleCall(const ModuleCall&) = delete;
  ModuleCall& operator=(const ModuleCall&) = delete;
  // Names the result after the module.
  Value finish(const Value& result);

 private:
  std::shared_ptr<Recording> recording_;
  std::string path_;
  size_t call_;
  size_t first_value_;
};

// The recording at the end of the chain of merges.
std::shared_ptr<Recording> root(std::shared_ptr<Recording> recording);

// Runs `f`; an Error without a line gets that of `loc`.
template <class F>
auto located(const ir::Loc& loc, F f) {
  try {
    return f();
  } catch (Error& e) {
    if (!e.loc() && loc.known()) e.at(loc.source());
    throw;
  }
}

}  // namespace sinter::detail
