#include <algorithm>
#include <cmath>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include <sinter/error.h>
#include <sinter/random.h>
#include <sinter/tensor.h>

using namespace sinter;

TEST_CASE("philox agrees with the known answers of its authors", "[random]") {
  using Words = std::array<uint32_t, 4>;
  // kat_vectors of Random123, philox 4x32, 10 rounds.
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random bits put seed and stream into the key, step and element into the counter",
          "[random]") {
  const uint64_t seed = 0x1122334455667788, step = 0xAABBCCDD00112233, element = 0x99887766554433;
  const uint32_t stream = stream_id("hidden.weight");
  CHECK(random_bits(seed, stream, step, element) ==
        philox4x32({0x66554433, 0x00998877, 0x00112233, 0xAABBCCDD},
                   {0x55667788u ^ stream * 0x9E3779B9u, 0x11223344})[0]);
  CHECK(random_bits(0, 0, 0, 0) == 0x6627e8d5);
}

TEST_CASE("stream ids are FNV-1a", "[random]") {
  CHECK(stream_id("") == 0x811c9dc5);
  CHECK(stream_id("a") == 0xe40c292c);
  CHECK(stream_id("foobar") == 0xbf9cf968);
  CHECK(hash_bytes("foobar", 6) == 0x85944171f73967e8ull);
  CHECK(hash_bytes("bar", 3, hash_bytes("foo", 3)) == hash_bytes("foobar", 6));
}

TEST_CASE("uniform numbers are the top 24 bits and never 1", "[random]") {
  CHECK(uniform_from_bits(0) == 0);
  CHECK(uniform_from_bits(0x80000000) == 0.5f);
  CHECK(uniform_from_bits(~0u) == 1 - 0x1p-24f);
  CHECK(uniform_from_bits(0xFF) == 0);
  Generator generator(7);
  const Tensor x = rand({3, 15}, generator);
  for (uint64_t i = 0; i < 45; ++i)
    CHECK(x.data<float>()[i] == uniform_from_bits(random_bits(7, generator.stream(), 0, i)));
}

TEST_CASE("a number is the same however many are drawn with it", "[random]") {
  Generator generator(7), other(7);
  const int64_t count = (int64_t{1} << 17) + 5;  // enough for several threads
  const Tensor many = rand({count}, generator);
  CHECK(equal(many.rows(0, 40), rand({40}, other)));
  int64_t wrong = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = random_bits(7, generator.stream(), 0, static_cast<uint64_t>(i));
    wrong += many.data<float>()[i] != uniform_from_bits(bits);
  }
  CHECK(wrong == 0);
  const Tensor normal = randn({37}, other);
  for (uint64_t i = 0; i < 37; ++i) {
    const auto words = random_block(7, other.stream(), 1, i);
    CHECK(normal.data<float>()[i] == normal_from_bits(words[0], words[1]));
  }
}

TEST_CASE("normal numbers follow Box and Muller and stay finite", "[random]") {
  CHECK(normal_from_bits(~0u, 123) == 0);
  CHECK(std::isfinite(normal_from_bits(0, 0)));
  CHECK(normal_from_bits(0, 0) == Approx(std::sqrt(64 * std::log(2.0))).epsilon(1e-6));
  CHECK(normal_from_bits(0, 0x80000000) == -normal_from_bits(0, 0));
}

TEST_CASE("rand and randn have the moments of their distributions", "[random]") {
  Generator generator(1);
  const int64_t n = 100000;
  const auto moments = [n](const Tensor& x) {
    double sum = 0, squares = 0;
    for (float v : x.span<float>()) {
      sum += double{v};
      squares += double{v} * double{v};
    }
    const double mean = sum / static_cast<double>(n);
    return std::pair(mean, squares / static_cast<double>(n) - mean * mean);
  };
  const auto [uniform_mean, uniform_variance] = moments(rand({n}, generator));
  CHECK(uniform_mean == Approx(0.5).margin(0.005));
  CHECK(uniform_variance == Approx(1.0 / 12).margin(0.002));
  const auto [normal_mean, normal_variance] = moments(randn({n}, generator));
  CHECK(normal_mean == Approx(0).margin(0.015));
  CHECK(normal_variance == Approx(1).margin(0.02));
  const auto [mean, variance] = moments(normal(full({n}, 3), 2, generator));
  CHECK(mean == Approx(3).margin(0.03));
  CHECK(variance == Approx(4).margin(0.08));
  CHECK_THROWS_AS(normal(Tensor{0}, -1), Error);
  CHECK_THROWS_AS(normal(Tensor{0}.to(DType::f64), 1), Error);
}

TEST_CASE("each draw takes one step and a restored step repeats it", "[random]") {
  Generator generator(42);
  const Tensor first = rand({8}, generator);
  CHECK(generator.step() == 1);
  const Tensor second = rand({8}, generator);
  CHECK(!equal(first, second));
  generator.set_step(0);
  CHECK(equal(rand({8}, generator), first));
  Generator copy = generator;
  CHECK(equal(rand({8}, copy), second));
  // A longer draw begins with the shorter one.
  generator.set_step(0);
  CHECK(equal(rand({100}, generator).rows(0, 8), first));
}

TEST_CASE("seeds and streams give different numbers", "[random]") {
  Generator a(1), b(2), c(1, stream_id("dropout")), d(uint64_t{1} << 32 | 1);
  const Tensor x = rand({4}, a);
  CHECK(!equal(x, rand({4}, b)));
  CHECK(!equal(x, rand({4}, c)));
  CHECK(!equal(x, rand({4}, d)));
}

TEST_CASE("manual_seed restarts the default generator", "[random]") {
  manual_seed(3);
  const Tensor x = rand({4}), y = randn({4});
  manual_seed(3);
  CHECK(equal(rand({4}), x));
  CHECK(equal(randn({4}), y));
  CHECK(default_generator().seed() == 3);
}

TEST_CASE("draws from several threads take different steps", "[random]") {
  Generator generator(5);
  std::vector<std::vector<uint64_t>> steps(4);
  {
    std::vector<std::jthread> threads;
    for (auto& own : steps)
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) own.push_back(generator.next_step());
      });
  }
  std::vector<uint64_t> all;
  for (const auto& own : steps) all.insert(all.end(), own.begin(), own.end());
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
  CHECK(generator.step() == 4000);
}
