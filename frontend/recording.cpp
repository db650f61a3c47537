#include "frontend/recording.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sinter/error.h>

#include "ir/op.h"

namespace sinter::detail {

namespace {

// Only the base name: the text of a recording must not depend on where a program was built.
SourceLoc place(const std::source_location& at) {
  SourceLoc out = SourceLoc::from(at);
  out.file = std::string(out.base_name());
  return out;
}

ir::Loc line_of(const std::source_location& at) {
  const SourceLoc where = place(at);
  return {where.file, where.line, {}};
}

bool same_tensor(const Tensor& a, const Tensor& b) {
  return a.raw() == b.raw() && a.dtype() == b.dtype() && a.shape() == b.shape() &&
         a.strides() == b.strides();
}

ir::Type type_of(const Tensor& tensor) {
  ir::Type out{tensor.dtype(), {}};
  for (int64_t size : tensor.shape()) out.shape.emplace_back(size);
  return out;
}

// A number as a constant of f32: the shortest decimal that is this f32, so that 0.2f prints as 0.2.
double constant_of(double number, DType dtype) {
  if (dtype != DType::f32) return number;
  const auto narrow = static_cast<float>(number);
  return std::strtod(fmt::format("{}", narrow).c_str(), nullptr);
}

}  // namespace

Recording::Recording(std::string name) {
  module.funcs.emplace_back();
  func().name = std::move(name);
}

ir::Loc Recording::loc_for(const std::source_location& at) const {
  const Frame& top = frames.back();
  const SourceLoc where = top.library ? *top.library : place(at);
  return {where.file, where.line, top.path};
}

ir::ValueId Recording::add_argument(Argument argument, ir::Type type, const std::string& name) {
  arguments.push_back(std::move(argument));
  return func().add_argument(std::move(type), func().unique_name(name));
}

ir::ValueId Recording::capture(const Tensor& tensor) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].kind == Argument::Kind::captured && same_tensor(arguments[i].tensor, tensor)) {
      return func().args[i];
    }
  }
  return add_argument({Argument::Kind::captured, tensor}, type_of(tensor), "tensor");
}

ir::ValueId Recording::add_global(const std::string& name, const void* identity,
                                  const Tensor& tensor) {
  std::string wanted = name;
  for (int i = 2; module.find_global(wanted) >= 0; ++i) wanted = fmt::format("{}_{}", name, i);
  const int index = module.add_global(wanted, type_of(tensor));
  globals.push_back({identity, tensor});
  return module.global_value(func(), index);
}

ir::ValueId Recording::add_parameter(const std::string& name, const nn::Parameter& p) {
  const ir::ValueId id = add_global(name, p.identity(), p.value());
  globals.back().frozen = !p.requires_grad();
  return id;
}

ir::ValueId Recording::parameter(const nn::Parameter& p) {
  if (stand_ins != nullptr) {
    const auto other = stand_ins->find(p.identity());
    if (other != stand_ins->end() && !other->second.same_as(p)) return parameter(other->second);
  }
  for (size_t i = 0; i < globals.size(); ++i) {
    if (globals[i].identity == p.identity()) {
      return module.global_value(func(), static_cast<int>(i));
    }
  }
  if (closed) {
    throw Error("the parameter {} : {} belongs to a module that the net does not list", p.name(),
                p.value().type_string())
        .help("add the module in the constructor of its owner, as in add(\"hidden\", hidden)");
  }
  const auto known = parameter_names_.find(p.identity());
  std::string name = p.name();
  if (known != parameter_names_.end()) {
    name = known->second;
  } else if (!frame().path.empty()) {
    name = frame().path + "." + name;
  }
  return add_parameter(name, p);
}

ir::ValueId Recording::add_random_state(const std::string& name, uint64_t value) {
  const Tensor tensor = Tensor::scalar(static_cast<int64_t>(value));
  const ir::ValueId id = add_global(name, tensor.raw(), tensor);
  random_state_.emplace_back(module.globals.back().name, tensor);
  return id;
}

Recording::Draw Recording::random_draw(const Generator& generator) {
  if (!random_step_.valid()) random_step_ = add_random_state("random.step", 0);
  ir::ValueId& seed = random_seeds_[generator.seed()];
  if (!seed.valid()) seed = add_random_state("random.seed", generator.seed());
  const std::string& path = frame().path;
  const int use = draws_[path]++;
  // A module that is called twice draws twice.
  const std::string purpose = use == 0 ? path : fmt::format("{}#{}", path, use + 1);
  return {seed, random_step_, stream_id(purpose)};
}

