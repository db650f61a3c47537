#include "runtime/file_io.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sinter/error.h>

namespace sinter::detail {

namespace {

std::string reason(int error) { return std::generic_category().message(error); }

/// Linux moves at most 2^31 - 4096 bytes a call.
constexpr size_t max_chunk = size_t{1} << 30;

Error write_error(const std::string& path, const char* what, int error) {
  return Error("cannot write {}", path)
      .note("{}: {}", what, reason(error))
      .help("check the folder, its permissions and the free space");
}

class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }
  int close() {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    return descriptor < 0 ? 0 : ::close(descriptor);
  }

 private:
  int descriptor_;
};

/// Removes the temporary file unless it became the real one.
struct TemporaryName {
  std::string path;
  bool keep = false;
  ~TemporaryName() {
    if (!keep && !path.empty()) ::unlink(path.c_str());
  }
};

int open_temporary(const std::string& path, TemporaryName& name) {
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const std::string candidate = fmt::format("{}.tmp-{}-{}", path, ::getpid(), attempt);
    const int fd = ::open(candidate.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) name.path = candidate;
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) {
    const int error = errno;
    throw Error("cannot read {}", path)
        .note(reason(error))
        .help(error == ENOENT ? "check the path; a relative path starts at the working directory"
                              : "check the permissions of the file");
  }
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    throw Error("cannot read {}", path)
        .note("it is not a regular file")
        .help("give the path of a file, not of a folder or a pipe");
  }
  size_ = status.st_size;
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(void* to, size_t bytes) {
  auto* cursor = static_cast<std::byte*>(to);
  while (bytes > 0) {
    const ssize_t got = ::read(descriptor_, cursor, std::min(bytes, max_chunk));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw Error("cannot read {} at byte {}", path_, offset_)
          .note(reason(errno))
          .help("check the disk");
    if (got == 0)
      throw Error("{} is truncated at byte {}", path_, offset_)
          .help("write or download the file again");
    cursor += got;
    offset_ += got;
    bytes -= static_cast<size_t>(got);
  }
}

void write_file(const std::string& path, std::span<const std::span<const std::byte>> pieces) {
  TemporaryName name;
  Descriptor file(open_temporary(path, name));
  if (file.get() < 0) throw write_error(path, "open", errno);
  for (std::span<const std::byte> piece : pieces) {
    while (!piece.empty()) {
      const ssize_t put = ::write(file.get(), piece.data(), std::min(piece.size(), max_chunk));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) throw write_error(path, "write", errno);
      piece = piece.subspan(static_cast<size_t>(put));
    }
  }
  if (::fsync(file.get()) != 0) throw write_error(path, "fsync", errno);
  if (file.close() != 0) throw write_error(path, "close", errno);
  if (::rename(name.path.c_str(), path.c_str()) != 0) throw write_error(path, "rename", errno);
  name.keep = true;
  const size_t slash = path.find_last_of('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems cannot sync a folder and say so with EINVAL.
  if (directory.get() < 0 || (::fsync(directory.get()) != 0 && errno != EINVAL))
    throw write_error(path, "fsync of the folder", errno);
}

}  // namespace sinter::detail
