#include "compiler/llvm/target.h"

#include <fmt/format.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/SubtargetFeature.h>
#include <llvm/TargetParser/Triple.h>

#include <sinter/error.h>

namespace sinter::compiler {

namespace {

// LLVM's process-wide list of targets is not safe against two threads that extend it at once, and
// the parts of a function are compiled by threads of their own.
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

}  // namespace

Target make_target(const std::string& cpu) {
  register_native_target();

  const std::string triple = llvm::sys::getProcessTriple();
  std::string message;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(triple, message);
  SINTER_CHECK(found != nullptr, "no code generator for {}: {}", triple, message);

  // Asked of a plain subtarget: a machine for an unknown name writes warnings to stderr.
  const std::unique_ptr<llvm::MCSubtargetInfo> plain(found->createMCSubtargetInfo(triple, "", ""));
  if (!cpu.empty() && !plain->isCPUStringValid(cpu)) {
    throw Error(fmt::format("unknown processor \"{}\"", cpu))
        .help("use a name that `llc -mcpu=help` lists, such as x86-64-v3");
  }
  std::string features;
  if (cpu.empty()) {
    for (const auto& feature : llvm::sys::getHostCPUFeatures()) {
      if (!features.empty()) features += ',';
      features += (feature.second ? '+' : '-') + feature.first().str();
    }
  }
  llvm::TargetOptions options;
  // Bits must not depend on what stands beside an operation: fused multiply-adds are written out.
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  Target target;
  const std::string name = cpu.empty() ? llvm::sys::getHostCPUName().str() : cpu;
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
  }
  return target;
}

}  // namespace sinter::compiler
