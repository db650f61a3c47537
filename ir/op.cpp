#include "ir/op.h"

#include <array>

#include <fmt/format.h>

namespace sinter::ir {

namespace {

constexpr OpKind kKinds[] = {
#define SINTER_OP(name) OpKind::name,
#include "ir/ops.def"
#undef SINTER_OP
};

const OpDef* const kDefs[] = {
#define SINTER_OP(name) &op_##name,
#include "ir/ops.def"
#undef SINTER_OP
};

bool has_kind(const AttrValue& value, AttrKind kind) {
  return value.index() == static_cast<size_t>(kind);
}

std::string_view kind_name(AttrKind kind) {
  constexpr std::string_view names[] = {"an integer",  "a number",           "true or false",
                                        "quoted text", "a list of integers", "a shape"};
  return names[static_cast<size_t>(kind)];
}

void check_attrs(const OpDef& op, const Attrs& attrs) {
  for (const Attr& attr : attrs.list()) {
    const AttrSpec* spec = nullptr;
    for (const AttrSpec& s : op.attrs) {
      if (s.name == attr.name) spec = &s;
    }
    if (!spec) {
      throw Error(fmt::format("{} has no attribute \"{}\"", op.name, attr.name))
          .help("see the op's entry in the reference");
    }
    if (!has_kind(attr.value, spec->kind)) {
      throw Error(fmt::format("attribute \"{}\" of {} must be {}", attr.name, op.name,
                              kind_name(spec->kind)))
          .help("write it in that form");
    }
  }
  for (const AttrSpec& s : op.attrs) {
    if (!attrs.find(s.name)) {
      throw Error(fmt::format("{} needs the attribute \"{}\"", op.name, s.name))
          .help(fmt::format("add it: {}", kind_name(s.kind)));
    }
  }
}

}  // namespace

const OpDef& def(OpKind kind) { return *kDefs[static_cast<size_t>(kind)]; }

std::span<const OpKind> all_ops() { return kKinds; }

std::optional<OpKind> op_from_name(std::string_view name) {
  for (OpKind kind : kKinds) {
    if (def(kind).name == name) return kind;
  }
  return std::nullopt;
}

ScalarProgram scalar_program(const Op& op, std::span<const DType> operands, DType result) {
  const OpDef& d = def(op);
  SINTER_CHECK(d.scalar != nullptr, "{} has no scalar rule", d.name);
  ScalarBuilder b(result);
  std::vector<Scalar> inputs;
  for (size_t i = 0; i < operands.size(); ++i) {
    inputs.push_back(b.operand(static_cast<int>(i), operands[i]));
  }
  const Scalar out = d.scalar(b, inputs, op);
  SINTER_CHECK(out.dtype() == result, "the scalar rule of {} gives {}, its type rule {}", d.name,
               dtype_name(out.dtype()), dtype_name(result));
  return std::move(b).finish(out);
}

ScalarProgram scalar_program(const Func& func, const Op& op) {
  std::vector<DType> operands;
  for (ValueId v : op.operands) operands.push_back(func.type(v).dtype);
  return scalar_program(op, operands, func.type(op.result).dtype);
}

Attrs complete_attrs(OpKind kind, const Attrs& attrs) {
  Attrs out;
  for (const AttrSpec& spec : def(kind).attrs) {
    if (const AttrValue* value = attrs.find(spec.name)) {
      out.set(spec.name, *value);
    } else if (spec.default_value) {
      out.set(spec.name, *spec.default_value);
    }
  }
  for (const Attr& attr : attrs.list()) {
    if (!out.find(attr.name)) out.set(attr.name, attr.value);
  }
  return out;
}

Type infer_type(OpKind kind, std::span<const Type> operands, const Attrs& attrs,
                const std::optional<Type>& declared) {
  const OpDef& d = def(kind);
  if (operands.size() != static_cast<size_t>(d.operands)) {
    throw Error(fmt::format("{} takes {} operands but got {}", d.name, d.operands, operands.size()))
        .help(fmt::format("{}: {}", d.name, d.summary));
  }
  check_attrs(d, attrs);
  return d.infer({operands, attrs, declared});
}

}  // namespace sinter::ir
