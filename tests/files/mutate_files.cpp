// Loads broken variants of files of every format, and a few files that are small and ask for much.
// Each must end in a value or in an Error that names the file and a fix: no crash, no other
// exception, no hang, and never more memory than twice the size of the file and 64 MiB.
//
//   mutate_files FORMAT|all COUNT [SEED]
//
// The same seed gives the same variants; one that fails is kept, and its path printed.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <zlib.h>

#include <sinter/sinter.h>

#include "ir/text/text.h"
#include "runtime/files/json_reader.h"
#include "tests/files/folder.h"
#include "tests/files/heap_peak.h"
#include "tests/golden/mutate.h"

using namespace sinter;
using files::Folder;

namespace {

using Random = std::mt19937_64;

constexpr double most_seconds = 5;
constexpr size_t spare_memory = size_t{64} << 20;

struct Format {
  std::string name;
  std::vector<std::string> seeds;
  std::function<std::string(const std::string& seed, Random& random)> mutate;
  std::function<void(const std::string& path)> load;
  // Files that must be refused.
  std::vector<std::string> bombs{};
};

// Bytes that mean something to one of the formats, and numbers at the edges.
const std::vector<std::string>& pieces() {
  static const std::vector<std::string> out{"\"",
                                            "{",
                                            "}",
                                            "[",
                                            "]",
                                            ":",
                                            ",",
                                            "\\",
                                            "\\u0000",
                                            "\\ud800",
                                            "'",
                                            "(",
                                            ")",
                                            "0",
                                            "-1",
                                            "9",
                                            "1e9",
                                            ".5",
                                            "18446744073709551615",
                                            "9223372036854775807",
                                            "9223372036854775808",
                                            "4294967296",
                                            "65536",
                                            "F32",
                                            "F64",
                                            "I64",
                                            "BOOL",
                                            "BF16",
                                            "U8",
                                            "<f4",
                                            "|b1",
                                            "|O",
                                            ">f8",
                                            "True",
                                            "\"dtype\":",
                                            "\"shape\":[",
                                            "\"data_offsets\":[0,",
                                            "__metadata__",
                                            "\n",
                                            " ",
                                            "\t",
                                            "\xff",
                                            "\xc3\xa4",
                                            std::string(1, '\0'),
                                            std::string("\0\0\0\0\0\0\0\x80", 8),
                                            std::string(8, '\xff'),
                                            "\x1f\x8b",
                                            std::string("\0\0\x08\x03", 4),
                                            ",,",
                                            "\"\"",
                                            "\r\n"};
  return out;
}

void edit(std::string& bytes, Random& random) {
  const auto below = [&](size_t end) { return end == 0 ? 0 : random() % end; };
  const size_t at = below(bytes.size());
  const std::string& piece = pieces()[below(pieces().size())];
  switch (below(9)) {
    case 0:
      if (!bytes.empty()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
      break;
    case 1:
      if (!bytes.empty()) bytes[at] = static_cast<char>(below(256));
      break;
    case 2:
      bytes.insert(at, piece);
      break;
    case 3:
      bytes.replace(at, piece.size(), piece);
      break;
    case 4:
      bytes.erase(at, 1 + below(16));
      break;
    case 5:
      bytes.resize(at);
      break;
    case 6:
      bytes.append(bytes, at, 1 + below(64));
      break;
    case 7:
      bytes.insert(below(bytes.size()), bytes.substr(at, 1 + below(64)));
      break;
    default: {
      const size_t digit = bytes.find_first_of("0123456789", at);
      if (digit == std::string::npos) break;
      const size_t end = std::min(bytes.find_first_not_of("0123456789", digit), bytes.size());
      bytes.replace(digit, end - digit, piece);
    }
  }
}

std::string mutate_bytes(const std::string& seed, Random& random) {
  std::string out = seed;
  for (uint64_t edits = 1 + random() % 3; edits > 0; --edits) edit(out, random);
  return out;
}

uint64_t header_length(const std::string& file) {
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof(length));
  return length;
}

std::string with_header(const std::string& file, const std::string& header) {
  const uint64_t length = header.size();
  std::string out(sizeof(length), '\0');
  std::memcpy(out.data(), &length, sizeof(length));
  return out + header + file.substr(8 + header_length(file));
}

// Mostly in the header, whose length is put right, so that more than the length is looked at.
std::string mutate_safetensors(const std::string& seed, Random& random) {
  if (random() % 4 == 0) return mutate_bytes(seed, random);
  return with_header(seed, mutate_bytes(seed.substr(8, header_length(seed)), random));
}

// Every other time as text.
std::string mutate_csv(const std::string& seed, Random& random) {
  if (random() % 2 == 0) return mutate_bytes(seed, random);
  return golden::Mutator({seed}, random()).next();
}

std::string mutate_ir(const std::string& seed, Random& random) {
  return golden::Mutator({seed}, random()).next();
}

// Every other time in the IR, as text, so that what is broken is the program and not its quotes.
std::string mutate_net(const std::string& seed, const std::string& ir, Random& random) {
  if (random() % 2 == 0) return mutate_safetensors(seed, random);
  golden::Mutator mutator({ir}, random());
  std::string header = seed.substr(8, header_length(seed));
  const std::string quoted = detail::json_quoted(ir);
  const size_t at = header.find(quoted);
  if (at == std::string::npos) return seed;
  std::string text = mutator.next();
  if (!detail::is_utf8(text)) text = "func";
  return with_header(seed, header.replace(at, quoted.size(), detail::json_quoted(text)));
}

struct Net : nn::Module {
  nn::Linear hidden{3, 5}, predict{5, 2};
  Tensor scale = Tensor{0.5, 1, 2};
  Net() {
    add("hidden", hidden);
    add("predict", predict);
  }
  Value forward(Value x) override { return predict(relu(hidden(x * scale))); }
};

std::string gzipped(const std::string& bytes) {
  z_stream stream = {};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  std::string in = bytes;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::vector<Format> formats() {
  const Folder folder;
  const std::string path = folder / "seed";
  const auto saved = [&](auto save) {
    save();
    return files::read(path);
  };
  Net net;
  Trainer trainer(net, cross_entropy, optim::Adam{}, {.interpret = true});
  trainer.record(zeros({2, 3}), zeros({2}, DType::i64));

  const StateDict tensors{{"a", Tensor{{1, 2}, {3, 4}}},
                          {"b", Tensor::of<int64_t>({1, 2, 3})},
                          {"mask", Tensor::of<bool>({true, false, true})},
                          {"none", zeros({0, 3})}};
  const std::string weights = saved([&] { save(tensors, path); });
  const std::string texts = saved([&] {
    write_safetensors(path, {tensors, {{"format", "pt"}, {"note", "a \"quoted\" \\ text\n"}}});
  });
  const std::string whole = saved([&] { save_net(trainer, path); });
  const std::string small = saved([&] { save_net(net, zeros({1, 3}), path); });
  const std::string run = saved([&] { trainer.save_checkpoint(path, {1, 2, 3}); });
  const auto ir_of = [&](const std::string& bytes) {
    files::write(path, bytes);
    return read_safetensors(path).metadata.at("sinter.ir");
  };
  const auto in_net = [whole, small, whole_ir = ir_of(whole), small_ir = ir_of(small)](
                          const std::string& seed, Random& random) {
    return mutate_net(seed, seed == small ? small_ir : whole_ir, random);
  };
  const auto as_net = [](const std::string& file) { load_net(file, {.interpret = true}); };
  const auto as_checkpoint = [](const std::string& file) {
    Net fresh;
    Trainer into(fresh, cross_entropy, optim::Adam{}, {.interpret = true});
    into.load_checkpoint(file);
  };

  const std::string table =
      "name,size,\"price, in k\"\r\n\"a \"\"b\"\"\",1.5,-2e3\r\nc,NA,7\r\n\"d\ne\",,0.25\r\n";
  const std::string numbers = "1,2,3\n4,5,6\n7,8,9\n";

  std::vector<std::string> stages;
  for (const char* stage : {"forward", "simplify", "fuse_batch", "plan_memory"}) {
    stages.push_back(trainer.dump(stage));
  }

  std::vector<std::string> arrays;
  for (const Tensor& t : {Tensor{{1, 2}, {3, 4}}, Tensor::scalar<double>(1), zeros({0, 2})}) {
    arrays.push_back(saved([&] { save_npy(path, t); }));
  }
  arrays.push_back(saved([&] { save_npy(path, Tensor::of<bool>({true, false})); }));
  const std::string images(
      "\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02"
      "ABCDEFGH",
      24);
  const std::string floats("\0\0\x0D\x01\0\0\0\x02\x3f\x80\0\0\x40\0\0\0", 16);

  return {
      {"weights", {weights, texts}, mutate_safetensors, [](const std::string& f) { load(f); }},
      {"net", {whole, small}, in_net, as_net},
      {"checkpoint", {run}, in_net, as_checkpoint},
      {"npy", arrays, mutate_bytes, [](const std::string& f) { load_npy(f); }},
      {"idx",
       {images, floats, gzipped(images), gzipped(floats)},
       mutate_bytes,
       [](const std::string& f) { load_idx(f); },
       // More data than the header says, and a header that says more than there can be.
       {gzipped(images + std::string(size_t{1} << 28, '\0')),
        gzipped(std::string("\0\0\x08\x02\x7f\xff\xff\xff\0\0\0\x02", 12) +
                std::string(100, 'x'))}},
      {"csv",
       {table, numbers, gzipped(table)},
       mutate_csv,
       [](const std::string& f) { Table::from_csv(f, {.max_bytes = 1 << 24}); },
       {gzipped(std::string(size_t{1} << 28, '7')), std::string(size_t{1} << 24, ','),
        "a\n\"" + std::string(size_t{1} << 24, 'x')}},
      {"sir", stages, mutate_ir, [](const std::string& f) { ir::parse_file(f); }},
  };
}

// What is wrong with how the load ended; empty if nothing is.
std::string complaint(const Format& format, const std::string& path, bool& refused) {
  try {
    format.load(path);
    refused = false;
    return "";
  } catch (const Error& error) {
    refused = true;
    const bool names_file = std::string(error.what()).find("mutated") != std::string::npos;
    if (error.help_text().empty()) return fmt::format("no fix in: {}", error.what());
    return names_file ? "" : fmt::format("no file in: {}", error.what());
  } catch (const std::exception& error) {
    return error.what();
  }
}

// One file, and what loading it took.
struct Trial {
  std::string found;  // what is wrong
  bool refused = false;
  size_t memory = 0;
  double seconds = 0;

  Trial(const Format& format, const std::string& bytes, const std::string& path) {
    files::write(path, bytes);
    files::reset_heap_peak();
    const size_t before = files::heap_bytes();
    // Time of the processor: a machine with other work must not make a file look slow.
    const std::clock_t begin = std::clock();
    found = complaint(format, path, refused);
    memory = files::heap_peak() - before;
    seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    if (memory > 2 * bytes.size() + spare_memory) {
      found += fmt::format(" {} bytes of memory for a file of {}", memory, bytes.size());
    }
    if (seconds > most_seconds) found += fmt::format(" {:.1f} s", seconds);
  }
};

bool refuses_bombs(const Format& format, const std::string& path) {
  for (size_t i = 0; i < format.bombs.size(); ++i) {
    const Trial trial(format, format.bombs[i], path);
    if (trial.refused && trial.found.empty()) continue;
    fmt::print("{}: bomb {} is {}: {}\n", format.name, i, trial.refused ? "refused" : "taken",
               trial.found);
    return false;
  }
  return true;
}

bool run(const Format& format, int count, uint64_t seed, const std::string& path) {
  if (!refuses_bombs(format, path)) return false;
  Random random(seed);
  int refused = 0;
  size_t most_memory = 0;
  double slowest = 0;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) {
    const std::string bytes = format.mutate(format.seeds[random() % format.seeds.size()], random);
    const Trial trial(format, bytes, path);
    const std::string& found = trial.found;
    refused += trial.refused;
    most_memory = std::max(most_memory, trial.memory);
    slowest = std::max(slowest, trial.seconds);
    if (found.empty()) continue;
    const std::string kept = fmt::format("mutated.{}.{}", format.name, i);
    files::write(kept, bytes);
    fmt::print("{}: variant {} of seed {}, kept as {}: {}\n", format.name, i, seed, kept, found);
    return false;
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("{:10} {} variants, {} refused, at most {} KiB and {:.0f} ms, {:.1f} s in all\n",
             format.name, count, refused, most_memory / 1024, 1e3 * slowest, seconds);
  std::fflush(stdout);
  // Of an unbroken file nothing is refused, of nothing but broken ones nearly all: 9 in 10 of every
  // format but csv, 6 in 10 of which, as a table takes most texts.
  return refused > count / 4 && refused < count;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3 || argc > 4) {
    fmt::print(stderr, "usage: mutate_files FORMAT|all COUNT [SEED]\n");
    return 2;
  }
  const Folder folder;
  bool good = true, known = false;
  for (const Format& format : formats()) {
    if (argv[1] != format.name && std::string(argv[1]) != "all") continue;
    known = true;
    good = run(format, std::atoi(argv[2]), argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1,
               folder / "mutated") &&
           good;
  }
  if (!known) fmt::print(stderr, "no format is named {}\n", argv[1]);
  return good && known ? 0 : 1;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
