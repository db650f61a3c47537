// Trains a net, saves it whole and as weights alone, restores both, and resumes an interrupted run.
#include <cstdio>

#include <fmt/core.h>

#include <sinter/sinter.h>

namespace st = sinter;

st::nn::Sequential make_net() {
  return st::nn::Sequential{st::nn::Linear(1, 10), st::nn::ReLU(), st::nn::Linear(10, 1)};
}

// Bit for bit, not just close.
const char* compared(const st::Tensor& a, const st::Tensor& b) {
  return st::hash_tensor(a) == st::hash_tensor(b) ? "identical" : "DIFFERENT";
}

int main() try {
  st::manual_seed(1);
  const st::Tensor x = st::linspace(-1, 1, 100).unsqueeze(1);
  const st::Tensor y = st::eval(st::pow(x, 2) + 0.2f * st::rand({100, 1}));

  st::nn::Sequential net1 = make_net();
  st::Trainer trainer(net1, st::mse_loss, st::optim::SGD{.lr = 0.5});
  for (int t = 0; t < 100; ++t) {
    if (t == 50) trainer.save_checkpoint("half_way.ckpt");
    trainer.step(x, y);
  }
  const st::Tensor prediction1 = trainer.predict(x);

  // Two ways: the whole net, or its weights alone, which is a smaller file.
  st::save_net(trainer, "net.sinter");
  st::save(net1.state_dict(), "net_params.safetensors");

  // The whole net needs no C++ class; training could go on with net2.step(x, y).
  st::Trainer net2 = st::load_net("net.sinter");
  const st::Tensor prediction2 = net2.predict(x);

  // The weights need a net of the same structure.
  st::nn::Sequential net3 = make_net();
  net3.load_state_dict(st::load("net_params.safetensors"));
  const st::Tensor prediction3 = st::eval(net3(x));

  fmt::print("restored from net.sinter:              {}\n", compared(prediction1, prediction2));
  fmt::print("restored from net_params.safetensors:  {}\n", compared(prediction1, prediction3));

  // Another run goes on from step 50, as if the first had been interrupted there.
  st::nn::Sequential net4 = make_net();
  st::Trainer resumed(net4, st::mse_loss, st::optim::SGD{.lr = 0.5});
  resumed.load_checkpoint("half_way.ckpt");
  while (resumed.step_count() < 100) resumed.step(x, y);
  const st::Tensor prediction4 = resumed.predict(x);
  fmt::print("resumed from step 50:                  {}\n", compared(prediction1, prediction4));
  fmt::print("the curve at -1, 0 and 1:\n{}\n", net2.predict(st::Tensor{{-1}, {0}, {1}}));
} catch (const st::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
