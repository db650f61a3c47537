#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <sinter/dtype.h>
#include <sinter/state_dict.h>
#include <sinter/tensor.h>

namespace sinter {

/// Writes tensors as safetensors, the format of https://github.com/huggingface/safetensors:
/// byte for byte the file that Python's safetensors writes. Elements are f32, f64, i32, i64 and
/// bool. A crash leaves the old file or the new one. Error if the file cannot be written, or a name
/// cannot be stored.
///
///     save(net.state_dict(), "net.safetensors");
///     net.load_state_dict(load("net.safetensors"));
void save(const StateDict& tensors, const std::string& path);

/// Reads a safetensors file. Nothing in it is a program. Everything is checked before memory is
/// taken; Error with the byte offset for a file that is truncated or too long, for a header that is
/// not strict JSON, for unknown, doubled or missing keys, for tensors that overlap, leave gaps or
/// have other elements than those above.
StateDict load(const std::string& path);

/// The same with the free texts that a safetensors file may hold besides its tensors.
struct SafetensorsFile {
  StateDict tensors;
  std::map<std::string, std::string> metadata{};
};
void write_safetensors(const std::string& path, const SafetensorsFile& file);
SafetensorsFile read_safetensors(const std::string& path);

/// What a file says of itself, read and checked without its data.
struct SafetensorsHeader {
  struct Entry {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
    /// Bytes [begin, end) of the data.
    int64_t begin = 0, end = 0;
    /// Byte of the file where the header names it.
    int64_t place = 0;
  };
  /// In the order of their data.
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
  /// Byte of the file where the data begins.
  int64_t data_start = 0;
};
SafetensorsHeader read_safetensors_header(const std::string& path);

}  // namespace sinter
