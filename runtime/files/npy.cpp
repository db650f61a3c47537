// The NPY format is numpy's: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>

#include <sinter/error.h>
#include <sinter/npy.h>

#include "runtime/files/file_io.h"

namespace sinter {

namespace {

static_assert(std::endian::native == std::endian::little, "NPY data is moved as it is");

constexpr std::string_view magic = "\x93NUMPY";
constexpr size_t max_header = size_t{1} << 20;

std::string_view descr_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "<f4";
    case DType::f64:
      return "<f8";
    case DType::i32:
      return "<i4";
    case DType::i64:
      return "<i8";
    case DType::boolean:
      return "|b1";
  }
  return "";
}

struct Header {
  std::optional<DType> dtype;
  std::optional<bool> fortran_order;
  std::optional<Shape> shape;
};

/// Reads the dictionary literal of the header. Offsets in messages are those of the file.
class HeaderParser {
 public:
  HeaderParser(const std::string& path, std::string_view text, size_t start)
      : path_(path), text_(text), start_(start) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const size_t place = at_;
      const std::string_view key = string();
      expect(':');
      if (key == "descr" && !header.dtype) {
        header.dtype = dtype();
      } else if (key == "fortran_order" && !header.fortran_order) {
        header.fortran_order = boolean();
      } else if (key == "shape" && !header.shape) {
        header.shape = shape();
      } else {
        at_ = place;
        throw fail("an unknown or repeated key");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) throw fail("text after the dictionary");
    if (!header.dtype || !header.fortran_order || !header.shape)
      throw fail("no 'descr', 'fortran_order' or 'shape'");
    return header;
  }

 private:
  Error fail(std::string_view what) const {
    return Error("{} is not a valid NPY file: {} at byte {}", path_, what, start_ + at_)
        .help("write the file again with numpy.save or sinter::save_npy");
  }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t'))
      ++at_;
  }

  bool accept(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) throw fail(fmt::format("no '{}'", c));
  }

  std::string_view string() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') throw fail("no string");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) throw fail("an open string");
    const std::string_view result = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return result;
  }

  bool boolean() {
    skip_space();
    for (bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return value;
    }
    throw fail("no True or False");
  }

  DType dtype() {
    skip_space();
    if (at_ < text_.size() && text_[at_] == '[')
      throw Error("{} holds records, not numbers", path_)
          .help("save each field as an array of its own: numpy.save(name, a['field'])");
    const std::string_view descr = string();
    for (DType d : {DType::f32, DType::f64, DType::i32, DType::i64, DType::boolean}) {
      // One byte has no order, and '=' is written by hand only: it means the machine's.
      const std::string_view known = descr_of(d);
      if (descr.size() == 3 && descr.substr(1) == known.substr(1) &&
          (descr[0] == known[0] || descr[0] == '=' || d == DType::boolean))
        return d;
    }
    if (descr.find('O') != std::string_view::npos)
      throw Error("{} holds Python objects, which are programs and are never loaded", path_)
          .help("save numbers: numpy.save(name, a.astype('float32'))");
    throw Error("{} holds elements of type '{}'", path_, descr)
        .note("read are <f4, <f8, <i4, <i8 and |b1")
        .help("convert it in numpy: a.astype('{}')",
              descr.find('u') != std::string_view::npos || descr.find('i') != std::string_view::npos
                  ? "<i4"
                  : "<f4");
  }

  Shape shape() {
    Shape result;
    expect('(');
    while (!accept(')')) {
      result.push_back(integer());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    if (result.size() > 64) throw fail("more than 64 dimensions");
    return result;
  }

  int64_t integer() {
    skip_space();
    const size_t begin = at_;
    int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
      if (__builtin_mul_overflow(value, 10, &value) ||
          __builtin_add_overflow(value, text_[at_] - '0', &value))
        throw fail("a dimension that is too large");
    if (at_ == begin) throw fail("no dimension");
    return value;
  }

  const std::string& path_;
  std::string_view text_;
  size_t start_;
  size_t at_ = 0;
};

