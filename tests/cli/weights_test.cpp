// Weights in and out of the program: inspect, convert, export, features, and --weights of others' files.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "nn/weights/safetensors.h"
#include "nn/weights/weights_file.h"
#include "tests/cli/program.h"
#include "tests/nn/crafted.h"
#include "tests/nn/recipe.h"

using namespace plumage;
using Json = nlohmann::json;

namespace {

const std::string kSamples = PLUMAGE_SOURCE_DIR "/tests/nn/expected/weights/";

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// A small ResNet-18's state under a prefix, as a file.
std::map<std::string, Tensor> tiny_state(const std::string& prefix, int64_t width = 4) {
  Init init{.seed = 5};
  ResNet net({.arch = "resnet18", .width = width}, init);
  std::map<std::string, Tensor> tensors;
  store_state(net, prefix, tensors);
  return tensors;
}

}  // namespace

TEST_CASE("inspect prints the container and every tensor, for people and as JSON") {
  Scratch s("inspect");
  Outcome o = plumage::plumage(s, "inspect --json '" + kSamples + "checkpoint.zip'");
  CHECK(o.code == 0);
  Json out = Json::parse(o.out);
  CHECK(out["container"] == "zip");
  CHECK(out["state"] == "state_dict");
  CHECK(out["tensors"] ==
        Json::parse(R"([{"name":"conv1.weight","shape":[2,3,1,1],"dtype":"f32","nan":0,"inf":0}])"));
  CHECK(out["others"][1]["name"] == "optimizer.state.0.exp_avg");
  CHECK(
      Json::parse(plumage::plumage(s, "inspect --json '" + kSamples + "tensors.legacy'").out)["container"] ==
      "legacy");
  auto tensors = tiny_state("module.backbone.");
  tensors["module.backbone.bn1.bias"].data<float>()[1] = NAN;
  write_safetensors(s / "w.pth", TensorFile{tensors, {{"made", "here"}}});
  Outcome people = plumage::plumage(s, "inspect '" + s / "w.pth" + "'");
  CHECK(holds(people.out, "container  safetensors\n"));
  CHECK(holds(people.out, "resnet18, width 4, stem imagenet, prefix 'module.backbone.'"));
  CHECK(holds(people.out, "  module.backbone.bn1.bias [4] f32  not finite: 1 nan, 0 inf\n"));
  CHECK(holds(people.out, "  module.backbone.conv1.weight [4,3,7,7] f32\n"));
}

TEST_CASE("convert keeps names, types and numbers; what stands beside the state dictionary only when asked") {
  Scratch s("convert");
  for (const char* name : {"tensors.protocol2", "tensors.legacy", "tensors.safetensors"}) {
    Outcome o = plumage::plumage(s, "convert '" + kSamples + name + "' '" + s / "out.safetensors" + "'");
    CHECK_MESSAGE(o.code == 0, o.err);
    WeightsFile made(s / "out.safetensors"), wanted(kSamples + "tensors.safetensors");
    std::map<std::string, const StoredTensor*> found;
    for (const StoredTensor& t : made.index().tensors) found[t.name] = &t;
    CHECK(found.size() == wanted.index().tensors.size());
    for (const StoredTensor& t : wanted.index().tensors) {
      REQUIRE(found.count(t.name));
      CHECK(found[t.name]->type == t.type);
      CHECK(found[t.name]->shape == t.shape);
      CHECK(made.read_bytes(*found[t.name]).to_vector() == wanted.read_bytes(t).to_vector());
    }
  }
  std::string checkpoint = "convert '" + kSamples + "checkpoint.zip' '" + s / "c.safetensors" + "'";
  CHECK(holds(plumage::plumage(s, checkpoint).err, "3 beside state_dict left out"));
  CHECK(read_safetensors(s / "c.safetensors").tensors.size() == 1);
  CHECK(plumage::plumage(s, checkpoint + " --all").code == 0);
  CHECK(read_safetensors(s / "c.safetensors").tensors.count("state_dict.conv1.weight"));
  CHECK(read_safetensors(s / "c.safetensors").tensors.count("optimizer.state.0.exp_avg"));
  CHECK(plumage::plumage(s, "convert '" + kSamples + "checkpoint.zip' '" + s / "c.pth" + "'").code == 2);
}

