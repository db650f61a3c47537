// The safetensors format: https://github.com/huggingface/safetensors#format - a little-endian u64,
// the length of a JSON header, the header, then the elements of all tensors without gaps.
//
// What a hostile file may cost is limited by the constants below together with this order: the
// header is read and checked in full against the length of the file before any tensor is made.

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <optional>

#include <sinter/error.h>
#include <sinter/safetensors.h>

#include "runtime/files/file_io.h"
#include "runtime/files/json_reader.h"

namespace sinter {

namespace {

using detail::JsonReader;
using Entry = SafetensorsHeader::Entry;

static_assert(std::endian::native == std::endian::little, "data is moved as it is");

constexpr std::string_view metadata_key = "__metadata__";
constexpr int64_t length_bytes = 8;
constexpr int64_t max_header = int64_t{1} << 24;
constexpr size_t max_tensors = 1 << 16;
constexpr size_t max_metadata = 1 << 12;
constexpr size_t max_axes = 16;
constexpr size_t max_name = 1024;

/// In the order in which Python's safetensors writes tensors: widest first, then its own.
constexpr std::array<std::pair<DType, std::string_view>, 5> dtypes = {{
    {DType::i64, "I64"},
    {DType::f64, "F64"},
    {DType::f32, "F32"},
    {DType::i32, "I32"},
    {DType::boolean, "BOOL"},
}};

/// Those of the format that a Tensor cannot hold.
constexpr std::array<std::string_view, 16> other_dtypes = {
    "U8",  "I8",      "I16",     "U16",     "U32",     "U64",     "F16", "BF16",
    "C64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4",  "F8_E4M3FNUZ"};

size_t rank_of(DType dtype) {
  const auto found = std::find_if(dtypes.begin(), dtypes.end(),
                                  [dtype](const auto& known) { return known.first == dtype; });
  return static_cast<size_t>(found - dtypes.begin());
}

DType read_dtype(JsonReader& json, const std::string& path, const std::string& name) {
  const int64_t place = json.offset();
  const std::string text = json.string(max_name);
  for (const auto& [dtype, known] : dtypes)
    if (text == known) return dtype;
  if (std::find(other_dtypes.begin(), other_dtypes.end(), text) == other_dtypes.end())
    throw json.fail_at(place, fmt::format("an unknown dtype \"{}\"", text));
  throw Error("{} holds {} elements in {} at byte {}", path, text, name, place)
      .note("read are F32, F64, I32, I64 and BOOL")
      .help("convert it in Python before saving: {{k: v.astype('{}') for k, v in tensors.items()}}",
            text.front() == 'F' || text.front() == 'B' ? "float32" : "int64");
}

std::vector<int64_t> read_counts(JsonReader& json, size_t most, std::string_view too_many) {
  std::vector<int64_t> counts;
  json.expect('[');
  if (json.accept(']')) return counts;
  do {
    if (counts.size() == most) throw json.fail(too_many);
    counts.push_back(json.count());
  } while (json.accept(','));
  json.expect(']');
  return counts;
}

/// Calls `member(key, place)` for each member of an object; the '{' has not been read yet.
template <class F>
void read_object(JsonReader& json, F member) {
  json.expect('{');
  if (json.accept('}')) return;
  do {
    const int64_t place = json.offset();
    std::string key = json.string(max_name);
    json.expect(':');
    member(std::move(key), place);
  } while (json.accept(','));
  json.expect('}');
}

Entry read_entry(JsonReader& json, const std::string& path, std::string name, int64_t place) {
  std::optional<DType> dtype;
  std::optional<Shape> shape, offsets;
  read_object(json, [&](const std::string& key, int64_t at) {
    if (key == "dtype" && !dtype) {
      dtype = read_dtype(json, path, name);
    } else if (key == "shape" && !shape) {
      shape = read_counts(json, max_axes, fmt::format("more than {} axes", max_axes));
    } else if (key == "data_offsets" && !offsets) {
      offsets = read_counts(json, 2, "more than two offsets");
    } else {
      throw json.fail_at(at, fmt::format("an unknown or repeated key \"{}\"", key));
    }
  });
  if (!dtype || !shape || !offsets || offsets->size() != 2)
    throw json.fail_at(place, fmt::format("no dtype, shape or two data_offsets of {}", name));
  int64_t bytes = static_cast<int64_t>(dtype_size(*dtype));
  bool overflow = false;
  for (int64_t d : *shape) overflow |= __builtin_mul_overflow(bytes, d, &bytes);
  const int64_t begin = (*offsets)[0], end = (*offsets)[1];
  if (overflow || begin > end || end - begin != bytes)
    throw json.fail_at(place, fmt::format("{} with {}{} but the data offsets {} and {}", name,
                                          *dtype, shape_to_string(*shape), begin, end));
  return {std::move(name), *dtype, std::move(*shape), begin, end, place};
}

void read_metadata(JsonReader& json, std::map<std::string, std::string>& metadata) {
  read_object(json, [&](std::string key, int64_t place) {
    if (metadata.size() == max_metadata) throw json.fail_at(place, "too much metadata");
    const auto [member, is_new] = metadata.try_emplace(std::move(key));
    if (!is_new) throw json.fail_at(place, fmt::format("a second \"{}\"", member->first));
    member->second = json.string(max_header);
  });
}

/// No name twice, and the data from byte 0 to `data_bytes` exactly once.
void check_entries(const JsonReader& json, const std::string& path, SafetensorsHeader& header,
                   int64_t data_bytes) {
  std::vector<Entry>& entries = header.entries;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.name, a.place) < std::tie(b.name, b.place);
  });
  for (size_t i = 1; i < entries.size(); ++i)
    if (entries[i].name == entries[i - 1].name)
      throw json.fail_at(entries[i].place, fmt::format("a second tensor {}", entries[i].name));
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.place) < std::tie(b.begin, b.end, b.place);
  });
  int64_t end = 0;
  for (const Entry& e : entries) {
    if (e.begin != end)
      throw json.fail_at(
          e.place, fmt::format("data of {} that {}", e.name,
                               e.begin < end ? "overlaps other data" : "leaves a gap before it"));
    end = e.end;
  }
  if (end == data_bytes) return;
  throw Error("{} is {}: {} bytes of data from byte {}", path,
              end < data_bytes ? "too long" : "truncated", data_bytes, header.data_start)
      .note("declared : {} bytes", end)
      .help("write or download the file again");
}

