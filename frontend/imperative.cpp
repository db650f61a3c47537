#include <optional>

#include <sinter/error.h>
#include <sinter/imperative.h>

namespace sinter {

struct detail::ImperativeState {
  Trainer& trainer;
  Tensor x{}, y{};
  std::source_location at{};
  int64_t batch = 0;
  bool has_gradients = false;
  bool stepped = false;
  std::optional<float> value{};
};

namespace {

Error misuse(const detail::ImperativeState& s, const char* what) {
  return Error(std::string(what)).at(SourceLoc::from(s.at));
}

}  // namespace

void Loss::backward() {
  detail::ImperativeState& s = *state_;
  if (batch_ != s.batch) {
    throw misuse(s, "backward() of the loss of an earlier batch")
        .help("call backward() before the next loss(x, y)");
  }
  if (s.has_gradients) {
    throw misuse(s, "backward() would add to gradients that are there already")
        .help("call zero_grad() before it; to add up several batches, accumulate in the optimizer");
  }
  s.has_gradients = true;
  s.stepped = false;
}

float Loss::item() const {
  detail::ImperativeState& s = *state_;
  if (batch_ != s.batch) {
    throw misuse(s, "item() of the loss of an earlier batch")
        .help("read it before the next loss(x, y)");
  }
  if (!s.value) s.value = s.trainer.evaluate(s.x, s.y, s.at);
  return *s.value;
}

Imperative::Imperative(Trainer& trainer)
    : state_(std::make_shared<detail::ImperativeState>(detail::ImperativeState{trainer})) {}

Loss Imperative::loss(const Tensor& x, const Tensor& y, const std::source_location& at) {
  detail::ImperativeState& s = *state_;
  if (s.has_gradients && !s.stepped) {
    throw Error("a new loss while the gradients of the last one wait for step()")
        .at(SourceLoc::from(at))
        .help("call step() first, or zero_grad() to give them up");
  }
  s.x = x;
  s.y = y;
  s.at = at;
  s.value.reset();
  return {state_, ++s.batch};
}

void Imperative::zero_grad() { state_->has_gradients = false; }

void Imperative::step() {
  detail::ImperativeState& s = *state_;
  if (!s.has_gradients || s.stepped) {
    throw misuse(s, "step() without new gradients").help("call backward() of the loss before it");
  }
  s.value = s.trainer.step(s.x, s.y, s.at);
  s.stepped = true;
}

}  // namespace sinter
