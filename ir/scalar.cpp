#include "ir/scalar.h"

#include <utility>

#include <sinter/error.h>

namespace sinter::ir {

DType Scalar::dtype() const { return b->program_.nodes[static_cast<size_t>(id)].dtype; }

Scalar ScalarBuilder::push(ScalarNode node) {
  program_.nodes.push_back(node);
  return {this, static_cast<int>(program_.nodes.size()) - 1};
}

Scalar ScalarBuilder::operand(int i, DType dtype) {
  return push({.prim = Prim::operand, .dtype = dtype, .index = i});
}

Scalar ScalarBuilder::constant(double value, DType dtype) {
  int64_t integer = 0;
  if (dtype == DType::boolean) integer = value != 0;
  if (is_int(dtype)) integer = static_cast<int64_t>(value);
  return push({.prim = Prim::constant, .dtype = dtype, .real = value, .integer = integer});
}

Scalar ScalarBuilder::integer(int64_t value, DType dtype) {
  return push({.prim = Prim::constant,
               .dtype = dtype,
               .real = static_cast<double>(value),
               .integer = value});
}

Scalar ScalarBuilder::index(int axis) {
  return push({.prim = Prim::index, .dtype = DType::i64, .index = axis});
}

Scalar ScalarBuilder::linear_index() {
  return push({.prim = Prim::linear_index, .dtype = DType::i64});
}

Scalar ScalarBuilder::rows() { return push({.prim = Prim::rows, .dtype = DType::i64}); }

Scalar ScalarBuilder::unary(Prim prim, Scalar a) {
  return push({.prim = prim, .dtype = a.dtype(), .a = a.id});
}

Scalar ScalarBuilder::binary(Prim prim, Scalar a, Scalar b) {
  SINTER_CHECK(a.dtype() == b.dtype(), "scalar operands of different dtypes: {} and {}",
               dtype_name(a.dtype()), dtype_name(b.dtype()));
  return push({.prim = prim, .dtype = a.dtype(), .a = a.id, .b = b.id});
}

Scalar ScalarBuilder::compare(Prim prim, Scalar a, Scalar b) {
  SINTER_CHECK(a.dtype() == b.dtype(), "compared scalars have different dtypes: {} and {}",
               dtype_name(a.dtype()), dtype_name(b.dtype()));
  return push({.prim = prim, .dtype = DType::boolean, .a = a.id, .b = b.id});
}

Scalar ScalarBuilder::select(Scalar condition, Scalar a, Scalar b) {
  SINTER_CHECK(condition.dtype() == DType::boolean && a.dtype() == b.dtype(), "select({}, {}, {})",
               dtype_name(condition.dtype()), dtype_name(a.dtype()), dtype_name(b.dtype()));
  return push({.prim = Prim::select, .dtype = a.dtype(), .a = condition.id, .b = a.id, .c = b.id});
}

Scalar ScalarBuilder::cast(Scalar a, DType dtype) {
  if (a.dtype() == dtype) return a;
  return push({.prim = Prim::cast, .dtype = dtype, .a = a.id});
}

ScalarProgram ScalarBuilder::finish(Scalar result) && {
  program_.result = result.id;
  return std::move(program_);
}

Scalar operator+(Scalar a, Scalar b) { return a.b->binary(Prim::add, a, b); }
Scalar operator-(Scalar a, Scalar b) { return a.b->binary(Prim::sub, a, b); }
Scalar operator*(Scalar a, Scalar b) { return a.b->binary(Prim::mul, a, b); }
Scalar operator/(Scalar a, Scalar b) { return a.b->binary(Prim::div, a, b); }
Scalar operator-(Scalar a) { return a.b->unary(Prim::neg, a); }
Scalar operator+(double a, Scalar b) { return b.b->constant(a, b.dtype()) + b; }
Scalar operator-(double a, Scalar b) { return b.b->constant(a, b.dtype()) - b; }
Scalar operator*(double a, Scalar b) { return b.b->constant(a, b.dtype()) * b; }
Scalar operator/(double a, Scalar b) { return b.b->constant(a, b.dtype()) / b; }
Scalar exp(Scalar a) { return a.b->unary(Prim::exp, a); }
Scalar log(Scalar a) { return a.b->unary(Prim::log, a); }
Scalar log1p(Scalar a) { return a.b->unary(Prim::log1p, a); }
Scalar sqrt(Scalar a) { return a.b->unary(Prim::sqrt, a); }
Scalar tanh(Scalar a) { return a.b->unary(Prim::tanh, a); }
Scalar sin(Scalar a) { return a.b->unary(Prim::sin, a); }
Scalar cos(Scalar a) { return a.b->unary(Prim::cos, a); }
Scalar erf(Scalar a) { return a.b->unary(Prim::erf, a); }
Scalar pow(Scalar a, Scalar b) { return a.b->binary(Prim::pow, a, b); }
Scalar floor(Scalar a) { return a.b->unary(Prim::floor, a); }
Scalar round(Scalar a) { return a.b->unary(Prim::round, a); }

}  // namespace sinter::ir
