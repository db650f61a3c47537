// The other side of interop_test.py: writes files that Python reads, and copies files that Python
// wrote through a load and a save.
//
//   interop_program write FOLDER            every dtype and rank, each as .safetensors and .npy
//   interop_program copy FROM TO            .safetensors or .npy, by the name of FROM
#include <string>

#include <fmt/format.h>

#include <sinter/npy.h>
#include <sinter/random.h>
#include <sinter/safetensors.h>

using namespace sinter;

namespace {

void write(const std::string& folder) {
  Generator generator(1);
  StateDict tensors;
  for (const Shape& shape : {Shape{}, Shape{5}, Shape{0, 3}, Shape{2, 3}, Shape{2, 1, 3, 2}}) {
    for (DType d : {DType::f32, DType::f64, DType::i32, DType::i64, DType::boolean}) {
      const std::string name = fmt::format("{}.{}", d, fmt::join(shape, "x"));
      tensors.add(name, normal(zeros(shape), 100, generator).to(d));
      save_npy(fmt::format("{}/{}.npy", folder, name), tensors[name]);
    }
  }
  tensors.add("special", Tensor::of<double>({-0.0, 1.0 / 0.0, 0.0 / 0.0, 5e-324}));
  tensors.add("naïve \"name\"\n✓", Tensor{1});
  save_npy(folder + "/special.npy", tensors["special"]);
  save(tensors, folder + "/all.safetensors");
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "write" && argc == 3) {
    write(argv[2]);
  } else if (command == "copy" && argc == 4) {
    const std::string from = argv[2];
    if (from.ends_with(".npy")) {
      save_npy(argv[3], load_npy(from));
    } else {
      write_safetensors(argv[3], read_safetensors(from));
    }
  } else {
    fmt::print(stderr, "usage: interop_program write FOLDER | copy FROM TO\n");
    return 2;
  }
} catch (const Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
