#include <cmath>
#include <filesystem>

#include <catch2/catch.hpp>

#include <sinter/sinter.h>

using namespace sinter;

namespace {

struct Net : nn::Module {
  nn::Linear hidden{1, 8}, predict{8, 1};
  Net() {
    add("hidden", hidden);
    add("predict", predict);
  }
  Value forward(Value x) override { return predict(relu(hidden(x))); }
};

// 1000 points of a parabola: 31 batches of 32 and one of 8.
struct Parabola {
  Tensor x = linspace(-1, 1, 1000).unsqueeze(1);
  Tensor y = eval(pow(x, 2));
  DataLoader loader{TensorDataset(x, y), {.batch_size = 32, .shuffle = true, .seed = 1}};
};

FitOptions quiet(int64_t epochs, std::vector<AnyCallback> callbacks = {}) {
  return {.epochs = epochs, .callbacks = std::move(callbacks), .progress = Progress::silent};
}

// Weights after some training.
uint64_t hash(Net& net) {
  uint64_t out = fnv64_basis;
  for (const nn::Parameter& p : net.parameters()) out = hash_tensor(p.value(), out);
  return out;
}

std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.message();
  }
  return "no error";
}

}  // namespace

TEST_CASE("fit is the loop that one would write", "[fit]") {
  Parabola a, b;
  manual_seed(1);
  Net by_hand;
  Trainer first(by_hand, mse_loss, optim::Adam{.lr = 0.01}, {.max_batch = 32});
  std::vector<double> losses;
  for (int epoch = 0; epoch < 3; ++epoch) {
    double sum = 0;
    for (auto [step, x, y] : a.loader) sum += first.step(x, y) * double(x.size(0));
    losses.push_back(sum / 1000);
  }
  manual_seed(1);
  Net net;
  Trainer second(net, mse_loss, optim::Adam{.lr = 0.01});
  const History history = fit(second, b.loader, quiet(3));
  CHECK(history["loss"] == losses);
  CHECK(hash(net) == hash(by_hand));
  CHECK(second.compile_count() == 1);
  CHECK(history.epochs() == 3);
  CHECK(history.stopped().empty());
  // It is in the loader's hands how many workers read.
  DataLoader workers(TensorDataset(b.x, b.y),
                     {.batch_size = 32, .shuffle = true, .num_workers = 2, .seed = 1});
  manual_seed(1);
  Net other;
  Trainer third(other, mse_loss, optim::Adam{.lr = 0.01});
  fit(third, workers, quiet(3));
  CHECK(hash(other) == hash(by_hand));
}

TEST_CASE("validation and metrics are in the history", "[fit]") {
  manual_seed(2);
  const Tensor x = cat({normal(full({60, 2}, 2), 1), normal(full({60, 2}, -2), 1)});
  const Tensor y = cat({zeros({60}, DType::i64), ones({60}, DType::i64)});
  nn::Sequential net{nn::Linear(2, 8), nn::ReLU(), nn::Linear(8, 2)};
  Trainer trainer(net, cross_entropy, optim::SGD{.lr = 0.1}, {.metrics = {{"accuracy", accuracy}}});
  DataLoader loader(TensorDataset(x, y), {.batch_size = 50, .shuffle = true});
  FitOptions options = quiet(10);
  options.validation = {x, y};
  const History history = fit(trainer, loader, options);
  CHECK(history.names() ==
        std::vector<std::string>{"loss", "accuracy", "val_loss", "val_accuracy", "lr"});
  for (const std::string& name : history.names()) CHECK(history[name].size() == 10);
  CHECK(history["val_accuracy"].back() > 0.95);
  CHECK(history["val_loss"].back() == Approx(trainer.evaluate(x, y)));
  CHECK(history["val_loss"].back() < history["val_loss"].front());
  CHECK(message([&] { history["val_f1"]; }) == "training has no value named val_f1");
  const std::string path =
      (std::filesystem::temp_directory_path() / "sinter_fit_history.csv").string();
  history.save_csv(path);
  const Table table = Table::from_csv(path);
  CHECK(table.rows() == 10);
  CHECK(table.numbers("epoch").back() == 10);
  CHECK(table.numbers("val_loss") == history["val_loss"]);
  std::filesystem::remove(path);
}

