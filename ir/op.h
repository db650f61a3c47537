// What an op is: the one page to read before adding one. An op is a constant `OpDef` in ir/ops/
// that states its operands, attributes, type rule, derivative and meaning. Verifier, printer,
// parser, interpreter, differentiation, fusion and code generation ask this table; none of them
// names an op, except for the few that have a code shape of their own (see
// compiler/forms/kernel.h).
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sinter/error.h>

#include "ir/builder.h"
#include "ir/eval.h"
#include "ir/graph.h"
#include "ir/scalar.h"

namespace sinter::ir {

enum class AttrKind : uint8_t { integer, real, flag, text, integers, shape };

struct AttrSpec {
  std::string_view name;
  AttrKind kind;
  // Left out of the text when it has this value; no default means that the attribute is required.
  std::optional<AttrValue> default_value{};
};

enum class Trait : uint16_t {
  none = 0,
  elementwise = 1 << 0,   // result[i] = f(operands[i]), operands broadcast; has `.scalar`
  commutative = 1 << 1,   // the operands may be swapped
  typed_result = 1 << 2,  // the result type is part of the op, not inferred from operands
  view = 1 << 3,          // result elements are operand elements at other indices; free
  reduction = 1 << 4,     // folds axes of its only operand, attribute `axes` or `axis`
  effect = 1 << 5,        // must run even when nothing reads a result
  source = 1 << 6,        // needs no memory: its elements are computed from their indices
};
constexpr Trait operator|(Trait a, Trait b) {
  return static_cast<Trait>(static_cast<uint16_t>(a) | static_cast<uint16_t>(b));
}

// What a type rule sees. `declared` is the type written by the user for `typed_result` ops.
struct InferArgs {
  std::span<const Type> operands;
  const Attrs& attrs;
  const std::optional<Type>& declared;
};
using InferRule = Type (*)(const InferArgs&);

// What a derivative rule sees: build the cotangents of the operands from that of the result.
class Vjp {
 public:
  Vjp(Builder& builder, const Op& op, ValueId cotangent) : b(builder), op_(op), ct_(cotangent) {}
  Expr cotangent() { return {b, ct_}; }
  Expr operand(int i) { return {b, op_.operands[static_cast<size_t>(i)]}; }
  Expr result() { return {b, op_.result}; }
  const Attrs& attrs() const { return op_.attrs; }
  // Cotangent of operand i, in the broadcast shape or the operand's own; the driver sums
  // broadcast axes back and adds up several uses. Operands never named get none.
  void add(int i, Expr cotangent) { out.emplace_back(i, cotangent.id()); }

  Builder& b;
  std::vector<std::pair<int, ValueId>> out;

 private:
  const Op& op_;
  ValueId ct_;
};

// Either a rule or the written statement that there is none: an OpDef cannot leave it open.
struct VjpRule {
  using Fn = void (*)(Vjp&);
  constexpr VjpRule(Fn rule) : fn(rule) {}  // NOLINT(google-explicit-constructor)
  template <class Lambda>
  constexpr VjpRule(Lambda rule) : fn(rule) {}  // NOLINT(google-explicit-constructor)
  Fn fn;
};
inline constexpr VjpRule not_differentiable{static_cast<VjpRule::Fn>(nullptr)};

// Meaning of an elementwise op: one scalar of the result from one scalar of each operand.
using ScalarRule = Scalar (*)(ScalarBuilder&, std::span<const Scalar>, const Op&);
// Lowering to other ops, for ops that own a derivative but not a kernel.
using ExpandRule = Expr (*)(Builder&, const Op&);

struct OpDef {
  std::string_view name;
  std::string_view summary;  // one sentence for the reference page
  int operands;              // how many
  std::vector<AttrSpec> attrs{};
  Trait traits = Trait::none;
  InferRule infer;
  VjpRule vjp;
  ScalarRule scalar = nullptr;  // elementwise and source ops
  ExpandRule expand = nullptr;  // composites
  EvalRule eval{};              // everything else: the reference meaning

  bool is(Trait t) const { return (static_cast<uint16_t>(traits) & static_cast<uint16_t>(t)) != 0; }
};

const OpDef& def(OpKind kind);
inline const OpDef& def(const Op& op) { return def(op.kind); }
std::span<const OpKind> all_ops();
std::optional<OpKind> op_from_name(std::string_view name);

// The program of an elementwise or source op for operands of these element types.
ScalarProgram scalar_program(const Op& op, std::span<const DType> operands, DType result);
// The same for an op of this function.
ScalarProgram scalar_program(const Func& func, const Op& op);

// `attrs` in schema order with the defaults filled in.
Attrs complete_attrs(OpKind kind, const Attrs& attrs);

// Checks attributes against the schema (unknown, missing, wrong kind), then applies the type
// rule. Throws Error in the user's words.
Type infer_type(OpKind kind, std::span<const Type> operands, const Attrs& attrs,
                const std::optional<Type>& declared);

#define SINTER_OP(name) extern const OpDef op_##name;
#include "ir/ops.def"
#undef SINTER_OP

}  // namespace sinter::ir
