#include <cstring>

#include <catch2/catch.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fcntl.h>

#include <sinter/npy.h>
#include <sinter/random.h>
#include <sinter/safetensors.h>

#include "tests/files/folder.h"

using Catch::Contains;
using namespace sinter;
using files::error_of;
using files::Folder;
using files::read;
using files::write;
namespace fs = std::filesystem;

namespace {

// A file with this header, as it is, and so many bytes of data.
std::string file_of(const std::string& header, const std::string& data = "") {
  const uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + data;
}

// {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} and the like.
std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

}  // namespace

TEST_CASE("safetensors read back in every dtype and rank", "[safetensors]") {
  const Folder folder;
  const std::string path = folder / "a.safetensors";
  Generator generator(1);
  SafetensorsFile file;
  for (const Shape& shape : {Shape{}, Shape{5}, Shape{0, 3}, Shape{2, 3}, Shape{2, 1, 3, 2}})
    for (DType d : {DType::f32, DType::f64, DType::i32, DType::i64, DType::boolean})
      file.tensors.add(fmt::format("{}{}", d, shape_to_string(shape)),
                       normal(zeros(shape), 100, generator).to(d));
  file.tensors.add("a view", Tensor{{1, 2}, {3, 4}}.t());
  file.metadata = {{"a", "quotes \" and \\ and\nlines\x01"}, {"ä", "✓ \xF0\x9F\x98\x80"}, {"", ""}};
  write_safetensors(path, file);
  const SafetensorsFile back = read_safetensors(path);
  CHECK(back.metadata == file.metadata);
  REQUIRE(back.tensors.size() == file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    INFO(name);
    CHECK(back.tensors.at(name).type_string() == tensor.type_string());
    CHECK(hash_tensor(back.tensors.at(name)) == hash_tensor(tensor));
  }
  CHECK(folder.count() == 1);
}

TEST_CASE("safetensors bytes are those of the reference implementation", "[safetensors]") {
  const Folder folder;
  const std::string path = folder / "a.safetensors";
  const StateDict tensors{{"b", Tensor{1}},
                          {"a", Tensor{{2, 3}}},
                          {"labels", Tensor::of<int64_t>({7})},
                          {"mask", Tensor::of<bool>({true, false})}};
  save(tensors, path);
  const std::string header =
      "{\"labels\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
      "\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[8,16]},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[16,20]},"
      "\"mask\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[20,22]}}";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  const float numbers[] = {2, 3, 1};
  std::string data("\7\0\0\0\0\0\0\0", 8);
  data.append(reinterpret_cast<const char*>(numbers), sizeof(numbers)).append("\1\0", 2);
  CHECK(read(path) == file_of(padded, data));
}

TEST_CASE("an empty state is a file too", "[safetensors]") {
  const Folder folder;
  save({}, folder / "a");
  CHECK(read(folder / "a") == file_of("{}      "));
  CHECK(load(folder / "a").empty());
}

TEST_CASE("a header may have white space, escapes and any order of keys", "[safetensors]") {
  const Folder folder;
  write(folder / "a",
        file_of("{ \"\\u0061\\uD83D\\ude00\\n\" :\t{\"data_offsets\":[0 , 4],\r\n\"shape\":[],"
                "\"dtype\":\"I32\"}, \"__metadata__\":{} }  ",
                std::string("\5\0\0\0", 4)));
  const StateDict tensors = load(folder / "a");
  REQUIRE(tensors.size() == 1);
  CHECK(tensors.at("a\xF0\x9F\x98\x80\n").item() == 5);
}

