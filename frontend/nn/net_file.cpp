#include "frontend/nn/net_file.h"

#include <charconv>
#include <set>

#include <fmt/format.h>

#include <sinter/error.h>
#include <sinter/safetensors.h>

#include "ir/text/text.h"

namespace sinter::detail {

namespace {

constexpr int64_t version = 1;
// A graph in memory takes up to 30 times the bytes of its text.
constexpr size_t max_ir = size_t{1} << 21;
constexpr uint64_t max_rows = uint64_t{1} << 31;
constexpr const char* written_by = "write it with save_net() or Trainer::save_checkpoint()";

std::string captured_name(const ir::Func& func, const ir::ValueInfo& argument) {
  return fmt::format("{}.%{}", func.name, argument.name);
}

std::string hyper_name(const std::string& name) { return "hyper.%" + name; }

void add_captured(StateDict& tensors, const Recorded& recorded) {
  const ir::Func& func = recorded.func();
  for (size_t i = 0; i < func.args.size(); ++i) {
    if (recorded.arguments[i].kind != Argument::Kind::captured) continue;
    tensors.add(captured_name(func, func[func.args[i]]), recorded.arguments[i].tensor);
  }
}

// Takes a file apart. Every tensor that something needs is taken once; what is left is too much.
class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path), file_(read_safetensors(path)) {}

  NetFile read() {
    const auto text = file_.metadata.find("sinter.ir");
    if (text == file_.metadata.end()) {
      throw Error("{} holds tensors but no net", path_)
          .help("make the net and call net.load_state_dict(load(path)), or {}", written_by);
    }
    if (number("sinter.version", max_rows) != version) {
      throw Error("{} has version {} of the format; this is version {}", path_,
                  file_.metadata.at("sinter.version"), version)
          .help("read it with the Sinter that wrote it");
    }
    if (text->second.size() > max_ir) {
      throw Error("the IR in {} has {} bytes; at most {} are read", path_, text->second.size(),
                  max_ir)
          .help(written_by);
    }
    module_ = ir::parse(text->second, path_);
    // The graph stands for it from here on.
    text->second.clear();
    bind_globals();
    NetFile out;
    const ir::Func* step = module_.find("train_step");
    if (step != nullptr) out.parts.step = function("train_step", 2, parameters_);
    if (step != nullptr) out.parts.evaluate = function("evaluate", 2, parameters_);
    out.parts.predict = function("predict", 1, parameters_);
    check_module(out.parts);
    refuse_differences();
    for (Hyper& hyper : hypers_) out.parts.hypers.push_back(std::move(hyper));
    if (step != nullptr) {
      out.parts.max_batch = static_cast<int64_t>(number("sinter.max_batch", max_rows));
      out.parts.steps = static_cast<int64_t>(number("sinter.steps", uint64_t{1} << 62));
    }
    read_positions(out);
    return out;
  }

 private:
  // Texts of the metadata.

  std::vector<uint64_t> numbers(const std::string& key, size_t count) const {
    const auto found = file_.metadata.find(key);
    std::vector<uint64_t> out;
    if (found != file_.metadata.end()) {
      const std::string& text = found->second;
      const char* at = text.data();
      const char* const end = at + text.size();
      while (out.size() < count) {
        uint64_t value = 0;
        const auto [next, error] = std::from_chars(at, end, value);
        if (error != std::errc()) break;
        out.push_back(value);
        at = next;
        if (out.size() == count || at == end || *at != ' ') break;
        ++at;
      }
      if (at != end) out.clear();
    }
    if (out.size() == count) return out;
    throw Error("{} has no {} of {} whole number{}", path_, key, count, count == 1 ? "" : "s")
        .help(written_by);
  }

  uint64_t number(const std::string& key, uint64_t most) const {
    const uint64_t value = numbers(key, 1).front();
    if (value <= most) return value;
    throw Error("{} has {} = {}, more than {}", path_, key, value, most).help(written_by);
  }

  void read_positions(NetFile& out) const {
    if (file_.metadata.contains("sinter.generator")) {
      const std::vector<uint64_t> at = numbers("sinter.generator", 2);
      out.generator = {at[0], at[1]};
    }
    if (file_.metadata.contains("sinter.loader")) {
      const std::vector<uint64_t> at = numbers("sinter.loader", 3);
      if (std::max(at[1], at[2]) >= uint64_t{1} << 62) {
        throw Error("{} has sinter.loader = {} {} {}", path_, at[0], at[1], at[2]).help(written_by);
      }
      out.loader = {at[0], static_cast<int64_t>(at[1]), static_cast<int64_t>(at[2])};
    }
  }