/// Of the payload; nothing if it does not fit into 63 bits.
std::optional<int64_t> payload_bytes(const Shape& shape, DType dtype) {
  int64_t bytes = static_cast<int64_t>(dtype_size(dtype));
  bool overflow = false;
  for (int64_t d : shape) overflow |= __builtin_mul_overflow(bytes, d, &bytes);
  if (overflow) return std::nullopt;
  return bytes;
}

}  // namespace

void save_npy(const std::string& path, const Tensor& tensor) {
  std::string shape;
  for (int64_t d : tensor.shape()) shape += fmt::format("{}, ", d);
  // A tuple of one keeps its comma.
  if (tensor.dim() == 1) shape.pop_back();
  if (tensor.dim() > 1) shape.resize(shape.size() - 2);
  std::string dictionary = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
                                       descr_of(tensor.dtype()), shape);
  const size_t prefix = magic.size() + 4;
  dictionary.append(63 - (prefix + dictionary.size()) % 64, ' ');
  dictionary += '\n';
  if (dictionary.size() > 0xFFFF)
    throw Error("{} axes are too many for NPY version 1", tensor.dim())
        .help("reshape the tensor to fewer axes");
  std::string header(magic);
  header += '\x01';
  header += '\x00';
  header += static_cast<char>(dictionary.size() & 0xFF);
  header += static_cast<char>(dictionary.size() >> 8);
  header += dictionary;
  const Tensor dense = tensor.contiguous();
  const std::array<std::span<const std::byte>, 2> pieces = {
      std::as_bytes(std::span(header)),
      std::span(static_cast<const std::byte*>(dense.raw()), dense.nbytes())};
  detail::write_file(path, pieces);
}

Tensor load_npy(const std::string& path) {
  detail::InputFile file(path);
  std::array<unsigned char, 8> start = {};
  file.read(start.data(), start.size());
  if (std::memcmp(start.data(), magic.data(), magic.size()) != 0)
    throw Error("{} is not an NPY file: wrong magic at byte 0", path)
        .help("write it with numpy.save; an .npz archive must be unpacked first");
  if (start[6] < 1 || start[6] > 3)
    throw Error("{} has NPY version {}.{} at byte 6", path, start[6], start[7])
        .help("write it with version 1, 2 or 3");
  std::array<unsigned char, 4> length_bytes = {};
  const size_t length_size = start[6] == 1 ? 2 : 4;
  file.read(length_bytes.data(), length_size);
  size_t length = 0;
  for (size_t i = 0; i < length_size; ++i) length |= size_t{length_bytes[i]} << (8 * i);
  const size_t header_start = start.size() + length_size;
  const auto data_start = static_cast<int64_t>(header_start + length);
  if (data_start > file.size() || length > max_header)
    throw Error("{} has a header of {} bytes at byte {} but only {} bytes in all", path, length,
                start.size(), file.size())
        .help("write or download the file again");

  std::string text(length, '\0');
  file.read(text.data(), length);
  const Header header = HeaderParser(path, text, header_start).parse();
  const auto bytes = payload_bytes(*header.shape, *header.dtype);
  const int64_t present = file.size() - data_start;
  if (!bytes || *bytes != present)
    throw Error("{} is {}: {} bytes of data from byte {}", path,
                bytes && *bytes < present ? "too long" : "truncated", present, data_start)
        .note("declared : {}{}, {}", *header.dtype, shape_to_string(*header.shape),
              bytes ? fmt::format("{} bytes", *bytes) : "more than 2^63 bytes")
        .help("write or download the file again");

  Shape shape = *header.shape;
  if (*header.fortran_order) std::reverse(shape.begin(), shape.end());
  Tensor tensor = Tensor::empty(std::move(shape), *header.dtype);
  file.read(tensor.raw(), tensor.nbytes());
  if (tensor.dtype() == DType::boolean) {
    detail::check_bools(path, std::as_bytes(tensor.span<bool>()), data_start,
                        "write the file again with numpy.save or sinter::save_npy");
  }
  if (!*header.fortran_order) return tensor;
  for (int64_t i = 0; i < tensor.dim() / 2; ++i) tensor = tensor.transpose(i, -1 - i);
  return tensor.contiguous();
}

}  // namespace sinter
