// Files of weights in every container: PyTorch's own come out bit for bit, hostile ones are refused in one
// line.
#include "nn/weights/weights_file.h"

#include <cstring>

#include "tests/nn/crafted.h"
#include "tests/nn/peers.h"

using namespace plumage;
using namespace plumage::test;
using namespace plumage::test::pickled;
namespace fs = std::filesystem;

namespace {

fs::path sample(const std::string& name) {
  return std::string(PLUMAGE_SOURCE_DIR) + "/tests/nn/expected/weights/" + name;
}

std::string numbers(const WeightsFile& file, const StoredTensor& tensor) {
  Tensor bytes = file.read_bytes(tensor);
  return {static_cast<const char*>(bytes.raw()), size_t(bytes.bytes())};
}

/// Same names, types, shapes and bytes; what `file` has in its state dictionary.
void check_same(const WeightsFile& file, const WeightsFile& wanted) {
  std::map<std::string, const StoredTensor*> named;
  for (const StoredTensor& tensor : file.index().tensors) named[tensor.name] = &tensor;
  CHECK(named.size() == wanted.index().tensors.size());
  for (const StoredTensor& tensor : wanted.index().tensors) {
    CAPTURE(tensor.name);
    REQUIRE(named.contains(tensor.name));
    CHECK(named[tensor.name]->type == tensor.type);
    CHECK(named[tensor.name]->shape == tensor.shape);
    CHECK(numbers(file, *named[tensor.name]) == numbers(wanted, tensor));
  }
}

WeightsIndex index(const std::string& bytes) { return index_weights(InputFile("crafted", bytes)); }

std::string refusal(const std::string& bytes) {
  std::string says = thrown<InputError>([&] { index(bytes); });
  CHECK(says.starts_with("crafted: "));
  CHECK(!contains(says, "\n"));
  return says;
}

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

/// Numbers of the tensor called "t".
std::vector<double> read_t(const std::string& bytes) {
  InputFile file("crafted", bytes);
  WeightsIndex found = index_weights(file);
  for (const StoredTensor& tensor : found.tensors)
    if (tensor.name == "t") return read_stored(file, tensor).to_vector();
  return {};
}

std::string one(const std::string& tensor) { return dictionary({text("t"), tensor}); }

}  // namespace

TEST_CASE("PyTorch's files in both containers and two protocols hold what safetensors says") {
  WeightsFile wanted(sample("tensors.safetensors"));
  CHECK(wanted.index().container == "safetensors");
  CHECK(wanted.index().tensors.size() == 19);
  for (auto [name, container] :
       {std::pair{"tensors.protocol2", "zip"}, {"tensors.protocol4", "zip"}, {"tensors.legacy", "legacy"}}) {
    CAPTURE(name);
    WeightsFile file(sample(name));
    CHECK(file.index().container == container);
    CHECK(file.index().state.empty());
    check_same(file, wanted);
  }
}

TEST_CASE("numbers become plumage's types; types that only newer PyTorch has, and no checksums") {
  WeightsFile file(sample("tensors.protocol2"));
  for (const StoredTensor& tensor : file.index().tensors) {
    Tensor t = file.read(tensor);
    if (tensor.name == "transposed") CHECK(t.to_vector()[1] == float(6.0 / 7));
    if (tensor.name == "expanded") CHECK(t.to_vector()[13] == float(1.0 / 7));
    if (tensor.name == "f16")
      CHECK(t.to_vector() == std::vector<double>{0.333251953125, 5.9604644775390625e-08, -65504});
    if (tensor.name == "i8") CHECK(t.to_vector() == std::vector<double>{-128, 6});
    if (tensor.name == "scalar") CHECK(t.shape() == Shape{});
    if (tensor.name == "empty") CHECK(t.shape() == Shape{0, 6});
  }
  WeightsFile odd(sample("unsigned.no_crc"));
  REQUIRE(odd.index().tensors.size() == 2);
  CHECK(odd.read(odd.index().tensors[0]).to_vector() == std::vector<double>{65535, 9});
  CHECK(odd.read(odd.index().tensors[1]).to_vector() == std::vector<double>{4294967295.0});
}

