#include <cstring>
#include <filesystem>

#include <catch2/catch.hpp>
#include <zlib.h>

#include <sinter/error.h>
#include <sinter/idx.h>
#include <sinter/npy.h>
#include <sinter/random.h>

#include "tests/files/folder.h"

using Catch::Contains;
using namespace sinter;
using files::error_of;
using files::Folder;
using files::read;
using files::write;
namespace fs = std::filesystem;

namespace {

std::string npy(const std::string& dictionary, const std::string& payload, int version = 1) {
  std::string result = "\x93NUMPY";
  result += static_cast<char>(version);
  result += '\0';
  result += static_cast<char>(dictionary.size());
  result += '\0';
  if (version > 1) result.append(2, '\0');
  return result + dictionary + payload;
}

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

std::string big32(uint32_t x) {
  return {static_cast<char>(x >> 24), static_cast<char>(x >> 16), static_cast<char>(x >> 8),
          static_cast<char>(x)};
}

std::string idx(int type, const std::vector<uint32_t>& shape, const std::string& payload) {
  std::string result{0, 0, static_cast<char>(type), static_cast<char>(shape.size())};
  for (uint32_t d : shape) result += big32(d);
  return result + payload;
}

}  // namespace

TEST_CASE("npy files read back in every dtype and rank", "[npy]") {
  const Folder folder;
  const std::string path = folder / "a.npy";
  Generator generator(1);
  for (const Shape& shape : {Shape{}, Shape{5}, Shape{0}, Shape{2, 3}, Shape{2, 1, 3, 2}})
    for (DType d : {DType::f32, DType::f64, DType::i32, DType::i64, DType::boolean}) {
      const Tensor x = normal(zeros(shape), 100, generator).to(d);
      save_npy(path, x);
      const Tensor y = load_npy(path);
      CHECK(y.type_string() == x.type_string());
      CHECK(hash_tensor(x) == hash_tensor(y));
    }
  CHECK(folder.count() == 1);
}

TEST_CASE("npy files have a 64-byte aligned version 1 header", "[npy]") {
  const Folder folder;
  const std::string path = folder / "a.npy";
  save_npy(path, Tensor{{1, 2}, {3, 4}}.t());
  const std::string bytes = read(path);
  REQUIRE(bytes.size() == 128 + 16);
  CHECK(bytes.substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
  CHECK(bytes.substr(10, 59) == "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }");
  CHECK(bytes[127] == '\n');
  float second = 0;
  std::memcpy(&second, bytes.data() + 132, 4);
  CHECK(second == 3);
}

TEST_CASE("npy is read in versions 1 to 3, either order and loose spelling", "[npy]") {
  const Folder folder;
  const std::string path = folder / "a.npy";
  const std::string payload("\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5\0\0\0\6\0\0\0", 24);
  for (int version : {1, 2, 3}) {
    write(path, npy("{'shape':(2,3),\"fortran_order\":True,'descr':'<i4'} \n", payload, version));
    CHECK(equal(load_npy(path), Tensor::of<int32_t>({{1, 3, 5}, {2, 4, 6}})));
  }
  write(path, npy("{'descr': '<i4', 'fortran_order': False, 'shape': (6,), }", payload));
  CHECK(equal(load_npy(path), Tensor::of<int32_t>({1, 2, 3, 4, 5, 6})));
}

TEST_CASE("bad npy files are errors with the byte offset", "[npy]") {
  const Folder folder;
  const std::string path = folder / "a.npy";
  const auto message = [&](const std::string& bytes) {
    write(path, bytes);
    return error_of([&] { load_npy(path); });
  };
  const auto header = [](const std::string& descr, const std::string& shape) {
    return "{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }";
  };
  const std::string data(8, '\0');
  CHECK_THAT(error_of([&] { load_npy(folder / "none.npy"); }), Contains("help: check the path"));
  CHECK_THAT(error_of([&] { load_npy(folder / "."); }), Contains("not a regular file"));
  CHECK_THAT(message(""), Contains("truncated at byte 0"));
  CHECK_THAT(message("\x93NUM"), Contains("truncated at byte 4"));
  CHECK_THAT(message("PK\3\4 and more"), Contains("wrong magic at byte 0"));
  CHECK_THAT(message(npy("{}", data, 9)), Contains("at byte 6"));
  CHECK_THAT(message(std::string("\x93NUMPY\1\0\xff\xff{", 11)), Contains("header of 65535 bytes"));
  CHECK_THAT(message(std::string("\x93NUMPY\2\0\xff\xff\xff\xff{", 13)), Contains("at byte 8"));
  CHECK_THAT(message(npy(header("'<f4'", "(3,)"), data)),
             Contains("truncated: 8 bytes of data") && Contains("f32[3], 12 bytes"));
  CHECK_THAT(message(npy(header("'<f4'", "(1,)"), data)), Contains("too long"));
  CHECK_THAT(message(npy(header("'<f4'", "(4294967296, 4294967296)"), data)),
             Contains("more than 2^63"));
  CHECK_THAT(message(npy(header("'<f4'", "(99999999999999999999,)"), data)), Contains("too large"));
  CHECK_THAT(message(npy(header("'<f4'", "(-2,)"), data)), Contains("no dimension at byte 61"));
  CHECK_THAT(message(npy(header("'|O'", "(1,)"), data)), Contains("Python objects"));
  CHECK_THAT(message(npy(header("'>f4'", "(2,)"), data)), Contains("a.astype('<f4')"));
  CHECK_THAT(message(npy(header("'|u1'", "(8,)"), data)), Contains("a.astype('<i4')"));
  CHECK_THAT(message(npy(header("[('x', '<f4')]", "(2,)"), data)), Contains("records"));
  CHECK_THAT(message(npy(header("'|b1'", "(4,)"), std::string("\0\1\0\2", 4))),
             Contains("bool of value 2 at byte"));
  CHECK_THAT(message(npy("{'descr': '<f4', 'descr': '<f4'}", data)), Contains("repeated key"));
  CHECK_THAT(message(npy("{'descr': '<f4'}", data)), Contains("no 'descr', 'fortran_order'"));
  CHECK_THAT(message(npy(header("'<f4'", "(2,)") + "x", data)), Contains("text after"));
  CHECK_THAT(message(npy("import os", data)), Contains("no '{' at byte 10"));
}

TEST_CASE("any damage to an npy file is an error or another tensor, never a crash", "[npy]") {
  const Folder folder;
  const std::string path = folder / "a.npy";
  save_npy(path, Tensor{{1, 2}, {3, 4}});
  const std::string good = read(path);
  int refused = 0;
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(random_bits(1, 2, 3, i));
    write(path, i % 2 == 0 ? bad : good.substr(0, i));
    refused += error_of([&] { load_npy(path); }) != "no error";
  }
  CHECK(refused > 70);
}

