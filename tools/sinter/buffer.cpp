#include "tools/sinter/buffer.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace sinter::command {

namespace {

constexpr unsigned char kFill = 0xFF;

template <class To, class From>
void copy_in(const std::vector<From>& from, void* data) {
  auto* to = static_cast<To*>(data);
  for (size_t i = 0; i < from.size(); ++i) to[i] = static_cast<To>(from[i]);
}

template <class From, class To>
void copy_out(const void* data, std::vector<To>& to) {
  const auto* from = static_cast<const From*>(data);
  for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<To>(from[i]);
}

}  // namespace

Buffer::Buffer(const ir::Type& type, int64_t n)
    : type_(type), n_(n), bytes_(static_cast<size_t>(type.bytes(n))) {
  allocated_ = kGuard + (bytes_ + 63) / 64 * 64 + kGuard;
  data_ = detail::allocate_aligned(allocated_, 64);
  if (!data_) throw std::bad_alloc();
  std::memset(data_.get(), kFill, allocated_);
}

void Buffer::write(const ir::Array<double>& array) {
  switch (type_.dtype) {
    case DType::f32:
      return copy_in<float>(array.f, data());
    case DType::f64:
      return copy_in<double>(array.f, data());
    case DType::i32:
      return copy_in<int32_t>(array.i, data());
    case DType::i64:
      return copy_in<int64_t>(array.i, data());
    case DType::boolean:
      return copy_in<uint8_t>(array.i, data());
  }
}

ir::Array<double> Buffer::read() const {
  ir::Array<double> out(type_.dtype, type_.dims(n_));
  switch (type_.dtype) {
    case DType::f32:
      copy_out<float>(data(), out.f);
      break;
    case DType::f64:
      copy_out<double>(data(), out.f);
      break;
    case DType::i32:
      copy_out<int32_t>(data(), out.i);
      break;
    case DType::i64:
      copy_out<int64_t>(data(), out.i);
      break;
    case DType::boolean:
      copy_out<uint8_t>(data(), out.i);
      break;
  }
  return out;
}

bool Buffer::guards_hold() const {
  const unsigned char *begin = data_.get(), *end = begin + allocated_;
  const auto is_fill = [](unsigned char c) { return c == kFill; };
  return std::all_of(begin, begin + kGuard, is_fill) &&
         std::all_of(begin + kGuard + bytes_, end, is_fill);
}

}  // namespace sinter::command
