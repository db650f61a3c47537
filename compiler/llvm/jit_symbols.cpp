#include "compiler/llvm/jit_symbols.h"

#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <llvm/BinaryFormat/ELF.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <unistd.h>

// GDB's JIT interface: it stops in __jit_debug_register_code and reads what the descriptor says.
// https://sourceware.org/gdb/current/onlinedocs/gdb.html/JIT-Interface.html
// LLVM defines both, but in version 19 its own use of them leaves entries behind whose memory is
// gone.
extern "C" {
struct jit_code_entry {
  jit_code_entry* next_entry;
  jit_code_entry* prev_entry;
  const char* symfile_addr;
  uint64_t symfile_size;
};
struct jit_descriptor {
  uint32_t version;
  uint32_t action_flag;
  jit_code_entry* relevant_entry;
  jit_code_entry* first_entry;
};
extern jit_descriptor __jit_debug_descriptor;
void __jit_debug_register_code();
}

namespace sinter::compiler {

namespace {

using llvm::jitlink::LinkGraph;
using llvm::orc::MaterializationResponsibility;

// Both lists of the process: GDB's, and the file that perf reads.
std::mutex listing;

// An object file that GDB knows as long as this object lives.
class DebugEntry {
 public:
  explicit DebugEntry(std::string object) : object_(std::move(object)) {
    entry_.symfile_addr = object_.data();
    entry_.symfile_size = object_.size();
    const std::lock_guard lock(listing);
    entry_.next_entry = __jit_debug_descriptor.first_entry;
    if (entry_.next_entry) entry_.next_entry->prev_entry = &entry_;
    __jit_debug_descriptor.first_entry = &entry_;
    tell(1);
  }
  ~DebugEntry() {
    const std::lock_guard lock(listing);
    if (entry_.next_entry) entry_.next_entry->prev_entry = entry_.prev_entry;
    (entry_.prev_entry ? entry_.prev_entry->next_entry : __jit_debug_descriptor.first_entry) =
        entry_.next_entry;
    tell(2);
  }
  DebugEntry(const DebugEntry&) = delete;
  DebugEntry& operator=(const DebugEntry&) = delete;

 private:
  // 1: registered, 2: about to go.
  void tell(uint32_t action) {
    __jit_debug_descriptor.relevant_entry = &entry_;
    __jit_debug_descriptor.action_flag = action;
    __jit_debug_register_code();
  }

  std::string object_;
  jit_code_entry entry_{};
};

// Writes into the section headers of a 64-bit ELF file where its sections have come to lie.
void place_sections(std::string& object, const LinkGraph& graph) {
  using Header = llvm::ELF::Elf64_Ehdr;
  using Section = llvm::ELF::Elf64_Shdr;
  Header header;
  std::memcpy(&header, object.data(), sizeof(header));
  char* const headers = object.data() + header.e_shoff;
  const auto section = [&](size_t i) { return headers + i * sizeof(Section); };
  Section names;
  std::memcpy(&names, section(header.e_shstrndx), sizeof(names));
  for (size_t i = 0; i < header.e_shnum; ++i) {
    Section s;
    std::memcpy(&s, section(i), sizeof(s));
    const char* name = object.data() + names.sh_offset + s.sh_name;
    const auto* found = const_cast<LinkGraph&>(graph).findSectionByName(name);
    if (!found || found->blocks().empty()) continue;
    s.sh_addr = llvm::jitlink::SectionRange(*found).getStart().getValue();
    std::memcpy(section(i), &s, sizeof(s));
  }
}

// Lines of address, size and name. Format: tools/perf/Documentation/jit-interface.txt of the Linux
// kernel.
void append_perf_map(LinkGraph& graph) {
  std::string lines;
  for (const llvm::jitlink::Symbol* symbol : graph.defined_symbols()) {
    if (!symbol->hasName() || !symbol->isCallable()) continue;
    lines += fmt::format("{:x} {:x} {}\n", symbol->getAddress().getValue(), symbol->getSize(),
                         llvm::StringRef(symbol->getName()).str());
  }
  const std::lock_guard lock(listing);
  // A profile without names is no reason to stop the program.
  if (std::FILE* file = std::fopen(fmt::format("/tmp/perf-{}.map", getpid()).c_str(), "a")) {
    std::fwrite(lines.data(), 1, lines.size(), file);
    std::fclose(file);
  }
}

// Lives as long as the JIT that it is added to, and so does what it shows.
class Symbols final : public llvm::orc::ObjectLinkingLayer::Plugin {
 public:
  explicit Symbols(bool perf_map) : perf_map_(perf_map) {}

  void notifyMaterializing(MaterializationResponsibility& unit, LinkGraph&,
                           llvm::jitlink::JITLinkContext&, llvm::MemoryBufferRef object) override {
    const std::string_view bytes(object.getBufferStart(), object.getBufferSize());
    constexpr std::string_view elf_64 = "\177ELF\2";
    if (!bytes.starts_with(elf_64)) return;
    const std::lock_guard lock(mutex_);
    linking_[&unit] = bytes;
  }
  void modifyPassConfig(MaterializationResponsibility& unit, LinkGraph&,
                        llvm::jitlink::PassConfiguration& config) override {
    config.PostFixupPasses.push_back([this, &unit](LinkGraph& graph) {
      if (perf_map_) append_perf_map(graph);
      const std::lock_guard lock(mutex_);
      if (const auto it = linking_.find(&unit); it != linking_.end()) {
        place_sections(it->second, graph);
      }
      return llvm::Error::success();
    });
  }
  llvm::Error notifyEmitted(MaterializationResponsibility& unit) override {
    const std::lock_guard lock(mutex_);
    if (auto linked = linking_.extract(&unit)) {
      shown_.push_back(std::make_unique<DebugEntry>(std::move(linked.mapped())));
    }
    return llvm::Error::success();
  }
  llvm::Error notifyFailed(MaterializationResponsibility& unit) override {
    const std::lock_guard lock(mutex_);
    linking_.erase(&unit);
    return llvm::Error::success();
  }
  llvm::Error notifyRemovingResources(llvm::orc::JITDylib&, llvm::orc::ResourceKey) override {
    return llvm::Error::success();
  }
  void notifyTransferringResources(llvm::orc::JITDylib&, llvm::orc::ResourceKey,
                                   llvm::orc::ResourceKey) override {}

 private:
  const bool perf_map_;
  std::mutex mutex_;
  std::map<MaterializationResponsibility*, std::string> linking_;  // objects as they came
  std::vector<std::unique_ptr<DebugEntry>> shown_;
};

}  // namespace

void show_symbols(llvm::orc::LLJIT& jit, bool perf_map) {
  auto* layer = llvm::dyn_cast<llvm::orc::ObjectLinkingLayer>(&jit.getObjLinkingLayer());
  if (layer) layer->addPlugin(std::make_unique<Symbols>(perf_map));
}

}  // namespace sinter::compiler
