#include "tests/ops/run_case.h"

#include <sinter/error.h>
#include <sinter/tensor.h>

namespace sinter::test {

namespace {

// Bytes behind every buffer that must stay as they are: two vectors.
constexpr size_t kGuard = 64;
constexpr unsigned char kMark = 0xA5;

template <class T, class U>
void copy_elements(const std::vector<U>& from, void* to) {
  for (size_t i = 0; i < from.size(); ++i) static_cast<T*>(to)[i] = static_cast<T>(from[i]);
}

template <class T, class U>
void copy_elements(const void* from, std::vector<U>& to) {
  for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<U>(static_cast<const T*>(from)[i]);
}

// Fits the type exactly: one element further begins the guard.
class Buffer {
 public:
  Buffer(const ir::Type& type, int64_t n)
      : type_(type),
        n_(n),
        size_(static_cast<size_t>(type.bytes(n))),
        memory_(Tensor::empty({static_cast<int64_t>(size_ + kGuard)}, DType::boolean)) {
    std::memset(memory_.raw(), kMark, size_ + kGuard);
  }
  void* data() { return memory_.raw(); }

  void set(const ir::Array<double>& a) {
    switch (type_.dtype) {
      case DType::f32:
        return copy_elements<float>(a.f, data());
      case DType::f64:
        return copy_elements<double>(a.f, data());
      case DType::i32:
        return copy_elements<int32_t>(a.i, data());
      case DType::i64:
        return copy_elements<int64_t>(a.i, data());
      case DType::boolean:
        return copy_elements<uint8_t>(a.i, data());
    }
  }

  ir::Array<double> get() {
    ir::Array<double> a(type_.dtype, type_.dims(n_));
    switch (type_.dtype) {
      case DType::f32:
        copy_elements<float>(data(), a.f);
        break;
      case DType::f64:
        copy_elements<double>(data(), a.f);
        break;
      case DType::i32:
        copy_elements<int32_t>(data(), a.i);
        break;
      case DType::i64:
        copy_elements<int64_t>(data(), a.i);
        break;
      case DType::boolean:
        copy_elements<uint8_t>(data(), a.i);
        break;
    }
    return a;
  }

  void check_guard() {
    const auto* bytes = static_cast<const unsigned char*>(memory_.raw());
    for (size_t i = size_; i < size_ + kGuard; ++i) {
      SINTER_CHECK(bytes[i] == kMark, "compiled code wrote behind a buffer of {}",
                   ir::to_string(type_));
    }
  }

 private:
  ir::Type type_;
  int64_t n_;
  size_t size_;
  Tensor memory_;
};

}  // namespace

CompiledCase::CompiledCase(const ir::Module& module, const compiler::Options& options)
    : func_(module.funcs.front()), executable_(compiler::compile(module, func_.name, options)) {}

std::vector<ir::Array<double>> CompiledCase::operator()(const std::vector<ir::Array<double>>& args,
                                                        int64_t n) {
  std::vector<Buffer> buffers;
  for (ir::ValueId v : func_.args) buffers.emplace_back(func_.type(v), n);
  for (ir::ValueId v : func_.results) buffers.emplace_back(func_.type(v), n);
  std::vector<void*> pointers;
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (i < args.size()) buffers[i].set(args[i]);
    pointers.push_back(buffers[i].data());
  }
  executable_->run(pointers.data(), n);
  std::vector<ir::Array<double>> results;
  for (size_t i = 0; i < buffers.size(); ++i) {
    buffers[i].check_guard();
    if (i >= args.size()) results.push_back(buffers[i].get());
  }
  return results;
}

}  // namespace sinter::test
