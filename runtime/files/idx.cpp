// The IDX format: http://yann.lecun.com/exdb/mnist/ - two zero bytes, a type, the number of axes,
// each size as a big-endian u32, then the elements, big endian, in C order.

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include <unistd.h>
#include <zlib.h>

#include <sinter/error.h>
#include <sinter/idx.h>

#include "runtime/files/file_io.h"
#include "runtime/tensor/convert.h"
#include "runtime/tensor/dispatch.h"

namespace sinter {

namespace {

/// Deflate cannot shrink data by more than this (1032 : 1, plus slack for the headers).
constexpr int64_t max_deflate_ratio = 1040;

/// Reads plain and gzipped bytes alike; offsets are those of the inflated data.
class Reader {
 public:
  explicit Reader(const std::string& path) : file_(path) {
    const int copy = ::dup(file_.descriptor());
    handle_ = copy < 0 ? nullptr : ::gzdopen(copy, "rb");
    if (handle_ == nullptr) {
      if (copy >= 0) ::close(copy);
      throw Error("cannot read {}", path)
          .note("no memory or no descriptor left")
          .help("close other files");
    }
    ::gzbuffer(handle_, 1 << 17);
  }
  ~Reader() { ::gzclose(handle_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  /// No more bytes than this can follow, whatever a header says.
  int64_t most_bytes() const {
    const int64_t size = file_.size();
    return ::gzdirect(handle_) ? size : size * max_deflate_ratio;
  }

  void read(void* to, size_t bytes) {
    const int got = ::gzread(handle_, to, static_cast<unsigned>(bytes));
    if (got > 0) offset_ += got;
    if (got != static_cast<int>(bytes)) throw stream_error();
  }

  void expect_end() {
    unsigned char extra = 0;
    const int got = ::gzread(handle_, &extra, 1);
    if (got > 0)
      throw Error("{} is too long: data after byte {}", file_.path(), offset_)
          .help("write or download the file again");
    if (int code = Z_OK; ::gzerror(handle_, &code), got < 0 || code != Z_OK) throw stream_error();
  }

  int64_t offset() const { return offset_; }

 private:
  Error stream_error() const {
    int code = Z_OK;
    const std::string text = ::gzerror(handle_, &code);
    Error error = code == Z_DATA_ERROR ? Error("{} is damaged at byte {}", file_.path(), offset_)
                                       : Error("{} is truncated at byte {}", file_.path(), offset_);
    if (!text.empty()) error.note("zlib: {}", text);
    return error.help("write or download the file again");
  }

  detail::InputFile file_;
  gzFile handle_;
  int64_t offset_ = 0;
};

/// Takes T from big-endian bytes.
template <class T>
T big_endian(const unsigned char* bytes) {
  static_assert(std::endian::native == std::endian::little);
  std::array<unsigned char, sizeof(T)> swapped;
  std::reverse_copy(bytes, bytes + sizeof(T), swapped.begin());
  return std::bit_cast<T>(swapped);
}

template <class From, class To>
void read_elements(const std::string& path, Reader& reader, Tensor& out) {
  std::array<unsigned char, 1 << 15> buffer;
  constexpr int64_t capacity = buffer.size() / sizeof(From);
  To* to = out.data<To>();
  for (int64_t done = 0; done < out.numel();) {
    const int64_t count = std::min(capacity, out.numel() - done);
    const int64_t place = reader.offset();
    reader.read(buffer.data(), static_cast<size_t>(count) * sizeof(From));
    for (int64_t i = 0; i < count; ++i) {
      const From value = big_endian<From>(buffer.data() + i * static_cast<int64_t>(sizeof(From)));
      if (!detail::convert(value, to[done + i]))
        throw Error("{} has {} at byte {}, which {} cannot hold", path, value,
                    place + i * static_cast<int64_t>(sizeof(From)), out.dtype())
            .help("load it as f32 or f64");
    }
    done += count;
  }
}

/// Calls f(std::type_identity<T>{}) with the element type of an IDX type byte; false if unknown.
template <class F>
bool dispatch_idx(unsigned char type, F f) {
  switch (type) {
    case 0x08:
      f(std::type_identity<uint8_t>{});
      return true;
    case 0x09:
      f(std::type_identity<int8_t>{});
      return true;
    case 0x0B:
      f(std::type_identity<int16_t>{});
      return true;
    case 0x0C:
      f(std::type_identity<int32_t>{});
      return true;
    case 0x0D:
      f(std::type_identity<float>{});
      return true;
    case 0x0E:
      f(std::type_identity<double>{});
      return true;
    default:
      return false;
  }
}

}  // namespace

Tensor load_idx(const std::string& path, DType as) {
  Reader reader(path);
  std::array<unsigned char, 4> start = {};
  reader.read(start.data(), start.size());
  int64_t element_bytes = 0;
  const auto measure = [&]<class T>(std::type_identity<T>) { element_bytes = sizeof(T); };
  if (start[0] != 0 || start[1] != 0 || !dispatch_idx(start[2], measure))
    throw Error("{} is not an IDX file: {:02x} {:02x} {:02x} at byte 0", path, start[0], start[1],
                start[2])
        .help("give a file such as train-images-idx3-ubyte.gz");

  Shape shape;
  int64_t bytes = element_bytes;
  bool overflow = false;
  for (int axis = 0; axis < start[3]; ++axis) {
    std::array<unsigned char, 4> word = {};
    reader.read(word.data(), word.size());
    shape.push_back(big_endian<uint32_t>(word.data()));
    overflow |= __builtin_mul_overflow(bytes, shape.back(), &bytes);
  }
  if (overflow || bytes > reader.most_bytes() - reader.offset())
    throw Error("{} is truncated: its header at byte 4 declares more than the file can hold", path)
        .note("declared : {}", shape_to_string(shape))
        .help("write or download the file again");

  Tensor result = Tensor::empty(std::move(shape), as);
  dispatch_idx(start[2], [&]<class From>(std::type_identity<From>) {
    detail::dispatch(as, [&]<class To>(std::type_identity<To>) {
      read_elements<From, To>(path, reader, result);
    });
  });
  reader.expect_end();
  return result;
}

}  // namespace sinter
