#include "runtime/files/file_io.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
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
  explicit Descriptor(int descriptor = -1) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }
  void swap(Descriptor& other) { std::swap(descriptor_, other.descriptor_); }

 private:
  int descriptor_;
};

/// As many saves of one path may go on at once.
constexpr int most_savers = 8;

bool same_file(int descriptor, const std::string& name) {
  struct stat mine = {}, named = {};
  return ::fstat(descriptor, &mine) == 0 && ::lstat(name.c_str(), &named) == 0 &&
         mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
}

/// False if another process or thread holds the lock.
bool lock(int descriptor) {
  return ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

/// A file beside `path` that is to become it. It is locked while its writer lives, so that what a
/// killed run left behind can be told from what another one is writing: the next save of the same
/// path removes the former.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& path) : path_(path) {
    for (int i = 0; i < most_savers; ++i) {
      if (descriptor_.get() >= 0 || !create(name_of(i))) remove_stale(name_of(i));
    }
    if (descriptor_.get() >= 0) return;
    throw Error("cannot write {}", path)
        .note("{} other saves of it are going on", most_savers)
        .help("wait for them, or remove files named {}*", name_of(0));
  }
  ~TemporaryFile() {
    if (!name_.empty()) ::unlink(name_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t put =
          ::write(descriptor_.get(), bytes.data(), std::min(bytes.size(), max_chunk));
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) throw write_error(path_, "write", put < 0 ? errno : EIO);
      bytes = bytes.subspan(static_cast<size_t>(put));
    }
  }

  void replace() {
    if (::fsync(descriptor_.get()) != 0) throw write_error(path_, "fsync", errno);
    // Some file systems report a failed write only here. The lock lives on in the descriptor.
    const int copy = ::fcntl(descriptor_.get(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) throw write_error(path_, "dup", errno);
    if (::close(copy) != 0) throw write_error(path_, "close", errno);
    if (::rename(name_.c_str(), path_.c_str()) != 0) throw write_error(path_, "rename", errno);
    name_.clear();
  }

 private:
  std::string name_of(int i) const {
    // A name has 255 bytes at most.
    const size_t base = path_.find_last_of('/') + 1;
    const std::string stem = path_.substr(0, base + std::min<size_t>(path_.size() - base, 200));
    return i == 0 ? stem + ".sinter-tmp" : fmt::format("{}.sinter-tmp-{}", stem, i);
  }

  bool create(const std::string& name) {
    for (int attempt = 0; attempt < 2; ++attempt) {
      const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (fd < 0 && errno != EEXIST) throw write_error(path_, "open", errno);
      if (fd >= 0) {
        // Another save may have taken the new file for a stale one before it was locked.
        Descriptor file(fd);
        if (!lock(fd) || !same_file(fd, name)) continue;
        keep_permissions(fd);
        descriptor_.swap(file);
        name_ = name;
        return true;
      }
      if (attempt == 0) remove_stale(name);
    }
    return false;
  }

  void keep_permissions(int fd) const {
    struct stat old = {};
    if (::stat(path_.c_str(), &old) == 0 && S_ISREG(old.st_mode)) ::fchmod(fd, old.st_mode & 0777);
  }

  static void remove_stale(const std::string& name) {
    const Descriptor file(::open(name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (file.get() >= 0 && lock(file.get()) && same_file(file.get(), name)) ::unlink(name.c_str());
  }

  const std::string& path_;
  Descriptor descriptor_;
  std::string name_;  // empty once it has become `path_`
};

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
  const size_t slash = path.find_last_of('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) throw write_error(path, "open the folder", errno);
  TemporaryFile file(path);
  for (std::span<const std::byte> piece : pieces) file.write(piece);
  file.replace();
  // Some file systems cannot sync a folder and say so with EINVAL.
  if (::fsync(directory.get()) != 0 && errno != EINVAL)
    throw write_error(path, "fsync of the folder, after the new file took the place of the old one",
                      errno);
}

void check_bools(const std::string& path, std::span<const std::byte> values, int64_t start,
                 std::string_view help) {
  const auto wrong = std::find_if(values.begin(), values.end(),
                                  [](std::byte value) { return value > std::byte{1}; });
  if (wrong == values.end()) return;
  throw Error("{} has a bool of value {} at byte {}", path, std::to_integer<int>(*wrong),
              start + (wrong - values.begin()))
      .help("{}", help);
}

}  // namespace sinter::detail