  // Tensors.

  Tensor take(const std::string& name, const ir::Type& type) {
    const Tensor* tensor = file_.tensors.find(name);
    if (tensor == nullptr) {
      notes_.push_back(fmt::format("missing {} : {}", name, ir::to_string(type)));
      return {};
    }
    taken_.insert(name);
    if (type.follows_batch() || tensor->dtype() != type.dtype || tensor->shape() != type.dims(1)) {
      notes_.push_back(
          fmt::format("{} : {} instead of {}", name, tensor->type_string(), ir::to_string(type)));
    }
    return *tensor;
  }

  void bind_globals() {
    for (const ir::Global& global : module_.globals) {
      // The tensors are the buffers that training updates.
      globals_.push_back({nullptr, take(global.name, global.type)});
      globals_.back().identity = globals_.back().tensor.raw();
    }
    parameters_ = number("sinter.parameters", globals_.size());
  }

  void refuse_differences() {
    for (const auto& [name, tensor] : file_.tensors) {
      if (!taken_.contains(name)) {
        notes_.push_back(fmt::format("extra {} : {}", name, tensor.type_string()));
      }
    }
    if (notes_.empty()) return;
    Error error("the tensors in {} do not fit its IR", path_);
    for (const std::string& note : notes_) error.note(note);
    throw error.help(written_by);
  }

  // Functions.

  Error wrong(const ir::Func& func, std::string_view what) const {
    return Error("@{} in {} {}", func.name, path_, what).help(written_by);
  }

  static bool is_rows(const ir::Type& type) {
    for (size_t i = 0; i < type.shape.size(); ++i) {
      if (i == 0 ? type.shape[i] != ir::batch_dim : type.shape[i].batch) return false;
    }
    return type.rank() > 0;
  }

  // The function as if it had just been recorded. Its first `inputs` arguments are batches.
  Recorded function(const std::string& name, size_t inputs, size_t parameters) {
    const ir::Func* func = module_.find(name);
    if (func == nullptr) throw Error("{} has no @{}", path_, name).help(written_by);
    const bool is_step = name == "train_step";
    Recorded out{{module_.globals, {*func}}, {}, globals_, {}};
    if (!is_step) {
      out.module.globals.resize(parameters);
      out.globals.resize(parameters);
    }
    for (size_t i = 0; i < func->args.size(); ++i) {
      const ir::ValueInfo& argument = (*func)[func->args[i]];
      const bool scalar = argument.type.is_scalar() && is_float(argument.type.dtype);
      if (i < inputs) {
        if (!is_rows(argument.type)) throw wrong(*func, "has an input that is no batch of rows");
        out.arguments.push_back({Argument::Kind::input});
      } else if (is_step && scalar && file_.tensors.contains(hyper_name(argument.name))) {
        const Tensor value = take(hyper_name(argument.name), {DType::f64, {}});
        hypers_.push_back({argument.name, value.numel() == 1 ? value.item() : 0});
        out.arguments.push_back({Argument::Kind::hyper});
      } else {
        const Tensor value = take(captured_name(*func, argument), argument.type);
        out.arguments.push_back({Argument::Kind::captured, value});
      }
    }
    if (func->args.size() < inputs) throw wrong(*func, "has too few arguments");
    check_body(*func, is_step ? module_.globals.size() : parameters, is_step);
    out.checks = label_checks(*func);
    return out;
  }

  void check_body(const ir::Func& func, size_t globals, bool may_assign) const {
    if (func.planned() || func.results.empty()) throw wrong(func, "is not a recorded function");
    for (const ir::Op& op : func.body) {
      if (op.kind == ir::OpKind::kernel || op.kind == ir::OpKind::barrier) {
        throw wrong(func, "is not a recorded function");
      }
      if (op.kind == ir::OpKind::assign && !may_assign) {
        throw wrong(func, "assigns to a parameter");
      }
    }
    for (size_t i = globals; i < func.global_values.size(); ++i) {
      if (func.global_values[i].valid()) throw wrong(func, "reads the state of the optimizer");
    }
  }

