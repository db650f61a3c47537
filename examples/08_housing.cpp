// Predicts the price of homes in Californian districts, from a CSV file with missing values and a
// category. Trains on three fifths of the districts, stops by the error on another fifth, and is
// judged by the last one.
#include <cstdio>
#include <string>
#include <vector>

#include <fmt/core.h>

#include <sinter/sinter.h>

namespace st = sinter;

const std::string kPrice = "median_house_value";

// 1 - (squared error) / (squared deviation from the mean): 1 is perfect, 0 no better than the mean.
double r2_score(const st::Tensor& prediction, const st::Tensor& price) {
  const st::Value error = st::sum(st::pow(prediction - st::Operand(price), 2));
  const st::Value spread = st::sum(st::pow(price - st::mean(price), 2));
  return st::eval(1 - error / spread).item();
}

int main(int argc, char** argv) try {
  const std::string folder = argc > 1 ? argv[1] : SINTER_EXAMPLE_DATA "/housing";
  const st::Table table = st::Table::from_csv(folder + "/housing.csv.gz");
  fmt::print("{} districts; {} without total_bedrooms; ocean_proximity is one of: {}\n",
             table.rows(), table.missing("total_bedrooms"),
             fmt::join(table.categories("ocean_proximity"), ", "));

  auto [rest, test] = table.split(0.2, 1);
  auto [train, valid] = rest.split(0.25, 2);
  // Everything that is learned about the data comes from the training part.
  const double bedrooms = train.median("total_bedrooms");
  for (st::Table* part : {&train, &valid, &test}) {
    part->fill_missing("total_bedrooms", bedrooms).one_hot("ocean_proximity");
  }
  std::vector<std::string> features = train.names();
  std::erase(features, kPrice);
  const st::Standardizer scale_x(train.tensor(features)), scale_y(train.tensor({kPrice}));
  const st::Tensor x = scale_x(train.tensor(features)), y = scale_y(train.tensor({kPrice}));

  st::manual_seed(1);
  const int64_t inputs = x.size(1);
  st::nn::Sequential net{st::nn::Linear(inputs, 64), st::nn::ReLU(), st::nn::Linear(64, 64),
                         st::nn::ReLU(), st::nn::Linear(64, 1)};
  fmt::print("{}\n", net);

  st::DataLoader loader(st::TensorDataset(x, y), {.batch_size = 64, .shuffle = true});
  st::Trainer trainer(net, st::mse_loss, st::optim::Adam{.lr = 2e-3});
  const st::History history =
      st::fit(trainer, loader,
              {.epochs = 60,
               .validation = {scale_x(valid.tensor(features)), scale_y(valid.tensor({kPrice}))},
               .callbacks = {st::EarlyStopping({.patience = 10}),
                             st::LearningRate(st::CosineAnnealingLR{.t_max = 60})}});
  if (!history.stopped().empty()) fmt::print("stopped: {}\n", history.stopped());

  const st::Tensor price = scale_y.inverse(trainer.predict(scale_x(test.tensor(features))));
  fmt::print("test R2: {:.3f} with {} compilation\n", r2_score(price, test.tensor({kPrice})),
             trainer.compile_count());
} catch (const st::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