TEST_CASE("bad safetensors are errors with the file and the byte", "[safetensors]") {
  const Folder folder;
  const std::string path = folder / "bad.safetensors";
  const auto message = [&](const std::string& bytes) {
    write(path, bytes);
    const std::string text = error_of([&] { load(path); });
    CHECK_THAT(text, Contains("bad.safetensors") && Contains(" byte ") && Contains("help: "));
    // Nothing of the header depends on the data.
    if (text.find("value 2") == std::string::npos)
      CHECK(text == error_of([&] { read_safetensors_header(path); }));
    return text;
  };
  const auto header = [&](const std::string& text, size_t bytes = 8) {
    return message(file_of(text, std::string(bytes, '\0')));
  };
  const auto one = [&](const std::string& dtype, const std::string& shape,
                       const std::string& offsets) {
    return header("{" + entry("a", dtype, shape, offsets) + "}");
  };
  CHECK_THAT(error_of([&] { load(folder / "none"); }), Contains("help: check the path"));
  CHECK_THAT(message(""), Contains("truncated at byte 0"));
  CHECK_THAT(message("\1\2\3"), Contains("truncated at byte 3"));
  CHECK_THAT(message(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10)),
             Contains("a header of 18446744073709551615 bytes at byte 0 but only 10 bytes"));
  CHECK_THAT(message(std::string("\x03\0\0\0\0\0\0\0{}", 10)), Contains("a header of 3 bytes"));
  // One byte above the limit, in a file that is as long as it says.
  CHECK_THAT(header(std::string((1 << 24) + 1, ' ')), Contains("at most 16777216 are read"));
  CHECK_THAT(header(""), Contains("a header without '{' at byte 8"));
  CHECK_THAT(header(" {}"), Contains("a header without '{' at byte 8"));
  CHECK_THAT(header("{"), Contains("no string at byte 9"));
  CHECK_THAT(header("{}x"), Contains("text after the last '}' at byte 10"));
  CHECK_THAT(header("{\"a\""), Contains("no ':' at byte 12"));
  CHECK_THAT(header("{\"a\":[]}"), Contains("no '{' at byte 13"));
  CHECK_THAT(header("{\"a}"), Contains("a string without an end at byte 9"));
  CHECK_THAT(header("{\"\\q\":{}}"), Contains("unknown escape at byte"));
  CHECK_THAT(header("{\"\\uD800\":{}}"), Contains("half a surrogate pair"));
  CHECK_THAT(header("{\"\\uD800\\u0041\":{}}"), Contains("half a surrogate pair"));
  CHECK_THAT(header("{\"\\uDC00\":{}}"), Contains("half a surrogate pair"));
  for (const char* bytes : {"\xff", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                            "\xF0\x80\x80\x80", "\xE2\x82", "\x80"})
    CHECK_THAT(header(fmt::format("{{\"{}\":{{}}}}", bytes)), Contains("not UTF-8 at byte 9"));
  CHECK_THAT(header("{\"a\nb\":{}}"), Contains("bare control character at byte 9"));
  CHECK_THAT(header("{\"" + std::string(1025, 'a') + "\":{}}"),
             Contains("a string above 1024 bytes at byte 9"));
  CHECK_THAT(header("{\"a\":{}}"), Contains("no dtype, shape or two data_offsets of a at byte 9"));
  CHECK_THAT(one("F32", "[2]", "[0,8,8]"), Contains("more than two offsets"));
  CHECK_THAT(one("F32", "[2]", "[0]"), Contains("two data_offsets of a"));
  CHECK_THAT(one("f32", "[2]", "[0,8]"), Contains("an unknown dtype \"f32\" at byte 22"));
  CHECK_THAT(one("BF16", "[4]", "[0,8]"),
             Contains("bad.safetensors holds BF16 elements in a at byte 22") &&
                 Contains("astype('float32')"));
  CHECK_THAT(one("U8", "[8]", "[0,8]"), Contains("U8 elements") && Contains("astype('int64')"));
  CHECK_THAT(one("F32", "[3]", "[0,8]"),
             Contains("a with f32[3] but the data offsets 0 and 8 at byte 9"));
  CHECK_THAT(one("F32", "[2]", "[8,0]"), Contains("the data offsets 8 and 0"));
  CHECK_THAT(one("F32", "[4294967296,4294967296]", "[0,8]"), Contains("a with f32[4294967296"));
  CHECK_THAT(one("F32", "[9223372036854775807]", "[0,8]"), Contains("a with f32[9223"));
  CHECK_THAT(one("F32", "[9223372036854775808]", "[0,8]"), Contains("a number above 2^63 - 1"));
  CHECK_THAT(one("F32", "[-2]", "[0,8]"), Contains("no whole number of 0 or more"));
  CHECK_THAT(one("F32", "[2.0]", "[0,8]"), Contains("no whole number of 0 or more"));
  CHECK_THAT(one("F32", "[2e0]", "[0,8]"), Contains("no whole number of 0 or more"));
  CHECK_THAT(one("F32", "[02]", "[0,8]"), Contains("a leading zero"));
  CHECK_THAT(one("F32", "[2,]", "[0,8]"), Contains("no whole number"));
  CHECK_THAT(one("F32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]", "[0,8]"),
             Contains("more than 16 axes"));
  CHECK_THAT(one("F32", "[0,1000]", "[0,0]"), Contains("too long") && Contains("8 bytes of data"));
  CHECK_THAT(one("F32", "[4]", "[0,16]"), Contains("truncated: 8 bytes of data from byte"));
  CHECK_THAT(one("F32", "[1]", "[4,8]"), Contains("data of a that leaves a gap before it"));
  CHECK_THAT(one("BOOL", "[8]", "[0,8],\"dtype\":\"F32\""), Contains("repeated key \"dtype\""));
  CHECK_THAT(one("BOOL", "[8]", "[0,8],\"more\":1"), Contains("unknown or repeated key \"more\""));
  const auto two = [&](const std::string& a, const std::string& b) {
    return header("{" + a + "," + b + "}");
  };
  CHECK_THAT(two(entry("a", "F32", "[1]", "[0,4]"), entry("b", "F32", "[1]", "[0,4]")),
             Contains("data of b that overlaps other data at byte 62"));
  CHECK_THAT(two(entry("a", "F32", "[2]", "[0,8]"), entry("b", "F32", "[1]", "[4,8]")),
             Contains("data of b that overlaps"));
  CHECK_THAT(two(entry("a", "I32", "[1]", "[0,4]"), entry("a", "I32", "[1]", "[4,8]")),
             Contains("a second tensor a at byte 62"));
  CHECK_THAT(two(entry("a", "F64", "[1]", "[0,8]"), "\"__metadata__\":{\"x\":1}"),
             Contains("no string"));
  CHECK_THAT(two("\"__metadata__\":{\"x\":\"\"}", "\"__metadata__\":{}"),
             Contains("a second __metadata__ at byte 33"));
  CHECK_THAT(header("{\"__metadata__\":{\"x\":\"\",\"x\":\"\"}}"), Contains("a second \"x\" at byte 32"));
  CHECK_THAT(message(file_of("{" + entry("a", "BOOL", "[3]", "[0,3]") + "}",
                             std::string("\0\1\2", 3))),
             Contains("a bool of value 2 at byte 65"));
}

