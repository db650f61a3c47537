// Saves a file of one kind, old or new contents, or says which of the two a file has. The crash test
// kills it at every system call of the save, and has the system calls fail.
//
//   saver save KIND PATH VERSION
//   saver which KIND PATH          prints VERSION
//
// KIND is npy, weights, net or checkpoint; VERSION is a small number.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <unistd.h>

#include <fmt/core.h>

#include <sinter/sinter.h>

using namespace sinter;

namespace {

constexpr int64_t elements = 4096;

// A training step small enough to be parsed and recorded in no time.
struct Net : nn::Module {
  nn::Linear layer{64, 64};
  Net() { add("layer", layer); }
  Value forward(Value x) override { return layer(x); }
};

void save(const std::string& kind, const std::string& path, int version) {
  Net net;
  for (nn::Parameter& p : net.parameters()) p.set_value(full(p.value().shape(), version));
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.1}, {.interpret = true});
  trainer.record(zeros({1, 64}), zeros({1, 64}));
  const Tensor array = full({elements}, version);
  // The first system call of the save is the one after this.
  ::access("the save begins", F_OK);
  if (kind == "npy") return save_npy(path, array);
  if (kind == "weights") return sinter::save(net.state_dict(), path);
  if (kind == "net") return save_net(trainer, path);
  if (kind == "checkpoint") return trainer.save_checkpoint(path);
  throw Error("no kind is named {}", kind).help("see the first lines of saver.cpp");
}

double only_value(const Tensor& tensor) {
  const double first = tensor.reshape({tensor.numel()}).at({0});
  if (!equal(tensor, full(tensor.shape(), first))) throw Error("the file is a mixture");
  return first;
}

double which(const std::string& kind, const std::string& path) {
  if (kind == "npy") return only_value(load_npy(path));
  const StateDict weights = kind == "weights" ? load(path) : load_net(path).parameters();
  const double version = only_value(weights["layer.weight"]);
  if (only_value(weights["layer.bias"]) != version) throw Error("the file is a mixture");
  return version;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "save" && argc == 5) {
    save(argv[2], argv[3], std::atoi(argv[4]));
  } else if (command == "which" && argc == 4) {
    fmt::print("{}\n", which(argv[2], argv[3]));
  } else {
    fmt::print(stderr, "usage: saver save KIND PATH VERSION | saver which KIND PATH\n");
    return 2;
  }
} catch (const Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
