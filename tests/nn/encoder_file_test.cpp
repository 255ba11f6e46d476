// The encoder under the names that training programs give it; strictness; heads and queues.
#include "nn/weights/encoder_file.h"

#include <cmath>

#include "tensor/ops.h"
#include "tests/nn/peers.h"

using namespace plumage;
using namespace plumage::test;

namespace {

using Tensors = std::map<std::string, Tensor>;

ResNet tiny(uint64_t seed, const std::string& arch = "resnet18", Stem stem = Stem::imagenet) {
  Init init{.seed = seed};
  return ResNet({.arch = arch, .stem = stem, .width = 2}, init);
}

Tensors state_of(ResNet& net) {
  Tensors state;
  store_state(net, "", state);
  return state;
}

void add(Tensors& to, const std::string& prefix, const Tensors& from) {
  for (const auto& [name, t] : from) to[prefix + name] = t;
}

/// Through a file, as everything comes.
struct Loaded {
  ScratchFolder folder;
  WeightsFile file;
  EncoderInFile found;
  explicit Loaded(const Tensors& tensors, const std::string& prefix = "")
      : file((write_safetensors(folder / "w", TensorFile{tensors, {}}), folder / "w")),
        found(find_encoder(file.index(), "w", prefix)) {}
  LoadReport into(Module& net, const LoadOptions& options = {}) const {
    return load_encoder_state(net, file, found, options);
  }
};

void check_equal(ResNet& a, ResNet& b) {
  Tensors x = state_of(a), y = state_of(b);
  for (auto& [name, t] : x) CHECK_CLOSE(t, y.at(name), 0);
}

std::string refusal(const Tensors& tensors, const LoadOptions& options = {}) {
  return thrown<InputError>([&] {
    ResNet target = tiny(9);
    Loaded(tensors).into(target, options);
  });
}

}  // namespace

TEST_CASE("one encoder under any prefix, beside what the training programs keep") {
  ResNet source = tiny(1), other = tiny(2);
  Tensors state = state_of(source), copy = state_of(other);
  Tensor odd = Tensor::zeros({3});
  struct Case {
    std::string prefix;
    Tensors beside;
  };
  Tensors key, momentum, target, teacher, student;
  add(key, "module.encoder_k.", copy);
  add(momentum, "momentum_backbone.", copy);
  add(target, "target_net.0.", copy);
  add(student, "student_backbone.", copy);
  for (auto& [prefix, beside] : std::vector<Case>{
           {"", {{"fc.weight", odd}, {"fc.bias", odd}, {"fc.0.weight", odd}}},
           {"module.",
            {{"module.projection_head.0.weight", odd}, {"module.prototypes.weight", odd}}},  // SwAV
           {"module.encoder_q.", key},                                                       // MoCo
           {"module.base_encoder.", {{"module.predictor.0.weight", odd}}},                   // MoCo v3
           {"module.encoder.",
            {{"module.predictor.0.weight", odd}, {"module.encoder.fc.0.weight", odd}}},  // SimSiam
           {"backbone.", momentum},                                                      // solo-learn
           {"encoder.", {{"queue", odd}, {"projector.0.weight", odd}}},
           {"online_net.0.", target},       // MMSelfSup
           {"teacher_backbone.", student},  // DINO
           {"model.", {{"optimizer.state.0.exp_avg", odd}}},
           {"module.backbone.", {{"module.head.mlp.0.weight", odd}}},
           {"net._orig_mod.trunk._feature_blocks.", {{"net.queue", odd}}}}) {
    CAPTURE(prefix);
    Tensors tensors = beside;
    add(tensors, prefix, state);
    tensors[prefix + "bn1.num_batches_tracked"] = Tensor::full({}, 7, DType::i64);
    ResNet target = tiny(9);
    Loaded loaded(tensors);
    CHECK(loaded.found.prefix == prefix);
    CHECK(loaded.found.options.arch == "resnet18");
    LoadReport report = loaded.into(target);
    CHECK(report.matched == 100);
    CHECK(report.missing.empty());
    check_equal(target, source);
    CHECK(contains(describe(loaded.file, loaded.found, report), "100 names matched, 0 missing"));
  }
}

TEST_CASE("lightly's nn.Sequential, of torchvision's ResNet and of its own") {
  ResNet source = tiny(1);
  for (int first : {4, 2}) {
    Tensors tensors;
    for (auto& [name, t] : state_of(source)) {
      std::string number = name.starts_with("conv1.") ? "0"
                           : name.starts_with("bn1.") ? "1"
                                                      : std::to_string(name[5] - '1' + first);
      std::string rest = name.substr(name.find('.'));
      if (size_t at = rest.find("downsample"); first == 2 && at != std::string::npos)
        rest.replace(at, 10, "shortcut");
      tensors["backbone." + number + rest] = t;
    }
    tensors["projection_head.layers.0.weight"] = Tensor::zeros({2});
    ResNet target = tiny(9);
    CHECK(Loaded(tensors).into(target).matched == 100);
    check_equal(target, source);
  }
}

