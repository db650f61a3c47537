#include "compiler/llvm/generate_code.h"

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

#include <sinter/error.h>
#include <sinter/thread_team.h>

#include "compiler/compile.h"
#include "compiler/llvm/emit_function.h"
#include "compiler/llvm/target.h"

namespace sinter::compiler {

namespace {

llvm::SmallVector<char, 0> generate(const Target& target, llvm::Module& module,
                                    llvm::CodeGenFileType kind) {
  llvm::SmallVector<char, 0> out;
  llvm::raw_svector_ostream stream(out);
  llvm::legacy::PassManager passes;
  const bool refused = target.machine->addPassesToEmitFile(passes, stream, nullptr, kind);
  SINTER_CHECK(!refused, "the target cannot write this kind of file");
  passes.run(module);
  return out;
}

// One module on its way to machine code. Parts share nothing, so that each can be compiled by a
// thread of its own.
struct Part {
  std::vector<const ir::Op*> kernels;
  bool with_step;
  CodePart out;
  std::exception_ptr failure;
};

void compile_part(Part& part, const ir::Module& module, const ir::Func& func,
                  const Options& options) try {
  const Target target = make_target(options.cpu, options.triple);
  llvm::LLVMContext context;
  const auto emit = [&] {
    return emit_part(context, module, func, target, part.kernels, part.with_step);
  };
  const auto [code, scratch_bytes] = emit();
  part.out.scratch_bytes = scratch_bytes;
  if (options.verify) {
    std::string message;
    llvm::raw_string_ostream stream(message);
    SINTER_CHECK(!llvm::verifyModule(*code, &stream), "@{} is malformed: {}", func.name,
                 stream.str());
  }
  if (options.keep_code_text) {
    llvm::raw_string_ostream stream(part.out.llvm_ir);
    code->print(stream, nullptr);
    const auto text = generate(target, *emit().module, llvm::CodeGenFileType::AssemblyFile);
    part.out.assembly.assign(text.begin(), text.end());
  }
  if (options.triple.empty()) {
    part.out.object = generate(target, *code, llvm::CodeGenFileType::ObjectFile);
  }
} catch (...) {
  part.failure = std::current_exception();
}

}  // namespace

std::vector<CodePart> generate_code(const ir::Module& module, const ir::Func& func,
                                    const Options& options) {
  std::vector<Part> parts;
  const int compilers = std::min(ThreadTeam::available_cores(), 2);
  for (auto& kernels : deal_kernels(func, compilers)) {
    if (kernels.empty() && !parts.empty()) continue;
    parts.push_back({std::move(kernels), parts.empty(), {}, {}});
  }
  std::vector<std::thread> others;
  for (size_t i = 1; i < parts.size(); ++i) {
    others.emplace_back([&, i] { compile_part(parts[i], module, func, options); });
  }
  compile_part(parts[0], module, func, options);
  for (std::thread& t : others) t.join();
  std::vector<CodePart> out;
  for (Part& part : parts) {
    if (part.failure) std::rethrow_exception(part.failure);
    out.push_back(std::move(part.out));
  }
  return out;
}

CodeText code_text(const ir::Module& module, const std::string& name, const Options& options) {
  const ir::Func* func = module.find(name);
  SINTER_CHECK(func != nullptr, "no function @{}", name);
  Options with_text = options;
  with_text.keep_code_text = true;
  CodeText out;
  for (const CodePart& part : generate_code(module, *func, with_text)) {
    out.llvm_ir += part.llvm_ir;
    out.assembly += part.assembly;
  }
  return out;
}

}  // namespace sinter::compiler