TEST_CASE("hostile and foreign files are refused in one line by every command that reads weights") {
  Scratch s("hostile");
  using namespace test;
  std::string evil =
      pickled::global("posix", "system") + pickled::text("touch '" + s / "pwned" + "'") + "\x85R";
  write_text(s / "evil.pth", archive(evil));
  write_text(s / "page.pth", "<html>not found</html>");
  std::string birds = tiny_birds(s);
  for (std::string command :
       {"inspect '" + s / "evil.pth" + "'", "convert '" + s / "evil.pth" + "' '" + s / "o.safetensors" + "'",
        "export '" + s / "evil.pth" + "' '" + s / "o.onnx" + "'",
        "knn --size 16 --weights '" + s / "evil.pth" + "' " + birds,
        "features --size 16 --out '" + s / "o.safetensors" + "' --weights '" + s / "evil.pth" + "' " + birds,
        std::string("pretrain --config configs/moco.toml") + kTiny + "--out '" + s / "run" + "' --weights '" +
            s / "evil.pth" + "' " + birds}) {
    CAPTURE(command);
    Outcome o = plumage::plumage(s, command);
    CHECK(o.code == 2);
    CHECK(holds(complaint(o), "posix.system"));
    std::filesystem::remove_all(s / "run");
  }
  CHECK_FALSE(std::filesystem::exists(s / "pwned"));
  CHECK_FALSE(std::filesystem::exists(s / "o.safetensors"));
  CHECK(holds(complaint(plumage::plumage(s, "inspect '" + s / "page.pth" + "'")), "web page"));
  CHECK(holds(complaint(plumage::plumage(s, "inspect /no/such.pth")), "/no/such.pth"));
  CHECK(holds(
      complaint(plumage::plumage(s, "knn --size 16 --weights '" + kSamples + "tensors.legacy' " + birds)),
      "holds no ResNet"));
}

TEST_CASE(
    "--weights of others' files: evaluation reads the architecture off, training is told where it differs") {
  Scratch s("others");
  std::string birds = tiny_birds(s), file = s / "w.safetensors";
  auto tensors = tiny_state("module.encoder_q.");
  tensors["module.encoder_q.fc.0.weight"] = Tensor::zeros({3, 32});
  tensors["module.queue"] = Tensor::zeros({8, 4});
  write_safetensors(file, TensorFile{tensors, {}});
  Outcome knn = plumage::plumage(s, "knn --json --size 16 --weights '" + file + "' " + birds);
  CHECK_MESSAGE(knn.code == 0, knn.err);
  CHECK(Json::parse(knn.out)["images"] == 16);
  CHECK(holds(knn.err, "100 names matched"));
  std::string train = std::string("pretrain --config configs/moco.toml") + kTiny + birds +
                      "--steps 1 --weights '" + file + "' --out '" + s / "run";
  Outcome run = plumage::plumage(s, train + "1'");
  CHECK_MESSAGE(run.code == 0, run.err);
  Outcome other = plumage::plumage(s, train + "2' --arch resnet34");
  CHECK(other.code == 2);
  CHECK(holds(complaint(other), "for --arch resnet18 --width 4"));
  tensors.erase("module.encoder_q.layer3.0.conv2.weight");
  write_safetensors(file, TensorFile{tensors, {}});
  CHECK(holds(complaint(plumage::plumage(s, "knn --size 16 --weights '" + file + "' " + birds)),
              "1 missing (layer3.0.conv2.weight); 99 of 100"));
  CHECK(plumage::plumage(s, "knn --size 16 --allow-missing 'layer3.0.*' --weights '" + file + "' " + birds)
            .code == 0);
  CHECK(plumage::plumage(s, "knn --size 16 --arch resnet50 --weights '" + file + "' " + birds).code == 2);
}

TEST_CASE("features are written with labels and paths in one order") {
  Scratch s("features");
  std::string birds = tiny_birds(s);
  Outcome o = plumage::plumage(s, "features --weights untrained:resnet18:4 --split test --size 16 --out '" +
                                      s / "f.safetensors" + "' " + birds);
  CHECK_MESSAGE(o.code == 0, o.err);
  auto tensors = read_safetensors(s / "f.safetensors").tensors;
  CHECK(tensors.at("features").shape() == Shape{16, 32});
  CHECK(tensors.at("features").dtype() == DType::f32);
  CHECK(tensors.at("labels").dtype() == DType::i64);
  std::istringstream paths(read_text(s / "f.txt"));
  std::vector<std::string> lines;
  for (std::string line; std::getline(paths, line);) lines.push_back(line);
  REQUIRE(lines.size() == 16);
  std::map<std::string, int64_t> label_of_folder;
  for (size_t i = 0; i < 16; ++i) {
    CHECK(std::filesystem::exists(lines[i]));
    std::string folder = std::filesystem::path(lines[i]).parent_path().filename();
    int64_t label = tensors.at("labels").data<int64_t>()[i];
    CHECK(label_of_folder.emplace(folder, label).first->second == label);
  }
  CHECK(label_of_folder.size() == 4);
  o = plumage::plumage(s, "features --json --weights untrained:resnet18:4 --split test --size 16 --out '" +
                              s / "f.safetensors" + "' " + birds);
  CHECK(Json::parse(o.out) == Json{{"images", 16}, {"features", 32}, {"out", s / "f.safetensors"}, {"paths", s / "f.txt"}});
  CHECK(plumage::plumage(
            s, "features --weights untrained:resnet18:4 --size 16 --out '" + s / "f.npz" + "' " + birds)
            .code == 2);
}