TEST_CASE("what a file may cost is limited by its header", "[safetensors]") {
  const Folder folder;
  const auto message = [&](const std::string& header) {
    write(folder / "a", file_of(header));
    return error_of([&] { load(folder / "a"); });
  };
  std::string many = "{", texts = "{\"__metadata__\":{";
  for (int i = 0; i <= 65536; ++i)
    many += entry(std::to_string(i), "F32", "[0]", "[0,0]") + (i < 65536 ? "," : "}");
  CHECK_THAT(message(many), Contains("more than 65536 tensors at byte"));
  for (int i = 0; i <= 4096; ++i) texts += fmt::format("\"{}\":\"\"{}", i, i < 4096 ? "," : "}}");
  CHECK_THAT(message(texts), Contains("too much metadata at byte"));
}

TEST_CASE("what cannot be stored is refused before a file is made", "[safetensors]") {
  const Folder folder;
  const auto message = [&](const SafetensorsFile& file) {
    return error_of([&] { write_safetensors(folder / "a", file); });
  };
  CHECK_THAT(message({{{"\xff", Tensor{1}}}}), Contains("a name is not UTF-8"));
  CHECK_THAT(message({{{std::string(1025, 'a'), Tensor{1}}}}), Contains("more than 1024 bytes"));
  CHECK_THAT(message({{{"__metadata__", Tensor{1}}}}), Contains("choose another"));
  CHECK_THAT(message({{{"a", ones(Shape(17, 1))}}}), Contains("a has 17 axes"));
  CHECK_THAT(message({{}, {{"a", "\xff"}}}), Contains("the metadata \"a\" is not UTF-8"));
  CHECK_THAT(message({{}, {{"a", std::string(1 << 24, 'a')}}}), Contains("too many"));
  CHECK(folder.count() == 0);
}

TEST_CASE("a state is found by name and keeps its order", "[safetensors]") {
  StateDict state{{"b", Tensor{1}}, {"a", Tensor{2}}};
  CHECK(state.begin()->first == "b");
  CHECK(state["a"].item() == 2);
  CHECK(state.find("c") == nullptr);
  CHECK_THAT(error_of([&] { state.at("c"); }), Contains("there are b, a"));
  CHECK_THAT(error_of([&] { state.add("a", Tensor{3}); }), Contains("two tensors are named a"));
  const StateDict copy = state.clone();
  Tensor shared = state["a"];
  shared.copy_from(Tensor{5});
  CHECK(state["a"].item() == 5);
  CHECK(copy["a"].item() == 2);
}

TEST_CASE("a save removes what killed runs left, and nothing else", "[files]") {
  const Folder folder;
  const std::string path = folder / "a.npy";
  const auto stale = [&](const std::string& name) {
    write(folder / name, "left behind");
    return folder / name;
  };
  const std::string left[] = {stale("a.npy.sinter-tmp"), stale("a.npy.sinter-tmp-3")};
  const std::string other = stale("b.npy.sinter-tmp"), users = stale("a.npy.tmp");
  // Another save that is going on holds its lock.
  const std::string busy = stale("a.npy.sinter-tmp-1");
  const int descriptor = ::open(busy.c_str(), O_RDWR);
  REQUIRE(::flock(descriptor, LOCK_EX) == 0);
  save_npy(path, Tensor{1});
  for (const std::string& name : left) CHECK_FALSE(fs::exists(name));
  CHECK(fs::exists(other));
  CHECK(fs::exists(users));
  CHECK(fs::exists(busy));
  ::close(descriptor);
  save_npy(path, Tensor{2});
  CHECK_FALSE(fs::exists(busy));
  CHECK(load_npy(path).item() == 2);
}

TEST_CASE("a save keeps the permissions of the file that it replaces", "[files]") {
  const Folder folder;
  const std::string path = folder / "a.npy";
  save_npy(path, Tensor{1});
  ::chmod(path.c_str(), 0600);
  save_npy(path, Tensor{2});
  struct stat status = {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("a file may have the longest name there is", "[files]") {
  const Folder folder;
  const std::string path = folder / std::string(255, 'n');
  save_npy(path, Tensor{3});
  CHECK(load_npy(path).item() == 3);
  CHECK(folder.count() == 1);
}