void Recording::name_parameters(const std::vector<nn::Parameter>& parameters) {
  for (const nn::Parameter& p : parameters) parameter_names_.emplace(p.identity(), p.name());
}

std::shared_ptr<Recording> root(std::shared_ptr<Recording> recording) {
  while (recording->merged_into) recording = recording->merged_into;
  return recording;
}

void merge(const std::shared_ptr<Recording>& from, const std::shared_ptr<Recording>& to) {
  if (from->primary) {
    throw Error("values of two training steps cannot be combined")
        .help("compute with what this step's forward() and loss are given");
  }
  ir::Func& source = from->func();
  ir::Func& target = to->func();
  std::vector<ir::ValueId>& moved = from->moved_to;
  moved.assign(source.values.size(), {});
  const auto at = [&](ir::ValueId v) -> ir::ValueId& {
    return moved[static_cast<size_t>(v.index)];
  };
  for (size_t i = 0; i < source.args.size(); ++i) {
    at(source.args[i]) = to->capture(from->arguments[i].tensor);
  }
  for (size_t i = 0; i < from->globals.size(); ++i) {
    GlobalBinding global = from->globals[i];
    if (to->stand_ins != nullptr) {
      const auto other = to->stand_ins->find(global.identity);
      if (other != to->stand_ins->end()) {
        global = {other->second.identity(), other->second.value(), global.frozen};
      }
    }
    ir::ValueId found;
    for (size_t k = 0; k < to->globals.size() && !found.valid(); ++k) {
      if (to->globals[k].identity == global.identity) {
        found = to->module.global_value(target, static_cast<int>(k));
      }
    }
    if (!found.valid()) {
      found = to->add_global(from->module.globals[i].name, global.identity, global.tensor);
      to->globals.back().frozen = global.frozen;
    }
    if (i < source.global_values.size() && source.global_values[i].valid()) {
      at(source.global_values[i]) = found;
    }
  }
  for (ir::Op& op : source.body) {
    for (ir::ValueId& v : op.operands) v = at(v);
    if (op.result.valid()) {
      ir::ValueInfo& info = source[op.result];
      const std::string name = info.name.empty() ? "" : target.unique_name(info.name);
      ir::ValueId& id = at(op.result);
      id = target.add_value(info.type, name, ir::ValueDef::op);
      op.result = id;
    }
    if (op.loc.scope.empty()) op.loc.scope = to->frame().path;
    target.body.push_back(std::move(op));
  }
  for (LabelCheck check : from->checks) {
    const ir::ValueId argument = at(source.args[check.argument]);
    check.argument = static_cast<size_t>(target[argument].index);
    to->checks.push_back(std::move(check));
  }
  to->frames.insert(to->frames.end(), from->frames.begin() + 1, from->frames.end());
  to->calls.insert(to->calls.end(), from->calls.begin(), from->calls.end());
  from->merged_into = to;
}

Recorded slice(const Recording& recording, const std::vector<ir::ValueId>& results) {
  Recorded out{recording.module, recording.arguments, recording.globals, recording.checks};
  ir::Func& func = out.func();
  std::vector<bool> needed(func.values.size(), false);
  const auto need = [&](ir::ValueId v) { needed[static_cast<size_t>(v.index)] = true; };
  for (ir::ValueId v : results) need(v);
  std::vector<ir::Op> body;
  for (size_t i = func.body.size(); i-- > 0;) {
    ir::Op& op = func.body[i];
    if (!op.result.valid() || !needed[static_cast<size_t>(op.result.index)]) continue;
    for (ir::ValueId v : op.operands) need(v);
    body.push_back(std::move(op));
  }
  std::reverse(body.begin(), body.end());
  func.body = std::move(body);
  func.results = results;

  std::vector<size_t> new_index(func.args.size(), func.args.size());
  std::vector<ir::ValueId> args;
  std::vector<Argument> arguments;
  for (size_t i = 0; i < func.args.size(); ++i) {
    if (!needed[static_cast<size_t>(func.args[i].index)]) continue;
    new_index[i] = args.size();
    func[func.args[i]].index = static_cast<int32_t>(args.size());
    args.push_back(func.args[i]);
    arguments.push_back(out.arguments[i]);
  }
  std::vector<LabelCheck> checks;
  for (LabelCheck check : out.checks) {
    check.argument = new_index[check.argument];
    if (check.argument < args.size()) checks.push_back(std::move(check));
  }
  func.args = std::move(args);
  out.arguments = std::move(arguments);
  out.checks = std::move(checks);
  ir::compact(func);
  return out;
}