TEST_CASE("a checkpoint's state dictionary is found beside options, NumPy scalars, an optimiser and itself") {
  for (const char* name : {"checkpoint.zip", "checkpoint.legacy"}) {
    WeightsFile file(sample(name));
    CHECK(file.index().state == "state_dict");
    REQUIRE(file.index().tensors.size() == 1);
    CHECK(file.index().tensors[0].name == "conv1.weight");
    CHECK(file.read(file.index().tensors[0]).to_vector() == std::vector<double>{0, 1, 2, 3, 4, 5});
    std::vector<std::string> others;
    for (const StoredTensor& tensor : file.index().others) others.push_back(tensor.name);
    CHECK(others == std::vector<std::string>{"optimizer.state.0.step", "optimizer.state.0.exp_avg",
                                             "optimizer.state.0.exp_avg_sq"});
  }
}

TEST_CASE("state dictionaries under the names of training programs, and tensors in lists") {
  std::string t = tensor(storage("0", 2), 0, {2}, {1});
  auto state_of = [&](const std::string& body) { return index(archive(body, {floats({1, 2})})); };
  for (const char* key : {"state_dict", "model_state_dict", "model", "net", "state_dict_ema", "teacher"}) {
    WeightsIndex found = state_of(dictionary({text("epoch"), number(3), text(key), one(t)}));
    CHECK(found.state == key);
    CHECK(found.tensors[0].name == "t");
  }
  CHECK(state_of(dictionary({text("model"), dictionary({text("state_dict"), one(t)})})).state ==
        "model.state_dict");
  WeightsIndex both =
      state_of(dictionary({text("state_dict_ema"), one(t), text("best"), t, text("state_dict"), one(t)}));
  CHECK(both.state == "state_dict");
  REQUIRE(both.others.size() == 2);
  CHECK(both.others[0].name == "state_dict_ema.t");
  CHECK(both.others[1].name == "best");
  CHECK(state_of(dictionary({text("model"), "}", text("x"), "](" + t + "Ne"})).tensors[0].name == "x.0");
  CHECK(state_of(t).tensors[0].name == "tensor");
  CHECK(state_of(dictionary({text("t"), t, text("t"), tensor(storage("0", 2), 1, {1}, {1})}))
            .tensors[0]
            .shape == std::vector<int64_t>{1});
}

TEST_CASE("views: shared storages, strides, and the parts of storages of PyTorch before 0.4") {
  std::string data = floats({0, 1, 2, 3, 4, 5});
  CHECK(read_t(archive(one(tensor(storage("0", 6), 0, {3, 2}, {1, 3})), {data})) ==
        std::vector<double>{0, 3, 1, 4, 2, 5});
  CHECK(read_t(archive(one(tensor(storage("0", 6), 5, {}, {})), {data})) == std::vector<double>{5});
  CHECK(read_t(archive(one(tensor(storage("0", 6), 4, {2, 2}, {1, 0})), {data})) ==
        std::vector<double>{4, 4, 5, 5});
  CHECK(read_t(archive(one(tensor(storage("0", 6), 1, {1, 2}, {99, 3})), {data})) ==
        std::vector<double>{1, 4});  // a stride of size 1 is idle
  CHECK(read_t(archive(one(tensor(storage("0", 6), 100, {0, 2}, {2, 1})), {data})).empty());
  std::string part = "(" + text("storage") + global("torch", "FloatStorage") + text("k") + text("cpu") +
                     number(6) + "(" + text("v") + number(2) + number(3) + "ttQ";
  std::string keys = "]" + text("k") + "a", stored = little(6, 8) + data;
  CHECK(read_t(legacy(one(tensor(part, 1, {2}, {1})), keys, stored)) == std::vector<double>{3, 4});
  CHECK(contains(refusal(legacy(one(tensor(part, 2, {2}, {1})), keys, stored)), "beyond its storage"));
}

