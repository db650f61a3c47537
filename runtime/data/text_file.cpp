#include <memory>

#include <unistd.h>
#include <zlib.h>

#include <sinter/error.h>

#include "runtime/data/csv_reader.h"
#include "runtime/files/file_io.h"

namespace sinter::detail {

namespace {

struct CloseGz {
  void operator()(gzFile_s* file) const { ::gzclose(file); }
};

}  // namespace

std::string read_text_file(const std::string& path, int64_t max_bytes) {
  const InputFile file(path);
  const int copy = ::dup(file.descriptor());
  const std::unique_ptr<gzFile_s, CloseGz> handle(copy < 0 ? nullptr : ::gzdopen(copy, "rb"));
  if (handle == nullptr) {
    if (copy >= 0) ::close(copy);
    throw Error("cannot read {}", path)
        .note("no memory or no descriptor left")
        .help("close other files");
  }
  ::gzbuffer(handle.get(), 1 << 17);
  std::string text;
  const bool plain = ::gzdirect(handle.get()) != 0;
  if (plain) text.reserve(static_cast<size_t>(file.size()));
  constexpr size_t piece = size_t{1} << 18;
  std::string buffer(piece, '\0');
  while (true) {
    const int got = ::gzread(handle.get(), buffer.data(), static_cast<unsigned>(piece));
    if (got > 0) text.append(buffer, 0, static_cast<size_t>(got));
    if (!plain && static_cast<int64_t>(text.size()) > max_bytes)
      throw Error("{} inflates to more than {} bytes", path, max_bytes)
          .help("set CsvOptions::max_bytes if it is meant to");
    if (got == static_cast<int>(piece)) continue;
    int code = Z_OK;
    const std::string message = ::gzerror(handle.get(), &code);
    // A gzip stream that ends early reads as fewer bytes, and says so here.
    if (got < 0 || code != Z_OK)
      throw Error("{} is damaged at byte {}", path, text.size())
          .note("zlib: {}", message)
          .help("write or download the file again");
    return text;
  }
}

}  // namespace sinter::detail
