// Mistakes with axes, places, indices and the notation of einsum, and the message that each one
// gets.
#include <sinter/sinter.h>

#include "tests/errors/golden.h"

using namespace sinter;
using errors::check;

namespace {

// Records `f` on the rows of a batch, [n, 3].
void on_batch(const std::function<Value(Value)>& f) {
  struct Net : nn::Module {
    nn::Linear linear{2, 3};
    Net() { add("linear", linear); }
    Value forward(Value x) override { return linear(x); }
  } net;
  Trainer trainer(net, [&](Value p, Value) { return sum(f(p)); }, optim::SGD{},
                  {.interpret = true});
  trainer.step(ones({8, 2}), ones({8, 1}));
}

}  // namespace

TEST_CASE("slices that leave the axis or nothing", "[errors]") {
  const Tensor x = ones({4, 6});
  check("slice_start", true, [&] { slice(x, 1, 6); });
  check("slice_stop", true, [&] { slice(x, 1, 2, 9); });
  check("slice_empty", true, [&] { slice(x, 0, 3, 3); });
  check("slice_backwards", true, [&] { slice(x, 1, 5, 0, -1); });
  check("slice_axis", true, [&] { slice(x, 2, 0); });
  check("slice_batch", true, [] { on_batch([](Value p) { return slice(p, 0, 0, 2); }); });
  check("flip_batch", true, [] { on_batch([](Value p) { return flip(p, {0}); }); });
}

TEST_CASE("parts that do not fit each other", "[errors]") {
  const Tensor x = ones({4, 6});
  check("concat_sizes", true, [&] { concat({x, ones({3, 5})}, 1); });
  check("concat_ranks", true, [&] { concat({x, ones({4})}, 0); });
  check("concat_dtypes", true, [&] { concat({x, ones({4, 6}, DType::f64)}, 0); });
  check("concat_batch", true, [] { on_batch([](Value p) { return concat({p, p}, 0); }); });
  check("concat_nothing", true, [] { concat(std::vector<Value>{}, 0); });
  check("stack_shapes", true, [&] { stack({Value(x), ones({4, 5})}); });
  check("stack_axis", true, [&] { stack({Value(x), x}, 3); });
  check("split_sizes", true, [&] { split(x, {2, 3}, 1); });
  check("split_size", true, [&] { split(x, int64_t{0}, 1); });
  check("pad_negative", true, [&] { pad(x, 0, -1, 0); });
  check("pad_batch", true, [] { on_batch([](Value p) { return pad(p, 0, 1, 1); }); });
  check("flatten_order", true, [&] { flatten(x, 1, 0); });
}

TEST_CASE("einsum that says something else", "[errors]") {
  const Tensor a = ones({4, 6}), b = ones({6, 5});
  check("einsum_text", true, [&] { einsum("ij,jk=>ik", a, b); });
  check("einsum_repeats", true, [&] { einsum("ii->i", ones({3, 3})); });
  check("einsum_result_repeats", true, [&] { einsum("ij->ii", a); });
  check("einsum_result_only", true, [&] { einsum("ij,jk->iz", a, b); });
  check("einsum_operands", true, [&] { einsum("ij->i", a, b); });
  check("einsum_rank", true, [&] { einsum("ijk,jk->i", a, b); });
  check("einsum_sizes", true, [&] { einsum("ij,kj->ik", a, b); });
}

TEST_CASE("reductions and lines along axes that are not there", "[errors]") {
  const Tensor x = ones({4, 6});
  check("axis_twice", true, [&] { max(x, {1, -1}); });
  check("prod_axis", true, [&] { prod(x, 5); });
  check("logsumexp_integers", true, [] { logsumexp(Tensor::of<int64_t>({1, 2})); });
  check("cumsum_batch", true, [] { on_batch([](Value p) { return cumsum(p, 0); }); });
  check("softmax_batch", true, [] { on_batch([](Value p) { return softmax(p, 0); }); });
  check("top_k_too_many", true, [&] { top_k(x, 7); });
  check("top_k_batch", true, [] { on_batch([](Value p) { return top_k(p, 1, 0).values; }); });
}

TEST_CASE("indices that do not fit", "[errors]") {
  const Tensor x = ones({4, 6});
  const Tensor three = Tensor::of<int64_t>({0, 1, 9});
  check("gather_floats", true, [&] { gather(x, ones({3})); });
  check("gather_along_shape", true, [&] { gather(x, 1, three); });
  check("gather_along_range", true,
        [&] { eval(gather(x, 0, Tensor::of<int64_t>({0, 1, 2, 3, 4, 0}).reshape({1, 6}))); });
  check("scatter_shape", true, [&] { scatter_add(x, three, ones({2, 6})); });
  check("one_hot_range", true, [&] { eval(one_hot(three, 4)); });
  check("one_hot_floats", true, [&] { one_hot(x, 4); });
}

TEST_CASE("dropout that keeps nothing", "[errors]") {
  check("dropout_probability", true, [] { dropout(ones({3}), 1.5); });
  check("dropout_module", false, [] { nn::Dropout(1.0); });
}
