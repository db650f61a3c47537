// Whether a function that threads can share is quicker on all of them or on one. That depends on
// what it costs this machine to pass data between cores and on what else runs there, so both are
// tried from time to time; results have the same bits on any number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sinter {

class ThreadChoice {
 public:
  explicit ThreadChoice(int all) : all_(all) {}

  /// Threads for the next runs.
  int threads() const { return on_all_ ? all_ : 1; }
  /// How many runs come before that may change.
  int64_t runs_left() const { return left_; }
  /// Whether took() wants to know the time of the next runs; 0 will do otherwise.
  bool measures() const { return phase_ != Phase::settled; }

  /// `runs` runs, at most runs_left(), took `ns` altogether.
  void took(int64_t runs, double ns) {
    left_ -= runs;
    if (phase_ == Phase::measuring) {
      runs_ += runs;
      ns_ += ns;
      if (ns_ < measured_ns && runs_ < most_measured) {
        if (left_ <= 0) left_ = measured_at_once;
        return;
      }
      (on_all_ ? all_ns_ : one_ns_) = ns_ / static_cast<double>(runs_);
    } else if (left_ > 0) {
      return;
    }
    next_phase();
  }

 private:
  // First runs fetch caches and wake threads: they count for nothing. What is measured is a mean
  // over long enough to meet another program that wants a core.
  enum class Phase { warming, measuring, settled };
  static constexpr int64_t warm_runs = 2, measured_at_once = 4, most_measured = 1024;
  static constexpr double measured_ns = 2e6;
  // What is settled holds for so long, twice as long each time that it is confirmed.
  static constexpr double first_period_ns = 40e6, longest_period_ns = 2e9;
  // All threads are kept unless one is clearly quicker: a moment's noise should not move it.
  static constexpr double clearly = 0.95;

  void next_phase() {
    if (phase_ == Phase::settled) {
      second_ = false;
      warm();
    } else if (phase_ == Phase::warming) {
      phase_ = Phase::measuring;
      left_ = measured_at_once;
      runs_ = 0;
      ns_ = 0;
    } else if (!second_) {
      second_ = true;
      on_all_ = !on_all_;
      warm();
    } else {
      settle();
    }
  }
  void warm() {
    phase_ = Phase::warming;
    left_ = warm_runs;
  }
  void settle() {
    const bool best_on_all = one_ns_ > clearly * all_ns_;
    const bool confirmed = best_on_all == settled_on_all_;
    period_ns_ = confirmed ? std::min(2 * period_ns_, longest_period_ns) : first_period_ns;
    on_all_ = settled_on_all_ = best_on_all;
    phase_ = Phase::settled;
    left_ = static_cast<int64_t>(period_ns_ / (best_on_all ? all_ns_ : one_ns_)) + 1;
  }

  int all_;
  bool on_all_ = true, settled_on_all_ = true;
  bool second_ = false;  // of the two that are compared
  Phase phase_ = Phase::warming;
  int64_t left_ = warm_runs, runs_ = 0;
  double ns_ = 0, all_ns_ = 0, one_ns_ = 0, period_ns_ = first_period_ns / 2;
};

}  // namespace sinter
