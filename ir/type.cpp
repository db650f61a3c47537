#include "ir/type.h"

#include <algorithm>

#include <fmt/format.h>

namespace sinter::ir {

bool Type::follows_batch() const {
  return std::any_of(shape.begin(), shape.end(), [](const Dim& d) { return d.batch; });
}

int64_t Type::numel(int64_t n) const {
  int64_t count = 1;
  for (const Dim& d : shape) count *= d.at(n);
  return count;
}

int64_t Type::bytes(int64_t n) const { return numel(n) * static_cast<int64_t>(dtype_size(dtype)); }

std::vector<int64_t> Type::dims(int64_t n) const {
  std::vector<int64_t> out;
  for (const Dim& d : shape) out.push_back(d.at(n));
  return out;
}

std::string to_string(const Dim& dim) {
  if (!dim.batch) return fmt::format("{}", dim.scale);
  return dim.scale == 1 ? "n" : fmt::format("{}n", dim.scale);
}

std::string to_string(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + to_string(shape[i]);
  return out + "]";
}

std::string to_string(const Type& type) {
  return fmt::format("{}{}", dtype_name(type.dtype), to_string(type.shape));
}

bool broadcast_shapes(const Shape& a, const Shape& b, Shape& out) {
  const size_t rank = std::max(a.size(), b.size());
  out.assign(rank, Dim{1});
  for (size_t i = 0; i < rank; ++i) {
    const Dim x = i < a.size() ? a[a.size() - 1 - i] : Dim{1};
    const Dim y = i < b.size() ? b[b.size() - 1 - i] : Dim{1};
    if (x != y && !x.is_one() && !y.is_one()) return false;
    out[rank - 1 - i] = x.is_one() ? y : x;
  }
  return true;
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  Shape joined;
  return broadcast_shapes(from, to, joined) && joined == to;
}

}  // namespace sinter::ir
