// The reference interpreter behind the interface of compiled code: copies the buffers in for n
// rows, runs, and copies globals and results back.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <sinter/error.h>

#include "compiler/compile.h"
#include "ir/interpret.h"

namespace sinter::compiler {

namespace {

using ir::Array;

template <class From, class To>
void convert(const void* from, std::vector<To>& to) {
  const From* values = static_cast<const From*>(from);
  for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<To>(values[i]);
}

template <class To, class From>
void convert_back(const std::vector<From>& from, void* to) {
  To* values = static_cast<To*>(to);
  for (size_t i = 0; i < from.size(); ++i) values[i] = static_cast<To>(from[i]);
}

template <class T>
Array<T> read(const ir::Type& type, int64_t n, const void* buffer) {
  Array<T> out(type.dtype, type.dims(n));
  switch (type.dtype) {
    case DType::f32:
      convert<float>(buffer, out.f);
      break;
    case DType::f64:
      convert<double>(buffer, out.f);
      break;
    case DType::i32:
      convert<int32_t>(buffer, out.i);
      break;
    case DType::i64:
      convert<int64_t>(buffer, out.i);
      break;
    case DType::boolean:
      convert<uint8_t>(buffer, out.i);
      break;
  }
  return out;
}

template <class T>
void write(const Array<T>& array, void* buffer) {
  switch (array.dtype) {
    case DType::f32:
      convert_back<float>(array.f, buffer);
      break;
    case DType::f64:
      convert_back<double>(array.f, buffer);
      break;
    case DType::i32:
      convert_back<int32_t>(array.i, buffer);
      break;
    case DType::i64:
      convert_back<int64_t>(array.i, buffer);
      break;
    case DType::boolean:
      convert_back<uint8_t>(array.i, buffer);
      break;
  }
}

// T is the one type in which all floats are computed.
template <class T>
class Interpreted final : public Executable {
 public:
  Interpreted(ir::Module module, const std::string& func, const Options& options)
      : module_(std::move(module)), func_(*module_.find(func)), max_batch_(options.max_batch) {}

  void run(void* const* buffers, int64_t n) override {
    std::vector<Array<T>> args, globals;
    for (ir::ValueId v : func_.args) args.push_back(read<T>(func_.type(v), n, *buffers++));
    void* const* global_buffers = buffers;
    for (const ir::Global& g : module_.globals) globals.push_back(read<T>(g.type, n, *buffers++));
    const std::vector<Array<T>> results = ir::interpret<T>(module_, func_, args, globals, n);
    for (size_t i = 0; i < globals.size(); ++i) {
      if (assigned_[i]) write(globals[i], global_buffers[i]);
    }
    for (const Array<T>& result : results) write(result, *buffers++);
  }

  void run_steps(void* const* buffers, std::span<const int64_t> stride_bytes, int64_t count,
                 int64_t batch, int64_t last_rows) override {
    std::vector<void*> at(buffers, buffers + stride_bytes.size());
    for (int64_t step = 0; step < count; ++step) {
      run(at.data(), step + 1 < count ? batch : last_rows);
      for (size_t i = 0; i < at.size(); ++i) at[i] = static_cast<char*>(at[i]) + stride_bytes[i];
    }
  }

  const ir::Module& module() const override { return module_; }
  int64_t max_batch() const override { return max_batch_; }

 private:
  // Only what is assigned is written back: a frozen parameter may lie in read-only memory.
  static std::vector<bool> find_assigned(const ir::Module& module, const ir::Func& func) {
    std::vector<bool> out(module.globals.size(), false);
    ir::for_each_op(func.body, [&](const ir::Op& op) {
      if (op.kind == ir::OpKind::assign) {
        out[static_cast<size_t>(func[op.operands[0]].index)] = true;
      }
    });
    return out;
  }

  ir::Module module_;
  const ir::Func& func_;
  int64_t max_batch_;
  std::vector<bool> assigned_ = find_assigned(module_, func_);
};

bool has_f64(const ir::Module& module, const ir::Func& func) {
  const auto wide = [](const auto& x) { return x.type.dtype == DType::f64; };
  return std::any_of(func.values.begin(), func.values.end(), wide) ||
         std::any_of(module.globals.begin(), module.globals.end(), wide);
}

}  // namespace

std::unique_ptr<Executable> make_interpreted(ir::Module module, const std::string& func,
                                             const Options& options) {
  const ir::Func* f = module.find(func);
  SINTER_CHECK(f != nullptr, "the module has no function {}", func);
  if (has_f64(module, *f)) {
    return std::make_unique<Interpreted<double>>(std::move(module), func, options);
  }
  return std::make_unique<Interpreted<float>>(std::move(module), func, options);
}

}  // namespace sinter::compiler
