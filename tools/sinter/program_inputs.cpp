#include "tools/sinter/program_inputs.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include <sinter/error.h>
#include <sinter/npy.h>

#include "ir/text/lex.h"
#include "tools/sinter/fuzz/trial.h"

namespace sinter::command {

namespace {

template <class From, class To>
void copy_elements(const Tensor& tensor, std::vector<To>& to) {
  const From* from = tensor.data<From>();
  for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<To>(from[i]);
}

template <class To, class From>
Tensor tensor_of(const std::vector<From>& from, const std::vector<int64_t>& dims, DType dtype) {
  Tensor out = Tensor::empty(dims, dtype);
  To* to = out.data<To>();
  for (size_t i = 0; i < from.size(); ++i) to[i] = static_cast<To>(from[i]);
  return out;
}

// n for a value of `type` with these dimensions: nothing where the type does not follow the batch.
std::optional<int64_t> rows_of(const ir::Type& type, const std::vector<int64_t>& dims,
                               const std::string& name, const std::string& path) {
  std::optional<int64_t> n;
  bool fits = type.shape.size() == dims.size();
  for (size_t i = 0; fits && i < dims.size(); ++i) {
    const ir::Dim& d = type.shape[i];
    if (!d.batch) {
      fits = dims[i] == d.scale;
    } else {
      fits = dims[i] > 0 && dims[i] % d.scale == 0 && (!n || *n == dims[i] / d.scale);
      n = dims[i] / d.scale;
    }
  }
  if (fits) return n;
  throw Error("{} is {} but {} holds [{}]", name, to_string(type), path, fmt::join(dims, ", "))
      .help("give it a file of that shape");
}

}  // namespace

void ProgramInputs::add_to(CommandLine& line) {
  line.option("--inputs", files,
              "FILE.npy for the arguments in order, or NAME=FILE.npy for one of them or a global; "
              "what is left out is random");
  line.option("--n", rows, "Rows of the batch (default: those of the inputs, or 4)").positive();
  line.option("--seed", seed, "Seed of random inputs (default 1)");
  line.option("--integers", integers, "Random integers go from 0 to one less (default 4)")
      .positive();
}

Tensor to_tensor(const ir::Array<double>& a) {
  switch (a.dtype) {
    case DType::f32:
      return tensor_of<float>(a.f, a.dims, a.dtype);
    case DType::f64:
      return tensor_of<double>(a.f, a.dims, a.dtype);
    case DType::i32:
      return tensor_of<int32_t>(a.i, a.dims, a.dtype);
    case DType::i64:
      return tensor_of<int64_t>(a.i, a.dims, a.dtype);
    case DType::boolean:
      break;
  }
  return tensor_of<bool>(a.i, a.dims, a.dtype);
}

void save_array(const std::string& path, const ir::Array<double>& array) {
  save_npy(path, to_tensor(array));
}

ir::Array<double> load_array(const std::string& path) {
  const Tensor tensor = load_npy(path);
  ir::Array<double> out(tensor.dtype(), tensor.shape());
  switch (tensor.dtype()) {
    case DType::f32:
      copy_elements<float>(tensor, out.f);
      break;
    case DType::f64:
      copy_elements<double>(tensor, out.f);
      break;
    case DType::i32:
      copy_elements<int32_t>(tensor, out.i);
      break;
    case DType::i64:
      copy_elements<int64_t>(tensor, out.i);
      break;
    case DType::boolean:
      copy_elements<bool>(tensor, out.i);
      break;
  }
  return out;
}

Loaded load_inputs(const ProgramInputs& inputs, const ir::Module& module, const ir::Func& func) {
  std::map<std::string, std::string> given;  // by the name of an argument or global
  std::vector<std::string> names;
  for (size_t i = 0; i < func.args.size(); ++i) {
    const std::string& name = func[func.args[i]].name;
    names.push_back(name.empty() ? fmt::format("{}", i) : name);
  }
  std::vector<std::string> all = names;
  for (const ir::Global& g : module.globals) all.push_back(g.name);
  size_t next = 0;
  for (const std::string& file : inputs.files) {
    const size_t equals = file.find('=');
    if (equals == std::string::npos) {
      if (next == names.size()) {
        throw Error("func @{} takes {} arguments; {} is one file too many", func.name, names.size(),
                    file)
            .help("name a global as in w=w.npy");
      }
      given[names[next++]] = file;
      continue;
    }
    std::string name = file.substr(0, equals);
    if (name.starts_with('%') || name.starts_with('@')) name.erase(0, 1);
    if (std::find(all.begin(), all.end(), name) == all.end()) {
      const std::string near = ir::closest(name, {all.begin(), all.end()});
      throw Error("func @{} has no argument or global {}", func.name, name)
          .help(near.empty() ? fmt::format("it has {}", fmt::join(all, ", "))
                             : fmt::format("did you mean {}?", near));
    }
    given[name] = file.substr(equals + 1);
  }
  Loaded out;
  std::optional<int64_t> n;
  if (inputs.rows > 0) n = inputs.rows;
  std::map<std::string, ir::Array<double>> loaded;
  const auto load = [&](const std::string& name, const ir::Type& type) {
    const auto it = given.find(name);
    if (it == given.end()) return;
    ir::Array<double>& array = loaded[name] = load_array(it->second);
    if (array.dtype != type.dtype) {
      throw Error("{} is {} but {} holds {}", name, to_string(type), it->second,
                  dtype_name(array.dtype))
          .help(fmt::format("write the file as {}", dtype_name(type.dtype)));
    }
    const std::optional<int64_t> rows = rows_of(type, array.dims, name, it->second);
    if (rows && n && *rows != *n) {
      throw Error("{} has {} rows but the batch has {}", it->second, *rows, *n)
          .help("all inputs that follow the batch share one n");
    }
    if (rows) n = rows;
  };
  for (size_t i = 0; i < names.size(); ++i) load(names[i], func.type(func.args[i]));
  for (const ir::Global& g : module.globals) load(g.name, g.type);
  out.n = n.value_or(4);
  const fuzz::InputRule rule{inputs.seed, inputs.integers, 0};
  out.args = fuzz::draw_arguments(rule, func, out.n, 0);
  out.globals = fuzz::draw_globals(rule, module);
  for (size_t i = 0; i < names.size(); ++i) {
    if (loaded.count(names[i])) out.args[i] = loaded[names[i]];
  }
  for (size_t i = 0; i < module.globals.size(); ++i) {
    const auto it = loaded.find(module.globals[i].name);
    if (it != loaded.end()) out.globals[i] = it->second;
  }
  return out;
}

std::string index_text(size_t at, const std::vector<int64_t>& dims) {
  std::vector<int64_t> index(dims.size());
  for (size_t d = dims.size(); d-- > 0;) {
    index[d] = static_cast<int64_t>(at) % dims[d];
    at /= static_cast<size_t>(dims[d]);
  }
  return fmt::format("[{}]", fmt::join(index, ", "));
}

}  // namespace sinter::command
