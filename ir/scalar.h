// The scalar language in which elementwise ops give their meaning, once. A rule runs against a
// ScalarBuilder and leaves a ScalarProgram; the interpreter, the constant folder and the LLVM
// emitter run that program. Transcendentals are primitives: libm in the interpreter, polynomials
// in the emitter, so that the oracle does not share a bug with the code it checks.
#pragma once

#include <cstdint>
#include <vector>

#include <sinter/dtype.h>

namespace sinter::ir {

enum class Prim : uint8_t {
  operand,       // scalar of operand `index`
  constant,      // `real` or `integer`, by dtype
  index,         // i64: this element's index along axis `index`
  linear_index,  // i64: this element's row-major number in the result
  rows,          // i64: n, the rows of this batch
  add,
  sub,
  mul,
  div,
  neg,
  exp,
  log,
  log1p,
  sqrt,
  tanh,
  sin,
  cos,
  erf,
  pow,
  floor,
  round,  // to an integer: down, and to the nearest, halves to the even one
  equal,
  less,
  less_equal,
  select,  // a ? b : c
  cast,
  bit_and,
  bit_xor,
  shift_right,  // i64 only; the shift is logical
};

struct ScalarNode {
  Prim prim;
  DType dtype;
  int a = -1, b = -1, c = -1;  // earlier nodes
  int index = 0;
  double real = 0;
  int64_t integer = 0;
};

struct ScalarProgram {
  std::vector<ScalarNode> nodes;
  int result = -1;
};

class ScalarBuilder;

// A node of the program under construction.
struct Scalar {
  ScalarBuilder* b = nullptr;
  int id = -1;
  DType dtype() const;
};

class ScalarBuilder {
 public:
  explicit ScalarBuilder(DType result) : result_dtype(result) {}
  Scalar operand(int i, DType dtype);
  Scalar constant(double value, DType dtype);
  Scalar integer(int64_t value, DType dtype = DType::i64);
  Scalar index(int axis);
  Scalar linear_index();
  Scalar rows();
  Scalar unary(Prim prim, Scalar a);
  Scalar binary(Prim prim, Scalar a, Scalar b);
  Scalar compare(Prim prim, Scalar a, Scalar b);
  Scalar select(Scalar condition, Scalar a, Scalar b);
  Scalar cast(Scalar a, DType dtype);
  ScalarProgram finish(Scalar result) &&;

  const DType result_dtype;

 private:
  friend struct Scalar;
  Scalar push(ScalarNode node);
  ScalarProgram program_;
};

Scalar operator+(Scalar a, Scalar b);
Scalar operator-(Scalar a, Scalar b);
Scalar operator*(Scalar a, Scalar b);
Scalar operator/(Scalar a, Scalar b);
Scalar operator-(Scalar a);
Scalar operator+(double a, Scalar b);
Scalar operator-(double a, Scalar b);
Scalar operator*(double a, Scalar b);
Scalar operator/(double a, Scalar b);
Scalar exp(Scalar a);
Scalar log(Scalar a);
Scalar log1p(Scalar a);
Scalar sqrt(Scalar a);
Scalar tanh(Scalar a);
Scalar sin(Scalar a);
Scalar cos(Scalar a);
Scalar erf(Scalar a);
Scalar pow(Scalar a, Scalar b);
Scalar floor(Scalar a);
Scalar round(Scalar a);

}  // namespace sinter::ir