SafetensorsHeader read_header(detail::InputFile& file) {
  const std::string& path = file.path();
  std::array<unsigned char, length_bytes> word = {};
  file.read(word.data(), word.size());
  const auto length = std::bit_cast<uint64_t>(word);
  const int64_t rest = file.size() - length_bytes;
  if (length > static_cast<uint64_t>(max_header) || static_cast<int64_t>(length) > rest)
    throw Error("{} has a header of {} bytes at byte 0 but {}", path, length,
                static_cast<uint64_t>(rest) < length
                    ? fmt::format("only {} bytes in all", file.size())
                    : fmt::format("at most {} are read", max_header))
        .help("give a .safetensors or .sinter file, or write it again");
  std::string text(length, '\0');
  file.read(text.data(), text.size());
  JsonReader json(path, "safetensors", text, length_bytes);
  if (!text.starts_with('{')) throw json.fail_at(length_bytes, "a header without '{'");
  SafetensorsHeader header;
  header.data_start = length_bytes + static_cast<int64_t>(length);
  bool has_metadata = false;
  read_object(json, [&](std::string key, int64_t place) {
    if (key == metadata_key) {
      if (has_metadata) throw json.fail_at(place, "a second __metadata__");
      has_metadata = true;
      read_metadata(json, header.metadata);
    } else {
      if (header.entries.size() == max_tensors)
        throw json.fail_at(place, fmt::format("more than {} tensors", max_tensors));
      header.entries.push_back(read_entry(json, path, std::move(key), place));
    }
  });
  json.expect_end();
  check_entries(json, path, header, file.size() - header.data_start);
  return header;
}

