#include <catch2/catch.hpp>

#include <sinter/sinter.h>

#include "tests/files/folder.h"

using Catch::Contains;
using namespace sinter;
using files::error_of;
using files::Folder;
using files::read;

namespace {

struct Net : nn::Module {
  nn::Linear hidden{3, 16}, predict{16, 4};
  Tensor scale = Tensor{0.5, 1, 2};
  Net() {
    add("hidden", hidden);
    add("predict", predict);
  }
  // A captured tensor goes into the file too.
  Value forward(Value x) override { return predict(relu(hidden(x * scale))); }
};

struct Data {
  Tensor x, y;
  Data() {
    Generator generator(5);
    x = randn({20, 3}, generator);
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < 20; ++i) labels.push_back(i % 4);
    y = Tensor::from(labels);
  }
};

void check_same(const Tensor& a, const Tensor& b) { CHECK(hash_tensor(a) == hash_tensor(b)); }

// The file with one text of its metadata changed.
void edit(const std::string& from, const std::string& to, const std::string& key,
          const std::string& text) {
  SafetensorsFile file = read_safetensors(from);
  file.metadata[key] = text;
  write_safetensors(to, file);
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const size_t at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), by);
}

}  // namespace

TEST_CASE("a loaded net predicts and trains on bit for bit, without its class", "[files]") {
  const Folder folder;
  const Data data;
  manual_seed(1);
  Net net;
  Trainer trainer(net, cross_entropy, optim::Adam{.lr = 0.01},
                  {.metrics = {{"accuracy", accuracy}}});
  for (int i = 0; i < 5; ++i) trainer.step(data.x, data.y);
  trainer.set_lr(0.02);
  save_net(trainer, folder / "net.sinter");

  Trainer loaded = load_net(folder / "net.sinter");
  check_same(loaded.predict(data.x), trainer.predict(data.x));
  CHECK(loaded.lr() == 0.02);
  CHECK(loaded.step_count() == 5);
  CHECK(loaded.evaluate(data.x, data.y) == trainer.evaluate(data.x, data.y));
  CHECK(loaded.metric("accuracy") == trainer.metric("accuracy"));
  for (int i = 0; i < 5; ++i) {
    CHECK(loaded.step(data.x, data.y) == trainer.step(data.x, data.y));
  }
  REQUIRE(loaded.state().size() == trainer.state().size());
  for (size_t i = 0; i < trainer.state().size(); ++i) {
    CHECK(loaded.state()[i].first == trainer.state()[i].first);
    check_same(loaded.state()[i].second, trainer.state()[i].second);
  }
  CHECK(loaded.ir() == trainer.ir());

  // Its weights fit the class, and it can be saved again: the same bytes.
  Net other;
  other.load_state_dict(loaded.parameters());
  check_same(eval(other(data.x)), trainer.predict(data.x));
  save_net(trainer, folder / "a.sinter");
  save_net(loaded, folder / "b.sinter");
  CHECK(read(folder / "a.sinter") == read(folder / "b.sinter"));
}

TEST_CASE("a net that was never trained can be saved to predict", "[files]") {
  const Folder folder;
  const Data data;
  Net net;
  save_net(net, zeros({1, 3}), folder / "net.sinter");
  Trainer loaded = load_net(folder / "net.sinter");
  check_same(loaded.predict(data.x), eval(net(data.x)));
  CHECK_THAT(error_of([&] { loaded.step(data.x, data.y); }),
             Contains("holds no training step") && Contains("saved_net_test.cpp"));
  CHECK_THAT(error_of([&] { loaded.predict(zeros({2, 7})); }), Contains("f32[n, 3]"));
  save_net(loaded, folder / "again.sinter");
  CHECK(read(folder / "net.sinter") == read(folder / "again.sinter"));
}