TEST_CASE("a device that is not there is one line, before anything else is printed") {
  Scratch s("nodevice");
  Outcome o = plumage::plumage(s, "features --device cuda:99 --weights untrained:resnet18:4 --size 16 --out '" + s / "f.safetensors' " + tiny_birds(s));
  CHECK(o.code == 2);
  CHECK(complaint(o).find("plumage: device cuda:99: ") == 0);
  CHECK(o.err == complaint(o) + "\n");
}

TEST_CASE("features: no list of the user's is written over, no NaN is written down, and no work is done for nothing") {
  Scratch s("features-refused");
  tiny_birds(s);
  std::string birds = "--dataset synthetic --split test --size 16 --data '" + s / "birds" + "'";
  write_text(s / "mine.txt", "a list\n");
  Outcome o = plumage::plumage(s, "features --weights untrained:resnet18:4 --out '" + s / "mine.safetensors" + "' " + birds);
  CHECK(o.code == 2);
  CHECK(o.err.find("mine.txt: is there already, and not beside ") != std::string::npos);
  CHECK(read_text(s / "mine.txt") == "a list\n");
  o = plumage::plumage(s, "features --weights untrained:resnet18:4 --out '" + s / "no/such.safetensors" + "' " + birds);
  CHECK(o.code == 1);
  CHECK(o.err.find("features of") == std::string::npos);

  TensorFile broken{tiny_state(""), {}};
  broken.tensors.at("bn1.weight").data<float>()[2] = 3e38f;  // sums of it overflow
  write_safetensors(s / "broken.safetensors", broken);
  o = plumage::plumage(s, "features --weights '" + s / "broken.safetensors" + "' --out '" + s / "nan.safetensors" + "' " + birds);
  CHECK(o.code == 2);
  CHECK(o.err.find(" are not finite") != std::string::npos);
  CHECK(!std::filesystem::exists(s / "nan.safetensors"));
  CHECK(!std::filesystem::exists(s / "nan.txt"));
}

TEST_CASE("an exported encoder works in torchvision, timm and onnxruntime [slow]") {
  const char* python = std::getenv("PLUMAGE_PYTHON");
  if (!python) {
    MESSAGE("skipped: PLUMAGE_PYTHON names no interpreter with torch, timm and onnxruntime");
    return;
  }
  Scratch s("export");
  Init init;
  ResNet net({.arch = "resnet18"}, init);
  test::fill_by_recipe(net);
  TensorFile file;
  store_state(net, "encoder", file.tensors);
  write_safetensors(s / "w.safetensors", file);
  NoGrad none;
  Tensor x = ops::normal({2, 64, 96, 3}, {3, Purpose::test});
  write_safetensors(
      s / "expected.safetensors",
      TensorFile{{{"x", to_oihw(x)}, {"features", net.features(Var(x), Pass::eval()).value()}}, {}});
  for (const char* out : {"e.safetensors", "e.onnx"}) {
    Outcome o = plumage::plumage(s, "export '" + s / "w.safetensors" + "' '" + s / out + "'");
    CHECK_MESSAGE(o.code == 0, o.err);
  }
  for (std::string who : {"torchvision", "timm", "onnx", "onnxruntime"}) {
    Outcome o = shell(s, std::string(python) + " tests/check_export.py '" + s / "e.safetensors" + "' '" +
                             s / "e.onnx" + "' '" + s / "expected.safetensors" + "' " + who);
    if (o.code == 77)
      MESSAGE("skipped: ", o.out);
    else
      CHECK_MESSAGE(o.code == 0, o.out, o.err);
  }
}
