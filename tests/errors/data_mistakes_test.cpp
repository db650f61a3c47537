// Mistakes with data sets, loaders and tables, and the message that each one gets.
#include <sinter/sinter.h>

#include "tests/errors/golden.h"

using namespace sinter;
using errors::check;

TEST_CASE("a data set with unequal rows shows both shapes", "[errors]") {
  check("dataset_rows", false, [] { TensorDataset(ones({100, 2}), ones({99})); });
}

TEST_CASE("a sample that cannot be read is named", "[errors]") {
  struct Pictures : Dataset {
    int64_t size() const override { return 4; }
    Sample get(int64_t i) const override { return {load_npy("/nowhere/3.npy"), Tensor{float(i)}}; }
  };
  check("loader_sample", false, [] {
    DataLoader loader(Pictures(), {.batch_size = 2, .num_workers = 2});
    for (auto [step, x, y] : loader) static_cast<void>(step);
  });
}

TEST_CASE("a record that is too short is found in the file", "[errors]") {
  check("csv_record", false, [] { Table::parse_csv("a,b\n1,2\n3\n", "rooms.csv"); });
}

TEST_CASE("text among numbers is found in the file", "[errors]") {
  check("csv_text", false,
        [] { Table::parse_csv("a,b\n1,2\n3,n.a.\n", "rooms.csv").tensor({"a", "b"}); });
}

TEST_CASE("missing values do not become a tensor", "[errors]") {
  check("csv_missing", false, [] { Table::parse_csv("a\n1\nNA\n").tensor({"a"}); });
}

TEST_CASE("softmax before cross_entropy is refused", "[errors]") {
  check("cross_entropy_of_softmax", false, [] {
    nn::Sequential net{nn::Linear(2, 3), nn::Softmax()};
    Trainer trainer(net, cross_entropy, optim::SGD{.lr = 0.1}, {.interpret = true});
    trainer.step(ones({4, 2}), zeros({4}, DType::i64));
  });
}