TEST_CASE("a loader validates as its rows at once do", "[fit]") {
  manual_seed(2);
  const Tensor x = randn({130, 2}), y = eval(greater(sum(Value(x), 1), 0)).to(DType::i64);
  const Tensor val_x = x.rows(0, 70), val_y = y.rows(0, 70);
  const auto run = [&](const Validation& validation) {
    manual_seed(3);
    nn::Sequential net{nn::Linear(2, 8), nn::ReLU(), nn::Linear(8, 2)};
    Trainer trainer(net, cross_entropy, optim::SGD{.lr = 0.1},
                    {.metrics = {{"accuracy", accuracy}}});
    DataLoader loader(TensorDataset(x, y), {.batch_size = 50, .shuffle = true, .seed = 4});
    FitOptions options = quiet(4);
    options.validation = validation;
    const History history = fit(trainer, loader, options);
    CHECK(trainer.compile_count() <= 2);
    return history;
  };
  // 70 rows in batches of 32: the last one has 6.
  DataLoader batches(TensorDataset(val_x, val_y), {.batch_size = 32, .num_workers = 2});
  const History whole = run({val_x, val_y}), loaded = run({.loader = &batches});
  CHECK(loaded.names() == whole.names());
  CHECK(loaded["loss"] == whole["loss"]);
  for (const char* name : {"val_loss", "val_accuracy"}) {
    for (size_t i = 0; i < 4; ++i) CHECK(loaded[name][i] == Approx(whole[name][i]).epsilon(1e-6));
  }
  CHECK(loaded["val_loss"].back() < loaded["val_loss"].front());
  CHECK(batches.position().epoch == 4);

  nn::Linear net(2, 2);
  Trainer trainer(net, cross_entropy, optim::SGD{});
  FitOptions options = quiet(1);
  options.validation.loader = &batches;
  CHECK(message([&] { fit(trainer, batches, options); }) ==
        "fit got one loader to train and to validate");
}

TEST_CASE("early stopping waits, then puts the best weights back", "[fit]") {
  Parabola data;
  Net net;
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.05});
  std::vector<uint64_t> hashes;
  auto stopper = std::make_shared<EarlyStopping>(
      EarlyStoppingOptions{.monitor = "loss", .patience = 2, .restore_best = true});
  // From epoch 4 on the net only gets worse.
  const auto spoil = [&](Fit& f) {
    hashes.push_back(hash(net));
    if (f.epoch >= 4) f.trainer.set_lr(-0.5);
  };
  const History history = fit(trainer, data.loader, quiet(50, {stopper, spoil}));
  CHECK(history.stopped() == "loss has not improved for 2 epochs");
  const auto best = std::min_element(history["loss"].begin(), history["loss"].end());
  CHECK(stopper->best_epoch() == best - history["loss"].begin());
  CHECK(history.epochs() == stopper->best_epoch() + 3);
  CHECK(hash(net) == hashes[size_t(stopper->best_epoch())]);
  CHECK(hash(net) != hashes.back());
  CHECK(message([&] {
          fit(trainer, data.loader, quiet(1, {EarlyStopping({.monitor = "val_loss"})}));
        }) == "training has no value named val_loss");
}

TEST_CASE("schedules reach the step and never recompile", "[fit]") {
  Parabola data;
  Net net;
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.1});
  const History history =
      fit(trainer, data.loader, quiet(4, {LearningRate(StepLR{.step_size = 2, .gamma = 0.5})}));
  CHECK(history["lr"] == std::vector<double>{0.1, 0.1, 0.05, 0.05});
  // By batches: 32 an epoch.
  std::vector<double> seen;
  struct Watch : Callback {
    std::vector<double>& seen;
    explicit Watch(std::vector<double>& list) : seen(list) {}
    void on_batch_end(Fit& f) override { seen.push_back(f.trainer.lr()); }
  };
  const OneCycleLR cycle{.max_lr = 0.2, .total_steps = 64};
  fit(trainer, data.loader, quiet(2, {LearningRate(cycle, {.every = Every::batch}), Watch(seen)}));
  REQUIRE(seen.size() == 64);
  for (size_t t = 0; t < 64; ++t) CHECK(seen[t] == cycle(0, int64_t(t)));
  CHECK(trainer.compile_count() == 1);
  // The rate has an effect: nothing moves where it is 0.
  const uint64_t before = hash(net);
  fit(trainer, data.loader, quiet(1, {LearningRate([](double, int64_t) { return 0.0; })}));
  CHECK(hash(net) == before);
}