TEST_CASE("hostile tensors are refused before memory is taken") {
  std::string data = floats({0, 1, 2, 3});
  auto says = [&](const std::string& t) { return refusal(archive(one(t), {data})); };
  CHECK(contains(says(tensor(storage("0", 4), 0, {5}, {1})),
                 "tensor t: shape [5] of f32 from element 0 on reaches beyond its storage of 16 bytes"));
  CHECK(contains(says(tensor(storage("0", 4), 1, {4}, {1})), "beyond its storage"));
  CHECK(contains(says(tensor(storage("0", 4), 0, {2}, {4})), "beyond its storage"));
  CHECK(contains(says(tensor(storage("0", 4), -1, {2}, {1})), "negative"));
  CHECK(contains(says(tensor(storage("0", 4), 0, {-2}, {1})), "negative"));
  CHECK(contains(says(tensor(storage("0", 4), 2, {2}, {-1})), "negative"));
  CHECK(contains(says(tensor(storage("0", 4), 0, {2}, {1, 1})), "dimensions"));
  CHECK(contains(says(tensor(storage("0", 5), 0, {4}, {1})), "its storage 0 has 16 bytes"));
  CHECK(contains(says(tensor(storage("1", 4), 0, {4}, {1})), "its storage 1 is not in the file"));
  CHECK(contains(says(tensor(storage("0", 0x7fffffff, "DoubleStorage"), 0, {4}, {1})), "are wanted"));
  CHECK(contains(says(tensor(storage("0", 4), 0, {0x7fffffff, 0x7fffffff, 0x7fffffff}, {0, 0, 0})),
                 "beyond any memory"));
  CHECK(contains(says(tensor(storage("0", 4), 0, {0x7fffffff}, {0})), "many times"));
  CHECK(contains(says(tensor(storage("0", 4), 0, {0, 0x7fffffff, 0x7fffffff, 0x7fffffff}, {0, 0, 0, 0})),
                 "beyond any memory"));
  CHECK(contains(refusal(archive(one(number(3)))), "holds no tensors"));
  CHECK(contains(refusal(archive("N")), "holds no tensors"));
}

TEST_CASE("many views with wide strides over one large storage are refused, not read for hours") {
  std::string data(4 << 20, 'x');
  std::vector<std::string> items;
  for (int i = 0; i < 200; ++i) {
    items.push_back(text("t" + std::to_string(i)));
    items.push_back(tensor(storage("0", 1 << 20), 0, {2}, {(1 << 20) - 1}));
  }
  CHECK(contains(refusal(archive(dictionary(items), {data})), "many times"));
}

TEST_CASE("zip files that are not in order are refused") {
  std::string t = one(tensor(storage("0", 1), 0, {1}, {1})), sound = archive(t, {floats({1})});
  CHECK(index(sound).tensors.size() == 1);
  CHECK(contains(refusal(sound.substr(0, sound.size() - 30)), "truncated"));
  CHECK(contains(refusal(zip({{"a/data.pkl", whole(t), 8}})), "compressed"));
  CHECK(contains(refusal(zip({{"a/data.pkl", whole(t)}, {"a/code/__torch__/m.py", "y", 8}})), "TorchScript"));
  CHECK(contains(refusal(zip({{"a/x", "y"}})), "without data.pkl"));
  CHECK(contains(refusal(zip({{"a/data.pkl", whole(t)}, {"b/data.pkl", whole(t)}})), "more than one"));
  CHECK(contains(refusal(zip({{"a/data.pkl", whole(t)}, {"a/data.pkl", whole(t)}})), "twice"));
  CHECK(contains(refusal(zip({{"a/data.pkl", whole(t)}, {"a/byteorder", "big"}})), "big-endian"));
  CHECK(contains(refusal(zip({{"a/data.pkl", whole(t).substr(0, 20)}, {"a/data/0", "...."}})),
                 "a/data.pkl") == false);
  size_t directory = sound.find("PK\1\2"), second = sound.find("PK\1\2", directory + 1),
         end = sound.find("PK\5\6");
  auto changed = [&](size_t at, const std::string& bytes) {
    std::string other = sound;
    other.replace(at, bytes.size(), bytes);
    return refusal(other);
  };
  CHECK(contains(changed(second + 42, little(0, 4)), "disagree about the name"));
  CHECK(contains(changed(directory + 20, little(1 << 20, 4) + little(1 << 20, 4)), "more than the file has"));
  CHECK(contains(changed(directory + 20, little(5, 4)), "two sizes"));
  uint64_t cut = whole(t).size() - 1;  // its last byte then stands behind it
  CHECK(contains(changed(directory + 20, little(cut, 4) + little(cut, 4)), "longer than its entry"));
  CHECK(contains(changed(directory + 24, little(sound.find("PK\3\4", 1), 4)), "two sizes"));
  CHECK(contains(changed(directory + 8, little(1, 2)), "encrypted"));
  CHECK(contains(changed(end + 16, little(0x7fffffff, 4)), "points outside"));
  CHECK(contains(changed(end + 12, little(20, 4)), "breaks off"));
  CHECK(contains(changed(end + 10, little(9, 2)), "breaks off"));
  uint64_t reach = sound.find("PK\3\4", 1) - 1;  // from byte 40 into the second entry's
  CHECK(contains(changed(directory + 20, little(reach, 4) + little(reach, 4)), "shares bytes"));
  for (size_t cut = 0; cut < sound.size(); ++cut) CHECK_THROWS_AS(index(sound.substr(0, cut)), InputError);
}

