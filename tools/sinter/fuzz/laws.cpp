#include "tools/sinter/fuzz/laws.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sinter::fuzz {

namespace {

using ir::Dim;
using ir::Expr;
using ir::OpKind;
using ir::Shape;
using ir::Type;
using ir::ValueId;

using List = std::vector<int64_t>;
using X = const Operands&;
using Picked = std::optional<Operands>;

// ---- Operands
// -------------------------------------------------------------------------------------

// A random value of the program's own float type for which `fits` holds.
template <class F>
std::optional<Expr> find(Growth& g, F fits) {
  std::vector<ValueId> matches;
  for (ValueId v : g.pool()) {
    const Type& type = g.builder().func().type(v);
    if (type.dtype == g.dtype() && fits(type)) matches.push_back(v);
  }
  if (matches.empty()) return std::nullopt;
  return Expr(g.builder(), g.random().of(matches));
}

Picked any(Growth& g) {
  const auto x = find(g, [](const Type&) { return true; });
  return x ? Picked({*x}) : std::nullopt;
}
Picked two(Growth& g) {
  Picked x = any(g);
  if (x) x->push_back(g.value_of((*x)[0].type()));
  return x;
}
Picked three(Growth& g) {
  Picked x = two(g);
  if (x) x->push_back(g.value_of((*x)[0].type()));
  return x;
}
Picked with_scalar(Growth& g) {
  Picked x = any(g);
  if (x) x->push_back(g.value_of({g.dtype(), {}}));
  return x;
}
// Away from 0, where both sides have a kink.
Picked not_zero(Growth& g) {
  Picked x = any(g);
  if (!x) return x;
  const std::vector<double>& f = g.elements((*x)[0].id()).f;
  const bool near = std::any_of(f.begin(), f.end(), [](double v) { return std::abs(v) < 1e-3; });
  return near ? std::nullopt : x;
}
Picked axes(Growth& g) {
  const auto x = find(g, [](const Type& t) { return t.rank() >= 2; });
  return x ? Picked({*x}) : std::nullopt;
}
Picked with_columns(Growth& g) {
  const auto x = find(g, [](const Type& t) { return t.rank() >= 2 && !t.shape.back().batch; });
  return x ? Picked({*x}) : std::nullopt;
}
// x [..., k] and w [m, k].
Picked product(Growth& g) {
  Picked x = with_columns(g);
  if (!x) return x;
  x->push_back(g.value_of({g.dtype(), {Dim{g.random_size()}, (*x)[0].type().shape.back()}}));
  return x;
}
Picked product_and_bias(Growth& g) {
  Picked x = product(g);
  if (x) x->push_back(g.value_of({g.dtype(), {(*x)[1].type().shape[0]}}));
  return x;
}
// x [m, k] and w, v [p, k].
Picked matrix_and_two(Growth& g) {
  Picked x = product(g);
  if (!x || (*x)[0].type().rank() != 2) return std::nullopt;
  x->push_back(g.value_of((*x)[1].type()));
  return x;
}
// A table and row numbers that it has.
Picked table_and_rows(Growth& g) {
  const auto x = find(g, [](const Type& t) { return t.rank() == 2 && !t.shape[0].batch; });
  if (!x) return std::nullopt;
  const Expr index = g.value_of({DType::i64, {ir::batch_dim}});
  const List& i = g.elements(index.id()).i;
  const int64_t rows = x->type().shape[0].scale;
  // Other steps draw other numbers below the same limit.
  if (rows < 8 || std::any_of(i.begin(), i.end(), [&](int64_t v) { return v < 0 || v >= 8; })) {
    return std::nullopt;
  }
  return Picked({*x, index});
}
Picked logits_and_labels(Growth& g) {
  const auto x = find(g, [](const Type& t) { return t.rank() == 2 && !t.shape[1].batch; });
  if (!x) return std::nullopt;
  const Expr labels = argmax(g.value_of(x->type()), 1);
  return g.settle() ? Picked({*x, labels}) : std::nullopt;
}

// ---- Building blocks
// ------------------------------------------------------------------------------

List all_axes(Expr x) {
  List out(x.type().shape.size());
  std::iota(out.begin(), out.end(), 0);
  return out;
}
List reversed_axes(Expr x) {
  List out = all_axes(x);
  std::reverse(out.begin(), out.end());
  return out;
}
int64_t last_axis(Expr x) { return x.type().rank() - 1; }
Expr unary(OpKind kind, Expr x) { return x.builder().apply(kind, {x}); }
Expr tanh(Expr x) { return unary(OpKind::tanh, x); }
Expr sigmoid(Expr x) { return unary(OpKind::sigmoid, x); }
Expr relu(Expr x) { return unary(OpKind::relu, x); }
Expr along_last(OpKind kind, Expr x) {
  return x.builder().apply(kind, {x}, {{"axis", last_axis(x)}});
}
Expr softmax(Expr x) { return along_last(OpKind::softmax, x); }
Expr log_softmax(Expr x) { return along_last(OpKind::log_softmax, x); }
Expr positive(Expr x) { return x * x + 0.5; }
Expr transposed(Expr x) { return transpose(x, reversed_axes(x)); }
Expr total(Expr x) { return sum(x, all_axes(x), false); }
Expr zero(Expr x) { return x.builder().scalar(0, x.type().dtype); }
Expr times_transposed(Expr x, Expr w) { return contraction(x, w, {last_axis(x)}, {1}); }
Expr loss(OpKind kind, Expr x, Expr y) { return x.builder().apply(kind, {x, y}); }
Expr count(Expr x) { return x.builder().extent(x.type().shape, x.type().dtype); }
Shape flat(Expr x) {
  Dim all{1};
  for (const Dim& d : x.type().shape) all = Dim(all.scale * d.scale, all.batch || d.batch);
  return {all};
}
bool flattens(const Type& t) {
  return std::count_if(t.shape.begin(), t.shape.end(), [](const Dim& d) { return d.batch; }) <= 1;
}
Picked flat_enough(Growth& g) {
  const auto x = find(g, flattens);
  return x ? Picked({*x}) : std::nullopt;
}
// 1 where the column is the row's number, in rows of `columns`.
Expr one_hot(Expr index, Dim columns, DType dtype) {
  ir::Builder& b = index.builder();
  const Type wide{index.type().dtype, {index.type().shape[0], columns}};
  const Expr column = reshape(index, {index.type().shape[0], Dim{1}});
  return select(equal(b.iota(1, wide), column), b.scalar(1, dtype), b.scalar(0, dtype));
}

const Law kLaws[] = {
    {"x + y = y + x", two, [](X x) { return x[0] + x[1]; }, [](X x) { return x[1] + x[0]; }},
    {"x * y = y * x", two, [](X x) { return x[0] * x[1]; }, [](X x) { return x[1] * x[0]; }},
    {"(x + y) + z = x + (y + z)", three, [](X x) { return (x[0] + x[1]) + x[2]; },
     [](X x) { return x[0] + (x[1] + x[2]); }},
    {"x * (y + z) = x * y + x * z", three, [](X x) { return x[0] * (x[1] + x[2]); },
     [](X x) { return x[0] * x[1] + x[0] * x[2]; }},
    {"x - y = x + -y", two, [](X x) { return x[0] - x[1]; }, [](X x) { return x[0] + -x[1]; }},
    {"--x = x", any, [](X x) { return -(-x[0]); }, [](X x) { return x[0]; }},
    {"x / y = x * (1 / y)", two, [](X x) { return x[0] / positive(x[1]); },
     [](X x) { return x[0] * (1.0 / positive(x[1])); }},
    {"x + x = 2 x", any, [](X x) { return x[0] + x[0]; }, [](X x) { return 2.0 * x[0]; }},
    {"(x + y) (x - y) = x x - y y", two, [](X x) { return (x[0] + x[1]) * (x[0] - x[1]); },
     [](X x) { return x[0] * x[0] - x[1] * x[1]; }},
    {"exp(log(x)) = x", any, [](X x) { return exp(log(positive(x[0]))); },
     [](X x) { return positive(x[0]); }},
    {"log(exp(x)) = x", any, [](X x) { return log(exp(tanh(x[0]))); },
     [](X x) { return tanh(x[0]); }},
    {"exp(x + y) = exp(x) exp(y)", two, [](X x) { return exp(tanh(x[0]) + tanh(x[1])); },
     [](X x) { return exp(tanh(x[0])) * exp(tanh(x[1])); }},
    {"log(x y) = log(x) + log(y)", two, [](X x) { return log(positive(x[0]) * positive(x[1])); },
     [](X x) { return log(positive(x[0])) + log(positive(x[1])); }},
    {"sqrt(x)^2 = x", any,
     [](X x) {
       const Expr root = sqrt(positive(x[0]));
       return root * root;
     },
     [](X x) { return positive(x[0]); }},
    {"sqrt(x) = exp(log(x) / 2)", any, [](X x) { return sqrt(positive(x[0])); },
     [](X x) { return exp(log(positive(x[0])) * 0.5); }},
    {"tanh(x) = 2 sigmoid(2 x) - 1", any, [](X x) { return tanh(x[0]); },
     [](X x) { return 2.0 * sigmoid(2.0 * x[0]) - 1.0; }},
    {"sigmoid(x) = 1 / (1 + exp(-x))", any, [](X x) { return sigmoid(tanh(x[0])); },
     [](X x) { return 1.0 / (1.0 + exp(-tanh(x[0]))); }},
    {"sigmoid(-x) = 1 - sigmoid(x)", any, [](X x) { return sigmoid(-x[0]); },
     [](X x) { return 1.0 - sigmoid(x[0]); }},
    {"relu(x) - relu(-x) = x", not_zero, [](X x) { return relu(x[0]) - relu(-x[0]); },
     [](X x) { return x[0]; }},
    {"relu(x) = x where x > 0, else 0", any, [](X x) { return relu(x[0]); },
     [](X x) { return select(less(zero(x[0]), x[0]), x[0], zero(x[0])); }},
    {"x where c, else y = y where not c, else x", two,
     [](X x) { return select(less(x[0], zero(x[0])), x[0], x[1]); },
     [](X x) { return select(less_equal(zero(x[0]), x[0]), x[1], x[0]); }},
    {"softmax(x + c) = softmax(x)", with_columns,
     [](X x) { return softmax(x[0] + sum(x[0], {last_axis(x[0])}, true)); },
     [](X x) { return softmax(x[0]); }},
    {"log(softmax(x)) = log_softmax(x)", with_columns, [](X x) { return log(softmax(tanh(x[0]))); },
     [](X x) { return log_softmax(tanh(x[0])); }},
    {"softmax(x) = exp(log_softmax(x))", with_columns, [](X x) { return softmax(x[0]); },
     [](X x) { return exp(log_softmax(x[0])); }},
    {"softmax(x) = exp(x) / sum(exp(x))", with_columns, [](X x) { return softmax(tanh(x[0])); },
     [](X x) {
       const Expr e = exp(tanh(x[0]));
       return e / sum(e, {last_axis(e)}, true);
     }},
    {"mean(x) = sum(x) / extent", any,
     [](X x) { return x[0].builder().apply(OpKind::mean, {x[0]}, {{"axes", all_axes(x[0])}}); },
     [](X x) { return total(x[0]) / count(x[0]); }},
    {"sum(x, [0, 1]) = sum(sum(x, 1), 0)", axes, [](X x) { return sum(x[0], {0, 1}, false); },
     [](X x) { return sum(sum(x[0], {1}, false), {0}, false); }},
    {"sum(x^T) = sum(x)", axes, [](X x) { return total(transposed(x[0])); },
     [](X x) { return total(x[0]); }},
    {"sum(x + y) = sum(x) + sum(y)", two, [](X x) { return total(x[0] + x[1]); },
     [](X x) { return total(x[0]) + total(x[1]); }},
    {"sum(c x) = c sum(x)", with_scalar, [](X x) { return total(x[1] * x[0]); },
     [](X x) { return x[1] * total(x[0]); }},
    {"x^T^T = x", axes, [](X x) { return transposed(transposed(x[0])); }, [](X x) { return x[0]; }},
    {"f(x)^T = f(x^T)", axes, [](X x) { return transposed(tanh(x[0])); },
     [](X x) { return tanh(transposed(x[0])); }},
    {"reshape(reshape(x)) = x", flat_enough,
     [](X x) { return reshape(reshape(x[0], flat(x[0])), x[0].type().shape); },
     [](X x) { return x[0]; }},
    {"f(reshape(x)) = reshape(f(x))", flat_enough,
     [](X x) { return sigmoid(reshape(x[0], flat(x[0]))); },
     [](X x) { return reshape(sigmoid(x[0]), flat(x[0])); }},
    {"x + y = x + broadcast(y)", with_scalar, [](X x) { return x[0] + x[1]; },
     [](X x) { return x[0] + broadcast(x[1], x[0].type().shape); }},
    {"(x w^T)^T = w x^T", product, [](X x) { return transposed(times_transposed(x[0], x[1])); },
     [](X x) { return contraction(x[1], transposed(x[0]), {1}, {0}); }},
    {"linear(x, w, b) = x w^T + b", product_and_bias,
     [](X x) { return x[0].builder().apply(OpKind::linear, x); },
     [](X x) { return times_transposed(x[0], x[1]) + x[2]; }},
    {"x (w + v)^T = x w^T + x v^T", matrix_and_two,
     [](X x) { return times_transposed(x[0], x[1] + x[2]); },
     [](X x) { return times_transposed(x[0], x[1]) + times_transposed(x[0], x[2]); }},
    {"x w^T = sum of products", matrix_and_two, [](X x) { return times_transposed(x[0], x[1]); },
     [](X x) {
       const Shape a = x[0].type().shape, b = x[1].type().shape;
       return sum(reshape(x[0], {a[0], Dim{1}, a[1]}) * reshape(x[1], {Dim{1}, b[0], b[1]}), {2},
                  false);
     }},
    {"mse_loss(x, y) = sum((x - y)^2) / extent", two,
     [](X x) { return loss(OpKind::mse_loss, x[0], x[1]); },
     [](X x) {
       const Expr d = x[0] - x[1];
       return total(d * d) / count(d);
     }},
    {"cross_entropy = -mean of the label's log_softmax", logits_and_labels,
     [](X x) { return loss(OpKind::cross_entropy, x[0], x[1]); },
     [](X x) {
       const Shape s = x[0].type().shape;
       const Expr rows = x[0].builder().extent({s[0]}, x[0].type().dtype);
       return -total(log_softmax(x[0]) * one_hot(x[1], s[1], x[0].type().dtype)) / rows;
     }},
    {"max(x + 1) = max(x) + 1", with_columns,
     [](X x) { return max(x[0] + 1.0, last_axis(x[0]), false); },
     [](X x) { return max(x[0], last_axis(x[0]), false) + 1.0; }},
    {"gather(table, i) = one_hot(i) table", table_and_rows,
     [](X x) { return x[0].builder().apply(OpKind::gather, x); },
     [](X x) {
       const Type table = x[0].type();
       return contraction(one_hot(x[1], table.shape[0], table.dtype), x[0], {1}, {0});
     }},
};

}  // namespace

std::span<const Law> all_laws() { return kLaws; }

}  // namespace sinter::fuzz