TEST_CASE("architecture, width and stem are read off the shapes") {
  for (const char* arch : {"resnet18", "resnet34", "resnet50"})
    for (Stem stem : {Stem::imagenet, Stem::small}) {
      ResNet net = tiny(1, arch, stem);
      Loaded loaded(state_of(net));
      CHECK(loaded.found.options.arch == arch);
      CHECK(loaded.found.options.width == 2);
      CHECK((loaded.found.options.stem == stem));
    }
}

TEST_CASE("of several encoders the one that is meant, or the one that is asked for, or an error") {
  ResNet a = tiny(1), b = tiny(2);
  Tensors tensors;
  add(tensors, "left.", state_of(a));
  add(tensors, "right.", state_of(b));
  CHECK(contains(thrown<InputError>([&] { Loaded loaded(tensors); }),
                 "several encoders, such as 'left.' and 'right.'"));
  ResNet target = tiny(9);
  Loaded(tensors, "right").into(target);
  check_equal(target, b);
  CHECK(contains(thrown<InputError>([&] { Loaded loaded(tensors, "middle"); }),
                 "no ResNet under the prefix 'middle.'"));
  Tensors plain = state_of(a);
  add(plain, "ema.", state_of(b));
  Loaded(plain).into(target);
  check_equal(target, a);
}

TEST_CASE("strict: counts and first names; patterns allow; a file that fills nothing is an error") {
  ResNet source = tiny(1);
  Tensors state = state_of(source), less = state, more = state, wrong = state, broken = state;
  less.erase("layer2.1.conv1.weight");
  CHECK(contains(refusal(less), "1 missing (layer2.1.conv1.weight); 99 of 100 names match"));
  CHECK(refusal(less, {.allow_missing = {"layer2.1.*"}}).empty());
  more["neck.weight"] = Tensor::zeros({2});
  CHECK(contains(refusal(more), "1 unexpected (neck.weight)"));
  CHECK(refusal(more, {.allow_unexpected = {"neck.*"}}).empty());
  broken["conv1.weight"] = Tensor::zeros({0, 3, 7, 7});
  CHECK(Loaded(broken).found.options.width == 2);  // from bn1, so strictness names the tensor
  broken = state;
  wrong["bn1.bias"] = Tensor::zeros({2}, DType::i64);
  wrong["layer4.1.bn1.bias"] = Tensor::zeros({17});
  CHECK(contains(refusal(wrong),
                 "2 mismatched (bn1.bias: file [2] i64, module [2] f32, layer4.1.bn1.bias: file [17] f32"));
  CHECK(contains(refusal({{"layer1.0.conv1.weight", Tensor::zeros({1})}},
                         {.allow_missing = {"*"}, .allow_unexpected = {"*"}}),
                 "0 of 100 names match"));
  CHECK(contains(refusal({{"weight", Tensor::zeros({1})}}), "holds no ResNet"));
  broken["layer3.0.bn2.weight"] = Tensor::full({8}, NAN);
  CHECK(contains(refusal(broken), "8 of the 8 numbers of layer3.0.bn2.weight are not finite"));
  broken = state;
  broken["layer3.0.bn2.running_var"] = Tensor::full({8}, -1);
  CHECK(contains(refusal(broken), "layer3.0.bn2.running_var holds -1, and a variance is not negative"));
}

TEST_CASE("half and double precision become the network's") {
  ResNet source = tiny(1), target = tiny(9);
  Tensors state = state_of(source);
  for (auto& [name, t] : state) t = ops::cast(t, DType::f64);
  Loaded(state).into(target);
  check_equal(target, source);
  for (auto& [name, t] : state) t = ops::cast(t, DType::bf16);
  Loaded(state).into(target);
  CHECK_CLOSE(target.state()[0].second.value(), source.state()[0].second.value(), 0x1p-8);
}

TEST_CASE("the bundle's checkpoints load as they are, in both containers, and give PyTorch's features") {
  auto folder = bundle("weights/formats");
  if (folder.empty()) {
    MESSAGE("skipped: no weights/formats in the test data (PLUMAGE_TEST_DATA)");
    return;
  }
  Values forward{read_safetensors(folder / "tiny-resnet18-forward.safetensors").tensors};
  for (const char* name : {"tiny-resnet18-zip.pth", "tiny-resnet18-legacy.pth", "moco-checkpoint.pth.tar",
                           "moco-checkpoint-legacy.pth.tar"}) {
    CAPTURE(name);
    WeightsFile file(folder / name);
    EncoderInFile found = find_encoder(file.index(), name);
    Init init;
    ResNet net(found.options, init);
    LoadReport report = load_encoder_state(net, file, found);
    CHECK(report.matched == 100);
    CHECK(found.prefix == (contains(name, "moco") ? "module.encoder_q." : ""));
    if (contains(name, "tiny"))
      CHECK_CLOSE(net.features(Var(forward("x")), Pass::eval()).value(), forward("features"), 1e-5);
  }
}