void check_text(const std::string& path, std::string_view what, std::string_view text,
                size_t most) {
  if (text.size() <= most && detail::is_utf8(text)) return;
  throw Error("cannot write {}: {} {}", path, what,
              text.size() > most ? fmt::format("has more than {} bytes", most) : "is not UTF-8")
      .help("use a shorter text of valid UTF-8");
}

/// The header, padded so that the data begins at a multiple of 8 bytes.
std::string header_text(const std::string& path, const SafetensorsFile& file,
                        const std::vector<const StateDict::Entry*>& order) {
  std::string text = "{";
  if (!file.metadata.empty()) {
    text += fmt::format("\"{}\":{{", metadata_key);
    for (const auto& [key, value] : file.metadata) {
      check_text(path, "a key of the metadata", key, max_name);
      check_text(path, "the metadata \"" + key + "\"", value, max_header);
      text += fmt::format("{}:{},", detail::json_quoted(key), detail::json_quoted(value));
    }
    text.back() = '}';
    text += ',';
  }
  int64_t begin = 0;
  for (const StateDict::Entry* entry : order) {
    const auto& [name, tensor] = *entry;
    check_text(path, "a name", name, max_name);
    if (name == metadata_key)
      throw Error("cannot write {}: a tensor is named {}", path, name)
          .help("the format has another meaning for this name: choose another");
    if (static_cast<size_t>(tensor.dim()) > max_axes)
      throw Error("cannot write {}: {} has {} axes", path, name, tensor.dim())
          .help("reshape it to at most {} axes", max_axes);
    const int64_t end = begin + static_cast<int64_t>(tensor.nbytes());
    text += fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}},)",
                        detail::json_quoted(name), dtypes[rank_of(tensor.dtype())].second,
                        fmt::join(tensor.shape(), ","), begin, end);
    begin = end;
  }
  if (text.back() == ',') text.pop_back();
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  if (text.size() > static_cast<size_t>(max_header) || order.size() > max_tensors ||
      file.metadata.size() > max_metadata)
    throw Error("cannot write {}: {} tensors and {} bytes of header are too many", path,
                order.size(), text.size())
        .note("limits : {} tensors, {} texts, {} bytes", max_tensors, max_metadata, max_header)
        .help("write several files");
  return text;
}

}  // namespace

void write_safetensors(const std::string& path, const SafetensorsFile& file) {
  std::vector<const StateDict::Entry*> order;
  for (const StateDict::Entry& entry : file.tensors) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(rank_of(a->second.dtype()), std::string_view(a->first)) <
           std::pair(rank_of(b->second.dtype()), std::string_view(b->first));
  });
  const std::string header = header_text(path, file, order);
  const auto length = std::bit_cast<std::array<std::byte, length_bytes>>(uint64_t{header.size()});
  std::vector<std::span<const std::byte>> pieces = {length, std::as_bytes(std::span(header))};
  std::vector<Tensor> dense;
  for (const StateDict::Entry* entry : order) {
    dense.push_back(entry->second.contiguous());
    pieces.emplace_back(static_cast<const std::byte*>(dense.back().raw()), dense.back().nbytes());
  }
  detail::write_file(path, pieces);
}

SafetensorsFile read_safetensors(const std::string& path) {
  detail::InputFile file(path);
  SafetensorsHeader header = read_header(file);
  SafetensorsFile out{{}, std::move(header.metadata)};
  for (Entry& e : header.entries) {
    Tensor tensor = Tensor::empty(std::move(e.shape), e.dtype);
    if (tensor.nbytes() > 0) file.read(tensor.raw(), tensor.nbytes());
    if (e.dtype == DType::boolean) {
      detail::check_bools(path, std::as_bytes(tensor.span<bool>()), header.data_start + e.begin,
                          "write or download the file again");
    }
    out.tensors.add(std::move(e.name), std::move(tensor));
  }
  return out;
}

SafetensorsHeader read_safetensors_header(const std::string& path) {
  detail::InputFile file(path);
  return read_header(file);
}

void save(const StateDict& tensors, const std::string& path) { write_safetensors(path, {tensors}); }

StateDict load(const std::string& path) { return read_safetensors(path).tensors; }

}  // namespace sinter
