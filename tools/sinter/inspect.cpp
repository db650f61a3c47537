// sinter inspect: says what a file holds from its header alone; of a net, what its functions take
// and give.
#include <memory>

#include <fmt/format.h>

#include <sinter/error.h>
#include <sinter/npy.h>
#include <sinter/safetensors.h>

#include "ir/text/text.h"
#include "tools/sinter/command.h"

namespace sinter::command {

namespace {

constexpr size_t longest_text = 72;

// A text of the metadata on one line.
std::string shown(const std::string& text) {
  const bool plain = text.size() <= longest_text && text.find('\n') == std::string::npos;
  return plain ? text : fmt::format("({} bytes)", text.size());
}

std::string function_line(const ir::Func& func) {
  std::string args, results;
  for (ir::ValueId v : func.args) {
    args += fmt::format("{}%{}: {}", args.empty() ? "" : ", ", func[v].name,
                        ir::to_string(func.type(v)));
  }
  for (ir::ValueId v : func.results) {
    results += (results.empty() ? "" : ", ") + ir::to_string(func.type(v));
  }
  return fmt::format("@{}({}) -> {}, {} ops", func.name, args, results, func.body.size());
}

struct Inspect {
  std::string file;
  bool ir = false;

  int run() const {
    if (file.ends_with(".npy")) {
      if (ir) throw Error("{} holds an array and no IR", file).help("leave out --ir");
      write_text("-", npy());
    } else {
      write_text("-", safetensors());
    }
    return exit_good;
  }

  std::string npy() const {
    const Tensor tensor = load_npy(file);
    return fmt::format("{}: an array\n  {}, {} bytes\n", file, tensor.type_string(),
                       tensor.nbytes());
  }

  std::string safetensors() const {
    const SafetensorsHeader header = read_safetensors_header(file);
    const auto found = header.metadata.find("sinter.ir");
    const bool net = found != header.metadata.end();
    if (ir && !net) throw Error("{} holds no IR", file).help("leave out --ir");
    if (ir) return found->second;
    const int64_t bytes = header.entries.empty() ? 0 : header.entries.back().end;
    std::string out = fmt::format("{}: {}\n  {} tensors, {} bytes\n", file,
                                  !net                                           ? "tensors"
                                  : header.metadata.contains("sinter.generator") ? "a checkpoint"
                                                                                 : "a net",
                                  header.entries.size(), bytes);
    size_t width = 0;
    for (const auto& e : header.entries) width = std::max(width, e.name.size());
    for (const auto& e : header.entries) {
      out += fmt::format("    {:{}}  {}{}\n", e.name, width, e.dtype, shape_to_string(e.shape));
    }
    for (const auto& [key, text] : header.metadata) {
      out += fmt::format("  {} = {}\n", key, shown(text));
    }
    if (!net) return out;
    for (const ir::Func& func : ir::parse(found->second, file).funcs) {
      out += fmt::format("  {}\n", function_line(func));
    }
    return out;
  }
};

}  // namespace

void add_inspect(CommandLine& program) {
  const auto inspect = std::make_shared<Inspect>();
  CommandLine line =
      program.subcommand("inspect", "Say what a file of tensors or a saved net holds");
  line.option("FILE", inspect->file,
              "Weights (.safetensors), a net (.sinter), a checkpoint, or an array (.npy)")
      .required();
  line.flag("--ir", inspect->ir, "Print the IR of the net and nothing else");
  line.footer("Example:\n  sinter inspect net.sinter --ir | sinter dump - --func=predict");
  line.runs([inspect] { return inspect->run(); });
}

}  // namespace sinter::command