  void check_module(const TrainerParts& parts) const {
    const ir::Func& predict = parts.predict.func();
    if (predict.results.size() != 1) throw wrong(predict, "has several results");
    if (!parts.step) return;
    const ir::Func &step = parts.step->func(), &evaluate = parts.evaluate->func();
    bool alike = step.results.size() == evaluate.results.size() &&
                 step.type(step.args[0]) == predict.type(predict.args[0]);
    for (size_t i = 0; i < 2; ++i) {
      alike = alike && step.type(step.args[i]) == evaluate.type(evaluate.args[i]);
    }
    for (size_t i = 0; i < step.results.size() && alike; ++i) {
      const ir::Type& type = step.type(step.results[i]);
      alike =
          type.is_scalar() && is_float(type.dtype) && type == evaluate.type(evaluate.results[i]);
    }
    if (!alike) throw wrong(step, "does not fit the other functions");
  }

  // What the library checks of integer arguments before a step runs. Compiled code clamps, so an op
  // that is not listed here loses a message, nothing else.
  static std::vector<LabelCheck> label_checks(const ir::Func& func) {
    std::vector<LabelCheck> out;
    for (const ir::Op& op : func.body) {
      const bool labels = op.kind == ir::OpKind::cross_entropy;
      if (!labels && op.kind != ir::OpKind::gather && op.kind != ir::OpKind::scatter_add) continue;
      const ir::ValueInfo& indices = func[op.operands[1]];
      const ir::Type& table =
          op.kind == ir::OpKind::scatter_add ? func.type(op.result) : func.type(op.operands[0]);
      const ir::Dim rows = table.shape.at(labels ? 1 : 0);
      if (rows.batch || indices.def != ir::ValueDef::argument || !is_int(indices.type.dtype)) {
        continue;
      }
      LabelCheck check{static_cast<size_t>(indices.index), rows.scale, std::nullopt,
                       op.loc.source()};
      if (labels) check.ignore = op.attrs.integer("ignore_index");
      out.push_back(check);
    }
    return out;
  }

  std::string path_;
  SafetensorsFile file_;
  ir::Module module_;
  std::vector<GlobalBinding> globals_;
  std::vector<Hyper> hypers_;
  size_t parameters_ = 0;
  std::set<std::string> taken_;
  std::vector<std::string> notes_;
};

}  // namespace

ir::Module module_of(const TrainerParts& parts, bool with_evaluate) {
  ir::Module out = parts.step ? parts.step->module : parts.predict.module;
  if (parts.step && with_evaluate) out.funcs.push_back(parts.evaluate->func());
  // All record the parameters first and in the same order, so the numbers of globals agree.
  if (parts.step) out.funcs.push_back(parts.predict.func());
  return out;
}

StateDict globals_of(const Recorded& recorded) {
  StateDict out;
  for (size_t i = 0; i < recorded.globals.size(); ++i) {
    out.add(recorded.module.globals[i].name, recorded.globals[i].tensor);
  }
  return out;
}

void write_net_file(const std::string& path, const NetFile& file) {
  const TrainerParts& parts = file.parts;
  SafetensorsFile out{globals_of(parts.step ? *parts.step : parts.predict)};
  if (parts.step) add_captured(out.tensors, *parts.step);
  if (parts.step) add_captured(out.tensors, *parts.evaluate);
  add_captured(out.tensors, parts.predict);
  for (const Hyper& hyper : parts.hypers) {
    out.tensors.add(hyper_name(hyper.name), Tensor::scalar<double>(hyper.value));
  }
  std::string& text = out.metadata["sinter.ir"];
  text = ir::print(module_of(parts, true));
  // What is written here must be readable there; a layer may have a name that the text has not.
  ir::parse(text, path);
  if (text.size() > max_ir) {
    throw Error("cannot write {}: its IR has {} bytes, more than {}", path, text.size(), max_ir)
        .help("save the weights alone: save(net.state_dict(), path)");
  }
  out.metadata["sinter.version"] = std::to_string(version);
  out.metadata["sinter.parameters"] = std::to_string(parts.predict.globals.size());
  if (parts.step) {
    out.metadata["sinter.max_batch"] = std::to_string(parts.max_batch);
    out.metadata["sinter.steps"] = std::to_string(parts.steps);
  }
  if (file.generator) {
    out.metadata["sinter.generator"] =
        fmt::format("{} {}", file.generator->seed, file.generator->step);
  }
  if (file.loader) {
    out.metadata["sinter.loader"] =
        fmt::format("{} {} {}", file.loader->seed, file.loader->epoch, file.loader->batch);
  }
  write_safetensors(path, out);
}

NetFile read_net_file(const std::string& path) { return Reader(path).read(); }

}  // namespace sinter::detail
