// Kernels with loops of their own (cumsum, top_k, pad, scatter_add) and products of rows, large
// enough to be shared: the bits do not depend on the number of threads.
#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using namespace sinter;

namespace {

struct Lines : nn::Module {
  nn::Parameter w;
  Lines() { w = add_parameter("w", full({200}, 0.5)); }
  Value forward(Value x) override {
    const Value y = cumsum(x * w, 1);
    const TopK top = top_k(y, 5);
    const Value wide = pad(slice(y, 1, 3, 103, 2), 1, 7, 9);
    return concat({wide, top.values, prod(slice(x, 1, 0, 6) + slice(w, 0, 0, 6), 1, true)}, 1);
  }
};

// The weights after three steps, and the plan of the step.
std::pair<uint64_t, std::string> train(int threads) {
  Generator generator(9);
  const Tensor x = rand({512, 200}, generator);
  Lines net;
  Trainer trainer(net, [](Value p, Value) { return mean(p * p); }, optim::SGD{.lr = 1e-3},
                  {.threads = threads, .oversubscribe = true});
  for (int64_t rows : {512, 511, 37}) trainer.step(x.rows(0, rows), ones({rows, 1}));
  return {hash_tensor(net.w.value()), trainer.dump("plan_memory")};
}

}  // namespace

TEST_CASE("lines are shared among threads and have the same bits") {
  const auto [alone, plan] = train(1);
  for (const char* kernel : {"_cumsum", "_top_k"}) {
    INFO(kernel);
    const size_t at = plan.find(kernel);
    REQUIRE(at != std::string::npos);
    CHECK(plan.substr(at, plan.find('\n', at) - at).find("parallel = true") != std::string::npos);
  }
  for (int threads : {2, 3, 7}) {
    INFO(threads << " threads");
    CHECK(train(threads).first == alone);
  }
}
