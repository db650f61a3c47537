#include <algorithm>
#include <bit>
#include <unordered_map>
#include <utility>

#include <sinter/fnv.h>

#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"
#include "ir/op.h"

namespace sinter::compiler {

namespace {

using namespace ir;

uint64_t mix(uint64_t hash, uint64_t word) { return hash_bytes(&word, sizeof word, hash); }

// Numbers are compared by bits: -0 is not 0, and a NaN is itself.
uint64_t bits_of(double v) { return std::bit_cast<uint64_t>(v); }

uint64_t hash_shape(const Shape& shape, uint64_t hash) {
  for (const Dim& d : shape) hash = mix(hash, static_cast<uint64_t>(d.scale) * 2 + d.batch);
  return mix(hash, shape.size());
}

uint64_t hash_attr(const AttrValue& value, uint64_t hash) {
  const auto visit = [&]<class T>(const T& v) {
    if constexpr (std::is_same_v<T, double>)
      return mix(hash, bits_of(v));
    else if constexpr (std::is_same_v<T, std::string>)
      return hash_bytes(v.data(), v.size(), hash);
    else if constexpr (std::is_same_v<T, Shape>)
      return hash_shape(v, hash);
    else if constexpr (std::is_same_v<T, std::vector<int64_t>>)
      return hash_bytes(v.data(), v.size() * sizeof(int64_t), hash);
    else
      return mix(hash, static_cast<uint64_t>(v));
  };
  return std::visit(visit, value);
}

bool same_attr(const AttrValue& a, const AttrValue& b) {
  const double *x = std::get_if<double>(&a), *y = std::get_if<double>(&b);
  if (x && y) return bits_of(*x) == bits_of(*y);
  return a == b;
}

class ValueNumbering {
 public:
  explicit ValueNumbering(Func& func) : func_(func) {}

  void run() {
    std::vector<Op> kept;
    for (Op& op : std::exchange(func_.body, {})) {
      for (ValueId& v : op.operands) v = number(v);
      const bool pure = op.result.valid() && !def(op).is(Trait::effect) && op.body.empty();
      if (pure) {
        Key key = make_key(op);
        const auto [first, is_new] = numbers_.try_emplace(std::move(key), op.result);
        if (!is_new) {
          // The name of one use of a constant would mislead at the others.
          if (!def(op).is(Trait::source)) hand_over_name(func_, op.result, first->second);
          equal_.emplace_back(op.result, first->second);
          renumbered_.emplace(op.result.index, first->second);
          continue;
        }
      }
      kept.push_back(std::move(op));
    }
    func_.body = std::move(kept);
    if (equal_.empty()) return;
    replace_uses(func_, equal_);
    compact(func_);
  }

 private:
  // What makes two ops equal, with its hash. Kept apart from the ops, which move.
  struct Key {
    OpKind kind;
    std::vector<ValueId> operands;
    Attrs attrs;
    Type type;
    uint64_t hash = fnv64_basis;

    bool operator==(const Key& other) const {
      const auto &p = attrs.list(), &q = other.attrs.list();
      return kind == other.kind && operands == other.operands && type == other.type &&
             std::equal(p.begin(), p.end(), q.begin(), q.end(), [](const Attr& a, const Attr& b) {
               return a.name == b.name && same_attr(a.value, b.value);
             });
    }
  };
  struct HashOf {
    size_t operator()(const Key& key) const { return key.hash; }
  };

  ValueId number(ValueId v) const {
    const auto it = renumbered_.find(v.index);
    return it == renumbered_.end() ? v : it->second;
  }

  Key make_key(const Op& op) const {
    Key key{op.kind, op.operands, op.attrs, func_.type(op.result)};
    if (def(op).is(Trait::commutative)) std::sort(key.operands.begin(), key.operands.end());
    uint64_t hash = mix(fnv64_basis, static_cast<uint64_t>(op.kind));
    for (ValueId v : key.operands) hash = mix(hash, static_cast<uint64_t>(v.index));
    for (const Attr& attr : key.attrs.list()) hash = hash_attr(attr.value, hash);
    key.hash = hash_shape(key.type.shape, mix(hash, static_cast<uint64_t>(key.type.dtype)));
    return key;
  }

  Func& func_;
  std::unordered_map<Key, ValueId, HashOf> numbers_;
  std::unordered_map<int32_t, ValueId> renumbered_;
  std::vector<std::pair<ValueId, ValueId>> equal_;
};

}  // namespace

void cse(Module& module, const Options&) {
  for (Func& func : module.funcs) ValueNumbering(func).run();
}

}  // namespace sinter::compiler