TEST_CASE("zip64: numbers that do not fit stand in an extra field and a second end record") {
  std::string pickle = whole(one(tensor(storage("0", 1), 0, {1}, {1}))), file, directory;
  for (auto [name, bytes] :
       {std::pair{std::string("a/data.pkl"), pickle}, {std::string("a/data/0"), floats({7})}}) {
    std::string wide = little(1, 2) + little(24, 2) + little(bytes.size(), 8) + little(bytes.size(), 8) +
                       little(file.size(), 8);
    directory += "PK\1\2" + little(0, 16) + std::string(8, '\xff') + little(name.size(), 2) +
                 little(wide.size(), 2) + little(0, 10) + std::string(4, '\xff') + name + wide;
    file += "PK\3\4" + little(0, 14) + std::string(8, '\xff') + little(name.size(), 2) + little(0, 2) + name +
            bytes;
  }
  std::string end = "PK\6\6" + little(44, 8) + little(0, 12) + little(2, 8) + little(2, 8) +
                    little(directory.size(), 8) + little(file.size(), 8) + "PK\6\7" + little(0, 4) +
                    little(file.size() + directory.size(), 8) + little(1, 4) + "PK\5\6" + little(0, 4) +
                    std::string(12, '\xff') + little(0, 2);
  CHECK(read_t(file + directory + end) == std::vector<double>{7});
}

TEST_CASE("the old container: truncated, foreign byte order, storages that do not add up") {
  std::string t = one(tensor(storage("k", 2), 0, {2}, {1})), keys = "]" + text("k") + "a",
              data = little(2, 8) + floats({1, 2});
  std::string sound = legacy(t, keys, data);
  CHECK(read_t(sound) == std::vector<double>{1, 2});
  for (size_t cut = 0; cut < sound.size(); ++cut) CHECK_THROWS_AS(index(sound.substr(0, cut)), InputError);
  CHECK(contains(refusal(legacy(t, keys, data, false)), "big-endian"));
  CHECK(contains(refusal(legacy(t, "]", data)), "its storage k is not in the file"));
  CHECK(contains(refusal(legacy(t, "N", data)), "lists no storages"));
  CHECK(contains(refusal(legacy(t, "]" + text("other") + "a", data)), "no tensor refers to"));
  CHECK(contains(refusal(legacy(t, "](" + text("k") + text("k") + "e", data + data)), "twice"));
  CHECK(contains(refusal(legacy(t, keys, little(uint64_t(1) << 62, 8) + floats({1, 2}))),
                 "more than the file has"));
  CHECK(
      contains(refusal(legacy(t, keys, little(~uint64_t(0), 8) + floats({1, 2}))), "more than the file has"));
  CHECK(contains(refusal(legacy(t, keys, little(1, 8) + floats({1}))), "2 elements of f32 are wanted"));
  CHECK(contains(refusal(whole(t)), "not one that PyTorch saved"));
}

