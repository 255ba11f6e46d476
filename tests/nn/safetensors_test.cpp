// Files that others wrote, our own, and hostile ones.
#include "nn/weights/safetensors.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <cmath>
#include <csignal>
#include <cstring>

#include "tensor/ops.h"
#include "tests/nn/peers.h"

using namespace plumage;
using namespace plumage::test;
namespace fs = std::filesystem;

namespace {

/// Eight bytes of length, the header, the data.
std::string file_of(const std::string& header, const std::string& data = "", int64_t stated = -1) {
  uint64_t length = stated < 0 ? header.size() : uint64_t(stated);
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

std::string bytes_of_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<double> read(const TensorFile& file, const std::string& name) {
  return file.tensors.at(name).to_vector();
}

}  // namespace

TEST_CASE("a file of the safetensors package is read in every type") {
  TensorFile file =
      read_safetensors(std::string(PLUMAGE_SOURCE_DIR) + "/tests/nn/expected/dtypes.safetensors");
  CHECK(file.tensors.size() == 12);
  auto type = [&](const char* name) { return file.tensors.at(name).dtype(); };
  CHECK(type("f64") == DType::f64);
  CHECK(type("f16") == DType::f32);
  CHECK(type("bf16") == DType::bf16);
  CHECK(type("i16") == DType::i32);
  CHECK(type("i8") == DType::i32);
  CHECK(type("bool") == DType::u8);
  CHECK(read(file, "f64") == std::vector<double>{1.0 / 3, -0.0, 1e300});
  CHECK(file.tensors.at("f32").shape() == Shape{2, 2});
  const uint32_t f32[] = {0x3dcccccd, 0x7f800000, 0xc0200000,
                          1};  // the last is denormal: kernels may flush, files not
  CHECK(std::memcmp(file.tensors.at("f32").raw(), f32, sizeof f32) == 0);
  CHECK(read(file, "f16") ==
        std::vector<double>{1, 0x1p-24, 1023 * 0x1p-24, 0x1p-14, 65504, INFINITY, -INFINITY, 0, -1.5});
  CHECK(std::signbit(read(file, "f16")[7]));
  CHECK(read(file, "bf16") == std::vector<double>{0.5, 3.140625});
  CHECK(file.tensors.at("i64").data<int64_t>()[0] == -(int64_t(1) << 62));
  CHECK(read(file, "i32") == std::vector<double>{-2147483648.0, 7});
  CHECK(read(file, "i16") == std::vector<double>{-32768, 12});
  CHECK(read(file, "i8") == std::vector<double>{-128, 127});
  CHECK(read(file, "u8") == std::vector<double>{0, 255});
  CHECK(read(file, "bool") == std::vector<double>{1, 0});
  CHECK(file.tensors.at("scalar").shape() == Shape{});
  CHECK(file.tensors.at("scalar").item() == 2.5);
  CHECK(file.tensors.at("empty").shape() == Shape{0, 4});
  CHECK(file.metadata ==
        std::map<std::string, std::string>{{"made by", "the safetensors package"}, {"quote", "\"\u00e9\""}});
}

TEST_CASE("what is written is read back bit for bit, aligned, and replaces the earlier file") {
  ScratchFolder folder;
  TensorFile file;
  file.tensors["b"] = ops::normal({3, 5}, {});
  file.tensors["a.u8"] = Tensor::from<uint8_t>(std::vector<uint8_t>{1, 2, 3}, {3});
  file.tensors["z"] = Tensor::from<double>(std::vector<double>{NAN, -0.0}, {2, 1});
  file.tensors["half"] = ops::cast(ops::normal({7}, {}), DType::bf16);
  file.tensors["count"] = Tensor::full({1}, 1e15, DType::i64);
  file.tensors["small"] = Tensor::full({2}, -3, DType::i32);
  file.tensors["none"] = Tensor::zeros({0, 3});
  file.tensors["one"] = Tensor::scalar(4);
  file.metadata = {{"config", "a = \"b\"\n"}, {"", ""}};
  fs::path path = folder / "x.safetensors";
  write_safetensors(path, {});
  CHECK(read_safetensors(path).tensors.empty());
  write_safetensors(path, file);
  TensorFile again = read_safetensors(path);
  CHECK(again.metadata == file.metadata);
  REQUIRE(again.tensors.size() == file.tensors.size());
  for (const auto& [name, t] : file.tensors) {
    const Tensor& u = again.tensors.at(name);
    CAPTURE(name);
    CHECK(u.dtype() == t.dtype());
    CHECK(u.shape() == t.shape());
    CHECK(std::memcmp(u.raw(), t.raw(), size_t(t.bytes())) == 0);
  }
  std::string bytes = bytes_of_file(path);
  CHECK((*reinterpret_cast<const uint64_t*>(bytes.data())) % 8 == 0);
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);  // nothing is left beside it
}