TEST_CASE("the rate falls on a plateau", "[fit]") {
  Parabola data;
  Net net;
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.0});
  // With a rate of 0 nothing improves; PyTorch reduces when more than `patience` epochs went by.
  trainer.set_lr(1e-30);
  const ReduceLROnPlateau plateau({.monitor = "loss",
                                   .factor = 0.5,
                                   .patience = 2,
                                   .threshold = 1e-3,
                                   .cooldown = 1,
                                   .min_lr = 2e-31});
  const History history = fit(trainer, data.loader, quiet(14, {plateau}));
  const std::vector<double> expected{1,   1,    1,    1,    0.5,  0.5, 0.5,
                                     0.5, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2};
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK(history["lr"][i] * 1e30 == Approx(expected[i]));
}

TEST_CASE("training resumes in the middle of an epoch, with its schedule", "[fit]") {
  const auto schedule =
      LearningRate(CosineAnnealingLR{.t_max = 128}, {.every = Every::batch, .initial = 0.1});
  Parabola whole, parts;
  manual_seed(3);
  Net net;
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.1});
  fit(trainer, whole.loader, quiet(4, {schedule}));

  manual_seed(3);
  Net other;
  Trainer first(other, mse_loss, optim::SGD{.lr = 0.1});
  LoaderPosition at;
  struct Leave : Callback {
    LoaderPosition& at;
    explicit Leave(LoaderPosition& position) : at(position) {}
    void on_batch_end(Fit& f) override {
      if (f.step != 50) return;
      at = f.loader.position();
      f.stop("enough");
    }
  };
  fit(first, parts.loader, quiet(4, {schedule, Leave(at)}));
  CHECK(at == LoaderPosition{1, 1, 19});
  // SGD has no state, so the weights are all that there is to keep.
  Trainer second(other, mse_loss, optim::SGD{.lr = 0.7});
  DataLoader again(TensorDataset(parts.x, parts.y), {.batch_size = 32, .shuffle = true});
  again.seek(at);
  FitOptions options = quiet(4, {schedule});
  options.resume = true;
  const History history = fit(second, again, options);
  CHECK(history.epochs() == 3);
  CHECK(hash(other) == hash(net));
  CHECK(second.compile_count() == 1);
}

TEST_CASE("callbacks are called in order", "[fit]") {
  std::string log;
  struct Log : Callback {
    std::string& log;
    explicit Log(std::string& text) : log(text) {}
    void on_fit_begin(Fit&) override { log += "<"; }
    void on_epoch_begin(Fit&) override { log += "("; }
    void on_batch_begin(Fit& f) override { log += f.x->size(0) == 3 ? "[" : "{"; }
    void on_batch_end(Fit& f) override { log += f.loss > 0 ? "]" : "?"; }
    void on_epoch_end(Fit& f) override { log += f.value("loss") > 0 ? ")" : "?"; }
    void on_fit_end(Fit&) override { log += ">"; }
  };
  Net net;
  Trainer trainer(net, mse_loss, optim::SGD{.lr = 0.1});
  DataLoader loader(TensorDataset(ones({5, 1}), zeros({5, 1})), {.batch_size = 3});
  fit(trainer, loader, quiet(2, {Log(log)}));
  CHECK(log == "<([]{])([]{])>");
  CHECK(message([&] { fit(trainer, loader, quiet(0)); }) == "fit got epochs = 0");
}