TEST_CASE("containers nested too deep, in circles, or shared many times over") {
  std::string t = tensor(storage("0", 1), 0, {1}, {1}), deep = t;
  for (int i = 0; i < 100; ++i) deep = dictionary({text("d"), deep});
  CHECK(contains(refusal(archive(deep, {floats({1})})), "nest deeper"));
  std::string circle = "}q\x01(" + text("me") + "h\x01" + text("t") + t + "u";
  CHECK(index(archive(circle, {floats({1})})).tensors.size() == 1);
  // Each dictionary holds the one before twice: 2^40 paths lead to the tensor.
  std::string laugh = dictionary({text("t"), t}) + "q\x01";
  std::string body = "](" + laugh;
  for (int i = 0; i < 40; ++i) body += "}(" + text("a") + "h\x01" + text("b") + "h\x01uq\x01";
  CHECK(index(archive(body + "e", {floats({1})})).tensors.size() == 1);
}

TEST_CASE("a file is known by its content, and what is no file of weights is told what it is") {
  ScratchFolder folder;
  std::string t = one(tensor(storage("0", 1), 0, {1}, {1}));
  CHECK(WeightsFile(folder.write("zip.safetensors", archive(t, {floats({1})}))).index().container == "zip");
  CHECK(contains(refusal(""), "is empty"));
  CHECK(contains(refusal("<!DOCTYPE html>"), "web page"));
  CHECK(contains(refusal("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"));
  CHECK(contains(refusal("\x1f\x8b\x08 and so on"), "gunzip"));
  CHECK(contains(refusal("a few words that are no weights"), "neither"));
  // A header of 640 bytes: its length begins like a pickle; one of 0x04034b50 bytes would begin like a zip
  // file.
  std::string header = "{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
  header.resize(640, ' ');
  CHECK(index(little(640, 8) + header + "x").container == "safetensors");
}

TEST_CASE("the bundle's files: every format as its safetensors twin, every hostile one refused by name") {
  fs::path folder = bundle("weights/formats");
  if (folder.empty()) {
    MESSAGE("skipped: no weights/formats in the test data (PLUMAGE_TEST_DATA)");
    return;
  }
  for (auto [name, twin] : {std::pair{"tiny-resnet18-zip.pth", "tiny-resnet18"},
                            {"tiny-resnet18-legacy.pth", "tiny-resnet18"},
                            {"dtypes-zip.pth", "dtypes"},
                            {"dtypes-legacy.pth", "dtypes"},
                            {"views-zip.pth", "views"},
                            {"views-legacy.pth", "views"},
                            {"parameters.pth", "parameters"},
                            {"moco-checkpoint.pth.tar", "moco-checkpoint.state_dict"},
                            {"../cifar10/resnet20-12fca82f.th", "../cifar10/resnet20-12fca82f"}}) {
    CAPTURE(name);
    check_same(WeightsFile(folder / name), WeightsFile(folder / (std::string(twin) + ".safetensors")));
  }
  WeightsFile moco(folder / "moco-checkpoint.pth.tar"),
      optimizer(folder / "moco-checkpoint.optimizer.safetensors");
  CHECK(moco.index().others.size() == optimizer.index().tensors.size());
  for (const StoredTensor& momentum : optimizer.index().tensors)  // momentum_buffer.N
    for (const StoredTensor& other : moco.index().others)
      if (other.name == "optimizer.state." + momentum.name.substr(16) + ".momentum_buffer")
        CHECK(numbers(moco, other) == numbers(optimizer, momentum));
  const std::map<std::string, std::string> wants = {
      {"runs-code", "posix.system"}, {"whole-module", "torch.nn.modules.container.Sequential"}};
  int refused = 0;
  for (const auto& file : fs::directory_iterator(folder)) {
    std::string name = file.path().filename().string();
    if (!contains(name, "must-be-refused") && !contains(name, "deflated")) continue;
    std::string says = thrown<InputError>([&] { WeightsFile opened(file.path()); });
    CAPTURE(says);
    for (const auto& [begin, wanted] : wants)
      if (name.starts_with(begin)) CHECK(contains(says, wanted));
    ++refused;
  }
  CHECK(refused >= 14);
  CHECK(!fs::exists("/tmp/pwned"));
}
