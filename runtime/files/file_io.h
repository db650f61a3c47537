#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sinter::detail {

/// A regular file that is open for reading. Error with a help if it is missing or not a file.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }
  int descriptor() const { return descriptor_; }
  /// Reads the next `bytes`. Error with the byte offset if the file ends before.
  void read(void* to, size_t bytes);

 private:
  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  int64_t offset_ = 0;
};

/// Writes the pieces one after the other to a temporary file beside `path`, syncs it, renames it
/// and syncs the folder: a crash at any instant leaves the old file or the new one. Temporary files
/// that killed runs left for `path` are removed. Error, with the old file in place, if a step
/// fails.
void write_file(const std::string& path, std::span<const std::span<const std::byte>> pieces);

/// Error, with this help, unless all bytes of a bool tensor, which the file has from byte `start`
/// on, are 0 or 1.
void check_bools(const std::string& path, std::span<const std::byte> values, int64_t start,
                 std::string_view help);

}  // namespace sinter::detail