int64_t first_bad_label(const LabelCheck& check, const Tensor& labels) {
  const auto scan = [&]<class T>(const T* data) -> int64_t {
    const auto classes = static_cast<uint64_t>(check.classes);
    for (int64_t row = 0; row < labels.numel(); ++row) {
      const auto label = static_cast<int64_t>(data[row]);
      // One comparison on the common path: a negative label is a huge unsigned number.
      if (static_cast<uint64_t>(label) < classes || (check.ignore && label == *check.ignore)) {
        continue;
      }
      return row;
    }
    return -1;
  };
  return labels.dtype() == DType::i64 ? scan(static_cast<const int64_t*>(labels.raw()))
                                      : scan(static_cast<const int32_t*>(labels.raw()));
}

void refuse_label(const LabelCheck& check, const Tensor& labels, int64_t row, const char* name,
                  const SourceLoc& at) {
  const int64_t label = labels.dtype() == DType::i64
                            ? static_cast<const int64_t*>(labels.raw())[row]
                            : static_cast<const int32_t*>(labels.raw())[row];
  Error error = check.ignore ? Error("label {} in row {} is not one of the {} classes, 0 to {}",
                                     label, row, check.classes, check.classes - 1)
                             : Error("index {} at position {} is outside the table of {} rows",
                                     label, row, check.classes);
  error.at(at).note("{} : {}", name, labels.type_string());
  if (check.loc.known()) error.note("used at {}", check.loc.to_string());
  if (!check.ignore) throw error.help("use indices from 0 to {}", check.classes - 1);
  if (label == check.classes) {
    throw error.help(
        "classes count from 0: subtract 1 from the labels, or give the last layer one "
        "more output");
  }
  throw error.help("give the last layer one output for each class, or label rows to leave out {}",
                   *check.ignore);
}

std::pair<std::shared_ptr<Recording>, ir::ValueId> Recorder::resolve(const Value& value) {
  if (!value.recording_) {
    throw Error("this value is empty").help("use what an op or a module returned");
  }
  std::shared_ptr<Recording> recording = value.recording_;
  ir::ValueId id{value.id_};
  while (recording->merged_into) {
    id = recording->moved_to[static_cast<size_t>(id.index)];
    recording = recording->merged_into;
  }
  return {recording, id};
}

Value Recorder::make(std::shared_ptr<Recording> recording, ir::ValueId id) {
  Value out;
  out.recording_ = std::move(recording);
  out.id_ = id.index;
  return out;
}

std::shared_ptr<Recording> Recorder::join(Operands operands) {
  std::vector<std::shared_ptr<Recording>> all;
  for (const Operand* o : operands) {
    if (o->kind_ == Operand::Kind::value) {
      all.push_back(located(line_of(o->at()), [&] { return resolve(o->value_).first; }));
    }
  }
  if (all.empty()) return std::make_shared<Recording>("eval");
  std::shared_ptr<Recording> to = all.front();
  for (const auto& r : all) {
    if (r->primary && !to->primary) to = r;
  }
  for (const auto& r : all) {
    const std::shared_ptr<Recording> from = root(r);
    if (from != to) {
      located(line_of((*operands.begin())->at()), [&] { return merge(from, to); });
    }
  }
  return to;
}

Recorder::Recorder(std::initializer_list<const Operand*> operands)
    : Recorder(operands, (*operands.begin())->at()) {}

