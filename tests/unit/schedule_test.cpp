// Learning rates against PyTorch's documented values and against the formulas written anew.
#include <cmath>

#include <catch2/catch.hpp>

#include <sinter/error.h>
#include <sinter/schedule.h>

using namespace sinter;

TEST_CASE("a step schedule falls by a factor", "[schedule]") {
  // The example of torch.optim.lr_scheduler.StepLR: 0.05, then 0.005 from epoch 30 on.
  const StepLR s{.step_size = 30, .gamma = 0.1};
  CHECK(s(0.05, 0) == 0.05);
  CHECK(s(0.05, 29) == 0.05);
  CHECK(s(0.05, 30) == Approx(0.005));
  CHECK(s(0.05, 90) == Approx(0.00005));
  CHECK_THROWS_AS((StepLR{.step_size = 0}(1, 1)), Error);
}

TEST_CASE("an exponential schedule falls each time", "[schedule]") {
  const ExponentialLR s{.gamma = 0.5};
  CHECK(s(8, 0) == 8);
  CHECK(s(8, 3) == 1);
}

TEST_CASE("a cosine schedule ends at its smallest value and stays there", "[schedule]") {
  const CosineAnnealingLR s{.t_max = 10, .eta_min = 0.1};
  CHECK(s(1.1, 0) == Approx(1.1));
  CHECK(s(1.1, 5) == Approx(0.6));
  CHECK(s(1.1, 10) == Approx(0.1));
  CHECK(s(1.1, 99) == Approx(0.1));
  // 0.1 + 1 (1 + cos(0.3 pi)) / 2
  CHECK(s(1.1, 3) == Approx(0.8938926261));
}

TEST_CASE("one cycle rises, falls, and ends far below its start", "[schedule]") {
  const OneCycleLR s{.max_lr = 1, .total_steps = 100};
  CHECK(s(123, 0) == Approx(1 / 25.0));
  CHECK(s(123, 29) == Approx(1));
  CHECK(s(123, 99) == Approx(1 / 25.0 / 1e4));
  CHECK(s(123, 1000) == s(123, 99));
  // Halfway up and down in t is halfway in value: the cosine is symmetric.
  CHECK((s(0, 14) + s(0, 15)) / 2 == Approx((1 + 0.04) / 2));
  CHECK(s(0, 64) == Approx((1 + 0.04e-4) / 2));
  for (int64_t t = 1; t < 100; ++t) CHECK((s(0, t) > s(0, t - 1)) == (t <= 29));
}

TEST_CASE("a warm-up leads into another schedule", "[schedule]") {
  const Warmup flat{.steps = 4, .start_factor = 0};
  CHECK(flat(2, 0) == 0);
  CHECK(flat(2, 1) == Approx(0.5));
  CHECK(flat(2, 4) == 2);
  const Warmup s{.steps = 10, .then = CosineAnnealingLR{.t_max = 20}, .start_factor = 0.1};
  CHECK(s(1, 0) == Approx(0.1));
  CHECK(s(1, 5) == Approx(0.55));
  CHECK(s(1, 10) == Approx(1));
  CHECK(s(1, 20) == Approx(0.5));
  CHECK(s(1, 30) == Approx(0).margin(1e-15));
}