TEST_CASE("a failed save keeps the old file and leaves nothing behind", "[npy]") {
  const Folder folder;
  CHECK_THAT(error_of([&] { save_npy(folder / "no/such/a.npy", Tensor{1}); }),
             Contains("cannot write") && Contains("help"));
  // A folder cannot be replaced by a file.
  const std::string path = folder / "a.npy";
  fs::create_directory(path);
  CHECK_THROWS_AS(save_npy(path, Tensor{1}), Error);
  CHECK(folder.count() == 1);
  fs::remove(path);
  save_npy(path, Tensor{1});
  save_npy(path, Tensor{2});
  CHECK(load_npy(path).item() == 2);
  CHECK(folder.count() == 1);
}

TEST_CASE("idx files are read plain and gzipped and converted to the asked dtype", "[idx]") {
  const Folder folder;
  const std::string path = folder / "images";
  const std::string bytes = idx(8, {2, 1, 3}, std::string("\x00\x01\x02\x80\xfe\xff", 6));
  for (const std::string& stored : {bytes, gzipped(bytes)}) {
    write(path, stored);
    CHECK(equal(load_idx(path), Tensor{{{0, 1, 2}}, {{128, 254, 255}}}));
    CHECK(equal(load_idx(path, DType::i64), Tensor::of<int64_t>({{{0, 1, 2}}, {{128, 254, 255}}})));
  }
}

TEST_CASE("idx payloads of every type are big endian", "[idx]") {
  const Folder folder;
  const std::string path = folder / "x";
  const auto load = [&](int type, const std::string& payload, DType as = DType::f64) {
    write(path, idx(type, {1}, payload));
    return load_idx(path, as).item();
  };
  CHECK(load(0x09, "\xff") == -1);
  CHECK(load(0x0B, "\x01\x02") == 258);
  CHECK(load(0x0C, "\xff\xff\xff\xfe") == -2);
  CHECK(load(0x0D, std::string("\x3f\xc0\0\0", 4)) == 1.5);
  CHECK(load(0x0E, std::string("\xbf\xf8\0\0\0\0\0\0", 8)) == -1.5);
  CHECK_THAT(error_of([&] { load(0x0D, std::string("\x7f\xc0\0\0", 4), DType::i32); }),
             Contains("nan at byte 8"));
}

TEST_CASE("bad idx files are errors with path and byte offset", "[idx]") {
  const Folder folder;
  const std::string path = folder / "labels.idx";
  const auto message = [&](const std::string& bytes) {
    write(path, bytes);
    return error_of([&] { load_idx(path); });
  };
  CHECK_THAT(error_of([&] { load_idx(folder / "none"); }), Contains("help: check the path"));
  for (bool zip : {false, true}) {
    const auto stored = [zip](const std::string& bytes) { return zip ? gzipped(bytes) : bytes; };
    CHECK_THAT(message(stored("")), Contains("labels.idx is truncated at byte 0"));
    CHECK_THAT(message(stored("GARBAGE")), Contains("not an IDX file: 47 41 52 at byte 0"));
    CHECK_THAT(message(stored(idx(0x0A, {1}, "x"))), Contains("not an IDX file"));
    CHECK_THAT(message(stored(idx(8, {3, 1}, "").substr(0, 8))), Contains("truncated at byte 8"));
    CHECK_THAT(message(stored(idx(8, {3}, "abcd"))), Contains("too long: data after byte 11"));
    CHECK_THAT(message(stored(idx(8, {3}, "ab"))), Contains("truncated"));
    CHECK_THAT(message(stored(idx(8, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, "ab"))),
               Contains("more than the file can hold"));
    CHECK_THAT(message(stored(idx(8, {0xFFFFFFFF}, "ab"))), Contains("more than the file"));
  }
}

TEST_CASE("a damaged gzip stream is an error", "[idx]") {
  const Folder folder;
  const std::string path = folder / "x.gz";
  const std::string good = gzipped(idx(8, {5}, "abcde"));
  for (size_t length = 2; length < good.size(); ++length) {
    write(path, good.substr(0, length));
    INFO("length " << length << " of " << good.size());
    CHECK_THROWS_AS(load_idx(path), Error);
  }
  std::string bad = good;
  bad[bad.size() - 6] = static_cast<char>(bad[bad.size() - 6] ^ 1);
  write(path, bad);
  CHECK_THAT(error_of([&] { load_idx(path); }), Contains("damaged"));
}
