#include "compiler/llvm/target.h"

#include <mutex>

#include <fmt/format.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/SubtargetFeature.h>
#include <llvm/TargetParser/Triple.h>

#include <sinter/error.h>

namespace sinter::compiler {

namespace {

void register_native_target() {
  static const bool done = [] {
    // Loops are emitted with the addresses they should have, and the pass that would look for
    // better ones takes longer than all the rest of code generation. LLVM can only be told so for
    // the whole process.
    llvm::StringMap<llvm::cl::Option*>& options = llvm::cl::getRegisteredOptions();
    if (const auto it = options.find("disable-lsr"); it != options.end()) {
      static_cast<llvm::cl::opt<bool>*>(it->second)->setValue(true);
    }
    return !llvm::InitializeNativeTarget() && !llvm::InitializeNativeTargetAsmPrinter();
  }();
  SINTER_CHECK(done, "LLVM was built without a target for this machine");
}

// Another than the native one, if it is asked for: all others need not wait for it.
void register_target([[maybe_unused]] const llvm::Triple& triple) {
#ifdef LLVM_HAS_AARCH64_TARGET
  if (!triple.isAArch64()) return;
  LLVMInitializeAArch64TargetInfo();
  LLVMInitializeAArch64Target();
  LLVMInitializeAArch64TargetMC();
  LLVMInitializeAArch64AsmPrinter();
#endif
}

// LLVM's process-wide list of targets is not safe against two threads that extend it at once, and
// the parts of a function are compiled by threads of their own.
const llvm::Target* find_target(const std::string& triple, std::string& message) {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  register_native_target();
  const llvm::Triple parsed(triple);
  const bool foreign = parsed.getArch() != llvm::Triple(llvm::sys::getProcessTriple()).getArch();
  if (foreign) register_target(parsed);
  return llvm::TargetRegistry::lookupTarget(triple, message);
}

}  // namespace

Target make_target(const std::string& cpu, const std::string& wanted_triple) {
  const bool here = wanted_triple.empty();
  const std::string triple = here ? llvm::sys::getProcessTriple() : wanted_triple;
  std::string message;
  const llvm::Target* found = find_target(triple, message);
  SINTER_CHECK(found || !here, "no code generator for {}: {}", triple, message);
  if (!found) {
    throw Error(fmt::format("no code generator for \"{}\"", triple))
        .note(message)
        .help("name one of this machine's architecture or of aarch64, such as aarch64-linux-gnu");
  }

  // Asked of a plain subtarget: a machine for an unknown name writes warnings to stderr.
  const std::unique_ptr<llvm::MCSubtargetInfo> plain(found->createMCSubtargetInfo(triple, "", ""));
  if (!cpu.empty() && !plain->isCPUStringValid(cpu)) {
    throw Error(fmt::format("unknown processor \"{}\"", cpu))
        .help("use a name that `llc -mcpu=help` lists, such as {}",
              llvm::Triple(triple).isAArch64() ? "neoverse-n1" : "x86-64-v3");
  }
  std::string features;
  if (cpu.empty() && here) {
    for (const auto& feature : llvm::sys::getHostCPUFeatures()) {
      if (!features.empty()) features += ',';
      features += (feature.second ? '+' : '-') + feature.first().str();
    }
  }
  llvm::TargetOptions options;
  // Bits must not depend on what stands beside an operation: fused multiply-adds are written out.
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  Target target;
  const std::string name = cpu.empty() && here ? llvm::sys::getHostCPUName().str() : cpu;
  target.machine.reset(found->createTargetMachine(triple, name, features, options,
                                                  llvm::Reloc::PIC_, llvm::CodeModel::Small,
                                                  llvm::CodeGenOptLevel::Less));
  const llvm::MCSubtargetInfo* info = target.machine->getMCSubtargetInfo();
  target.x86 = target.machine->getTargetTriple().isX86();
  if (target.x86) {
    const bool avx512 = info->checkFeatures("+avx512f,+avx512vl,+avx512dq,+avx512bw");
    const bool avx2 = info->checkFeatures("+avx2");
    target.vector_bytes = avx512 ? 64 : avx2 ? 32 : 16;
    target.registers = avx512 ? 32 : 16;
    target.fma = info->checkFeatures("+fma");
  } else {
    target.registers = 32;
    target.fma = true;
    target.by_element = target.machine->getTargetTriple().isAArch64();
  }
  return target;
}

std::unique_ptr<llvm::Module> make_module(const std::string& name, llvm::LLVMContext& context,
                                          const Target& target) {
  auto out = std::make_unique<llvm::Module>(name, context);
  out->setDataLayout(target.machine->createDataLayout());
  out->setTargetTriple(target.machine->getTargetTriple().str());
  return out;
}

void use_whole_vectors(llvm::Function& function, const Target& target) {
  const std::string width = std::to_string(target.vector_bytes * 8);
  function.addFnAttr("min-legal-vector-width", width);
  function.addFnAttr("prefer-vector-width", width);
}

llvm::SmallVector<char, 0> compiled(const Target& target, llvm::Module& module,
                                    llvm::CodeGenFileType kind) {
  llvm::SmallVector<char, 0> out;
  llvm::raw_svector_ostream stream(out);
  llvm::legacy::PassManager passes;
  const bool refused = target.machine->addPassesToEmitFile(passes, stream, nullptr, kind);
  SINTER_CHECK(!refused, "the target cannot write this kind of file");
  passes.run(module);
  return out;
}

}  // namespace sinter::compiler