Recorder::Recorder(Operands operands, const std::source_location& at)
    : recording_(join(operands)), builder_(recording_->module, recording_->func()) {
  builder_.set_loc(recording_->loc_for(at));
  bool typed = false;
  for (const Operand* o : operands) {
    ir::ValueId id;
    switch (o->kind_) {
      case Operand::Kind::value:
        id = resolve(o->value_).second;
        break;
      case Operand::Kind::tensor:
        id = recording_->capture(*o->tensor_);
        break;
      case Operand::Kind::parameter:
        id = located(loc(), [&] { return recording_->parameter(*o->parameter_); });
        break;
      case Operand::Kind::number:
        break;
    }
    values_.push_back(id);
    numbers_.push_back(o->number_);
    if (id.valid()) {
      // The condition of `where` says nothing about its numbers.
      const DType dtype = recording_->func().type(id).dtype;
      if (!typed && dtype != DType::boolean) {
        dtype_ = dtype;
        typed = true;
      }
    }
  }
}

ir::Expr Recorder::operator[](size_t i) {
  if (!values_[i].valid()) {
    if (!is_float(dtype_) &&
        numbers_[i] != static_cast<double>(static_cast<int64_t>(numbers_[i]))) {
      throw Error("the number {} meets {} values and would lose its fraction", numbers_[i], dtype_)
          .at(loc().source())
          .help("convert the values first, as in cast(x, DType::f32)");
    }
    values_[i] = builder_.scalar(constant_of(numbers_[i], dtype_), dtype_).id();
  }
  return {builder_, values_[i]};
}

Value Recorder::done(ir::Expr e, std::string_view suffix) {
  ir::Func& func = recording_->func();
  ir::ValueInfo& info = func[e.id()];
  if (!suffix.empty() && info.def == ir::ValueDef::op && info.name.empty() && !values_.empty() &&
      values_[0].valid() && !func[values_[0]].name.empty()) {
    info.name = func.unique_name(fmt::format("{}.{}", func[values_[0]].name, suffix));
  }
  return make(recording_, e.id());
}

LibraryCall::LibraryCall(std::shared_ptr<Recording> recording, const SourceLoc& at)
    : recording_(std::move(recording)) {
  std::optional<SourceLoc>& library = recording_->frame().library;
  set_ = !library;
  if (set_) library = SourceLoc{std::string(at.base_name()), at.line};
}

LibraryCall::LibraryCall(const Value& input)
    : LibraryCall(Recorder::resolve(input).first, Recorder::resolve(input).first->frame().at) {}

LibraryCall::~LibraryCall() {
  if (set_) root(recording_)->frame().library.reset();
}

namespace {

// The path of `wanted` below `from`: "encoder.hidden"; nothing if `from` does not list it.
std::optional<std::string> path_below(const nn::Module& from, const nn::Module& wanted) {
  for (const nn::Module::Child& child : from.children()) {
    if (child.module == &wanted) return child.name;
    if (const auto rest = path_below(*child.module, wanted)) return child.name + "." + *rest;
  }
  return std::nullopt;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool all_digits(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

}  // namespace

ModuleCall::ModuleCall(std::shared_ptr<Recording> recording, const nn::Module& module,
                       const std::source_location& at)
    : recording_(std::move(recording)) {
  const Frame& top = recording_->frame();
  const ir::Loc loc = recording_->loc_for(at);
  if (top.module == nullptr) {
    recording_->name_parameters(module.parameters());
  } else {
    path_ = path_below(*top.module, module).value_or(lower(module.class_name()));
    if (!top.path.empty()) path_ = top.path + "." + path_;
  }
  call_ = recording_->calls.size();
  first_value_ = recording_->func().values.size();
  recording_->calls.push_back({path_, module.class_name(),
                               static_cast<int>(recording_->frames.size()) - 1, std::nullopt,
                               module.parameters()});
  recording_->frames.push_back({&module, path_, loc.source(), std::nullopt});
}

ModuleCall::~ModuleCall() { root(recording_)->frames.pop_back(); }

Value ModuleCall::finish(const Value& result) {
  const auto [recording, id] = Recorder::resolve(result);
  ir::Func& func = recording->func();
  ir::ValueInfo& info = func[id];
  if (recording == recording_) recording->calls[call_].output = info.type;
  const bool made_here = info.def == ir::ValueDef::op && recording == recording_ &&
                         static_cast<size_t>(id.index) >= first_value_;
  if (made_here && !path_.empty()) {
    info.name.clear();
    // A value must not have the name of a number.
    info.name = func.unique_name(
        all_digits(path_) ? path_ + "." + lower(recording->frame().module->class_name()) : path_);
  }
  return result;
}

}  // namespace sinter::detail