TEST_CASE("weights alone are a smaller file than the whole net", "[files]") {
  const Folder folder;
  Net net;
  save_net(net, zeros({1, 3}), folder / "net.sinter");
  save(net.state_dict(), folder / "net.safetensors");
  CHECK(read(folder / "net.safetensors").size() < read(folder / "net.sinter").size());
  // The whole net is a weights file too.
  Net other;
  const nn::LoadedNames names =
      other.load_state_dict(load(folder / "net.sinter"), {.strict = false});
  CHECK(names.missing.empty());
  CHECK(names.extra == std::vector<std::string>{"predict.%tensor"});
}

TEST_CASE("labels are checked for a loaded net as for the one that was saved", "[files]") {
  const Folder folder;
  const Data data;
  Net net;
  Trainer trainer(net, cross_entropy, optim::SGD{});
  trainer.record(data.x, data.y);
  save_net(trainer, folder / "net.sinter");
  Trainer loaded = load_net(folder / "net.sinter");
  const Tensor wrong = full({20}, 4, DType::i64);
  const std::string text = error_of([&] { loaded.step(data.x, wrong); });
  CHECK_THAT(text, Contains("label 4 in row 0 is not one of the 4 classes"));
}

TEST_CASE("a net file whose parts do not fit each other is refused", "[files]") {
  const Folder folder;
  const Data data;
  const std::string good = folder / "good.sinter", bad = folder / "bad.sinter";
  Net net;
  Trainer trainer(net, cross_entropy, optim::SGD{.lr = 0.1, .momentum = 0.9});
  trainer.record(data.x, data.y);
  save_net(trainer, good);
  const std::string ir = read_safetensors(good).metadata.at("sinter.ir");
  const auto with_ir = [&](const std::string& what, const std::string& by) {
    edit(good, bad, "sinter.ir", replaced(ir, what, by));
    const std::string text = error_of([&] { load_net(bad); });
    CHECK_THAT(text, Contains("bad.sinter") && Contains("help: "));
    return text;
  };
  const auto with_text = [&](const std::string& key, const std::string& text) {
    edit(good, bad, key, text);
    return error_of([&] { load_net(bad); });
  };
  CHECK_THAT(with_ir("relu", "rellu"), Contains("--> bad.sinter:"));
  CHECK_THAT(with_ir("global @hidden.bias : f32[16]", "global @hidden.bias : f32[15]"),
             Contains("--> bad.sinter:"));
  CHECK_THAT(with_ir("func @predict", "func @prophesy"), Contains("has no @predict"));
  CHECK_THAT(with_ir("%lr: f32[]", "%rate: f32[]").substr(0, 6), Contains("error:"));
  CHECK_THAT(with_ir("global @hidden", "global @unused : f32[1000000, 1000000]\nglobal @hidden"),
             Contains("missing unused : f32[1000000, 1000000]"));
  CHECK_THAT(with_text("sinter.version", "2"), Contains("version 2 of the format"));
  CHECK_THAT(with_text("sinter.version", "1 "), Contains("no sinter.version"));
  CHECK_THAT(with_text("sinter.parameters", "5"), Contains("has ") && Contains("help: "));
  CHECK_THAT(with_text("sinter.parameters", "3"), Contains("reads the state of the optimizer"));
  CHECK_THAT(with_text("sinter.max_batch", "99999999999"), Contains("more than 2147483648"));
  CHECK_THAT(with_text("sinter.steps", "-1"), Contains("no sinter.steps of 1 whole number"));
  CHECK_THAT(with_text("sinter.ir", std::string((1 << 21) + 1, ' ')), Contains("at most 2097152"));

  SafetensorsFile file = read_safetensors(good);
  SafetensorsFile some{{}, file.metadata};
  for (const auto& [name, tensor] : file.tensors) {
    if (name == "hidden.bias") continue;
    some.tensors.add(name, name == "hyper.%lr" ? Tensor{1, 2} : tensor);
  }
  some.tensors.add("stranger", Tensor{1});
  write_safetensors(bad, some);
  const std::string text = error_of([&] { load_net(bad); });
  CHECK_THAT(text, Contains("missing hidden.bias : f32[16]") &&
                       Contains("extra stranger : f32[1]") &&
                       Contains("hyper.%lr : f32[2] instead of f64[]"));
}