TEST_CASE("a slice is written as what it shows") {
  ScratchFolder folder;
  Tensor rows = Tensor::from<float>(std::vector<float>{1, 2, 3, 4, 5, 6}, {3, 2});
  write_safetensors(folder / "x", {{{"row", rows.slice(1, 1)}}, {}});
  CHECK(read(read_safetensors(folder / "x"), "row") == std::vector<double>{3, 4});
}

TEST_CASE("a hostile header is refused in one line that names the file") {
  const std::string eight(8, 'x');
  auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{\"t\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
  };
  const std::string sound = entry("F32", "[2]", "[0,8]");
  struct Case {
    std::string what, bytes, says;
  };
  std::vector<Case> cases = {
      {"empty", "", "only 0 bytes"},
      {"short", "abc", "only 3 bytes"},
      {"length beyond the file", file_of(sound, eight, 1 << 20), "its header would be 1048576 bytes"},
      {"length beyond reason", std::string(8, '\xff') + sound,
       "its header would be 18446744073709551615 bytes"},
      {"no header", file_of(""), "does not begin with {"},
      {"not JSON", file_of("{\"t\":"), "not JSON"},
      {"a list", file_of("[1]"), "does not begin with {"},
      {"leading space", file_of(" {}"), "does not begin with {"},
      {"deep lists", file_of("{\"t\":" + std::string(1 << 20, '[')), "a list stands where none belongs"},
      {"deep objects", file_of("{\"t\":{\"a\":{\"b\":{}}}}"), "an object stands where none belongs"},
      {"no UTF-8", file_of("{\"\xff\xfe\":{}}"), "not JSON"},
      {"two values", file_of("{}{}"), "not JSON"},
      {"name twice",
       file_of("{\"t\":" + sound.substr(5, sound.size() - 6) + ",\"t\":" + sound.substr(5), eight), "twice"},
      {"key twice", file_of("{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}"), "twice"},
      {"no offsets", file_of("{\"t\":{\"dtype\":\"F32\",\"shape\":[2]}}", eight), "lacks"},
      {"no shape", file_of("{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", eight), "lacks"},
      {"one offset", file_of(entry("F32", "[2]", "[0]"), eight), "lacks"},
      {"three offsets", file_of(entry("F32", "[2]", "[0,8,8]"), eight), "lacks"},
      {"a text for a size", file_of(entry("F32", "[\"2\"]", "[0,8]"), eight), "a text stands"},
      {"a number for a tensor", file_of("{\"t\":3}"), "a number stands"},
      {"a negative size", file_of(entry("F32", "[-2]", "[0,8]"), eight), "negative"},
      {"a broken size", file_of(entry("F32", "[2.5]", "[0,8]"), eight), "broken number"},
      {"a size of 2^63", file_of(entry("F32", "[9223372036854775808]", "[0,8]"), eight), "too large"},
      {"a product that overflows", file_of(entry("F32", "[4294967296,4294967296,4]", "[0,8]"), eight),
       "does not take"},
      {"a product that overflows to the right size",
       file_of(entry("F32", "[2305843009213693953,8,2]", "[0,64]"), std::string(64, 'x')), "does not take"},
      {"huge beside zero", file_of(entry("F32", "[0,4611686018427387904,4611686018427387904]", "[0,0]")),
       "tensor t"},
      {"six dimensions", file_of(entry("F32", "[1,1,1,1,1,2]", "[0,8]"), eight), "more than 5 dimensions"},
      {"unknown type", file_of(entry("F8_E4M3", "[8]", "[0,8]"), eight), "type F8_E4M3 is not supported"},
      {"too little data", file_of(sound, "xxxx"), "lie outside"},
      {"offsets backwards", file_of(entry("F32", "[0]", "[8,0]"), eight), "lie outside"},
      {"offsets beyond", file_of(entry("F32", "[2]", "[8,16]"), eight), "lie outside"},
      {"shape too small", file_of(entry("F32", "[1]", "[0,8]"), eight), "does not take"},
      {"data after the end", file_of(sound, eight + "y"), "belong to no tensor"},
      {"data before the start", file_of(entry("F32", "[2]", "[1,9]"), eight + "y"), "belong to no tensor"},
      {"overlap",
       file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]},"
               "\"b\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[3,8]}}",
               eight),
       "overlaps"},
      {"metadata that is no text", file_of("{\"__metadata__\":{\"a\":1}}"), "a number stands"}};
  ScratchFolder folder;
  for (const Case& c : cases) {
    CAPTURE(c.what);
    fs::path path = folder.write("hostile.safetensors", c.bytes);
    std::string says = thrown<InputError>([&] { read_safetensors(path); });
    CAPTURE(says);
    CHECK(contains(says, c.says));
    CHECK(says.starts_with(path.string() + ": "));
    CHECK(!contains(says, "\n"));
  }
  CHECK(read(read_safetensors(folder.write("sound", file_of(sound + "   ", eight))), "t").size() == 2);
}

TEST_CASE(
    "a sound file cut at any byte, or with any byte of its header changed, is refused or read; never worse") {
  ScratchFolder folder;
  write_safetensors(folder / "sound",
                    {{{"a", Tensor::zeros({2})}, {"b", Tensor::zeros({3}, DType::u8)}}, {{"k", "v"}}});
  std::string sound = bytes_of_file(folder / "sound");
  for (size_t cut = 0; cut < sound.size(); ++cut)
    CHECK_THROWS_AS(read_safetensors(folder.write("cut", sound.substr(0, cut))), InputError);
  int refused = 0;
  for (size_t at = 0; at < sound.size() - 11; ++at)
    for (char byte : {'9', '"', '}'}) {
      std::string changed = sound;
      changed[at] = byte;
      try {
        read_safetensors(folder.write("changed", changed));
      } catch (const InputError&) {
        ++refused;
      }
    }
  CHECK(refused > 100);
}

TEST_CASE("what is no file is refused: a folder, a missing one, a pipe, a device") {
  ScratchFolder folder;
  CHECK(contains(thrown<InputError>([&] { read_safetensors(folder.path()); }), "is not a file"));
  CHECK(contains(thrown<InputError>([&] { read_safetensors(folder / "none"); }), "No such file"));
  CHECK(contains(thrown<InputError>([&] { read_safetensors("/dev/zero"); }), "is not a file"));
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(contains(thrown<InputError>([&] { read_safetensors(folder / "pipe"); }), "is not a file"));
}

TEST_CASE("a write that fails leaves the earlier file and nothing else") {
  ScratchFolder folder;
  fs::path path = folder / "x.safetensors";
  write_safetensors(path, {{{"t", Tensor::full({3}, 1)}}, {}});
  std::string before = bytes_of_file(path);

  // A limit on the size of files stands in for a full disk: write() fails half way.
  struct rlimit saved;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &saved) == 0);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit limited = saved;
  limited.rlim_cur = 4096;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limited) == 0);
  std::string says = thrown<MachineError>([&] {
    write_safetensors(path, {{{"t", Tensor::zeros({100'000})}}, {}});
  });
  ::setrlimit(RLIMIT_FSIZE, &saved);
  std::signal(SIGXFSZ, handler);
  CHECK(says.starts_with(path.string() + ": cannot be written: "));
  CHECK(bytes_of_file(path) == before);
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);

  CHECK(contains(thrown<MachineError>([&] { write_safetensors(folder / "no" / "x", {}); }), "No such file"));
  CHECK(contains(thrown<MachineError>([&] { write_safetensors(folder.path(), {}); }), "is not a file"));
  CHECK(contains(thrown<MachineError>([&] { write_safetensors("/dev/full", {}); }), "is not a file"));
  CHECK_THROWS_AS(write_safetensors(path, {{{"t", Tensor()}}, {}}), InputError);
  CHECK_THROWS_AS(write_safetensors(path, {{{"__metadata__", Tensor::zeros({1})}}, {}}), InputError);
  CHECK_THROWS_AS(write_safetensors(path, {{{"\xff", Tensor::zeros({1})}}, {}}), InputError);
  CHECK(bytes_of_file(path) == before);
}

TEST_CASE("the bundle's safetensors files are read, and those that must be refused are refused") {
  fs::path folder = bundle("weights/formats");
  if (folder.empty()) {
    MESSAGE("skipped: no weights/formats in the test data (PLUMAGE_TEST_DATA)");
    return;
  }
  int read = 0, refused = 0;
  for (const auto& file : fs::directory_iterator(folder)) {
    if (file.path().extension() != ".safetensors") continue;
    CAPTURE(file.path().filename().string());
    if (contains(file.path().filename().string(), "must-be-refused")) {
      CHECK_THROWS_AS(read_safetensors(file.path()), InputError);
      ++refused;
    } else {
      CHECK(!read_safetensors(file.path()).tensors.empty());
      ++read;
    }
  }
  CHECK(read >= 8);
  CHECK(refused >= 4);
}
