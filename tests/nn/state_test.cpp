// A network's weights by name: strict, all or nothing, with messages that say what is wrong.
#include "nn/weights/state.h"

#include "nn/resnet.h"
#include "tests/nn/peers.h"
#include "tests/nn/recipe.h"

using namespace plumage;
using namespace plumage::test;

namespace {

ResNet tiny(uint64_t seed, int64_t width = 2, int64_t classes = 3) {
  Init init{.seed = seed};
  return ResNet({.arch = "resnet18", .width = width, .classes = classes}, init);
}

std::vector<double> numbers(Module& module) {
  std::vector<double> all;
  for (auto& [name, value] : module.state())
    for (double v : value.value().to_vector()) all.push_back(v);
  return all;
}

}  // namespace

TEST_CASE("OIHW and back") {
  // w[k, r, s, c] = 1000 k + 100 r + 10 s + c
  std::vector<float> values;
  for (int k = 0; k < 2; ++k)
    for (int r = 0; r < 3; ++r)
      for (int s = 0; s < 4; ++s)
        for (int c = 0; c < 5; ++c) values.push_back(float(1000 * k + 100 * r + 10 * s + c));
  Tensor w = Tensor::from<float>(values, {2, 3, 4, 5}), o = to_oihw(w);
  CHECK(o.shape() == Shape{2, 5, 3, 4});
  CHECK(o.data<float>()[((1 * 5 + 4) * 3 + 2) * 4 + 3] == 1234);
  CHECK(o.data<float>()[1] == 10);
  CHECK_CLOSE(from_oihw(o), w, 0);
  CHECK_THROWS_AS(to_oihw(Tensor::zeros({2, 3})), ShapeError);
}

TEST_CASE("a stored state is loaded again under any prefix, also through a file and in another type") {
  ResNet a = tiny(1), b = tiny(2);
  for (std::string prefix : {"", "encoder", "encoder.", "param/"}) {
    CAPTURE(prefix);
    ResNet target = tiny(3);
    TensorFile file;
    store_state(a, prefix, file.tensors);
    file.tensors["elsewhere.bn1.num_batches_tracked"] = Tensor::full({}, 5, DType::i64);
    ScratchFolder folder;
    write_safetensors(folder / "x", file);
    auto read = read_safetensors(folder / "x").tensors;
    LoadReport report = load_state(target, read, {.prefix = prefix});
    CHECK(report.matched == int64_t(a.state().size()));
    CHECK(report.missing.empty());
    CHECK(numbers(target) == numbers(a));
  }
  std::map<std::string, Tensor> state;
  store_state(b, "", state);
  CHECK(state.at("conv1.weight").shape() == Shape{2, 3, 7, 7});
  for (auto& [name, t] : state) t = ops::cast(t, DType::f64);
  load_state(a, state);
  CHECK(numbers(a) == numbers(b));
  ops::fill(state.at("fc.bias"), 7);  // the state is a copy
  CHECK(numbers(a) == numbers(b));
}

TEST_CASE("weights that do not fit are refused with counts and names, and change nothing") {
  ResNet source = tiny(1), target = tiny(2);
  std::map<std::string, Tensor> state;
  store_state(source, "", state);
  auto before = numbers(target);
  auto refusal = [&](const std::map<std::string, Tensor>& tensors, LoadOptions options = {}) {
    std::string says = thrown<InputError>([&] { load_state(target, tensors, options); });
    CHECK(numbers(target) == before);
    CHECK(!contains(says, "\n"));
    return says;
  };
  auto less = state;
  less.erase("layer1.0.conv1.weight");
  less["head.weight"] = Tensor::zeros({2});
  std::string says = refusal(less, {.file_name = "base.safetensors"});
  CHECK(says ==
        "base.safetensors: the weights do not fit: 1 missing (layer1.0.conv1.weight); 1 unexpected "
        "(head.weight); "
        "101 of 102 names match; check the architecture, its width and the file");

  ResNet wide = tiny(1, 4);
  std::map<std::string, Tensor> other;
  store_state(wide, "", other);
  CHECK(contains(refusal(other), "mismatched (conv1.weight: file [4, 3, 7, 7] f32, module [2, 3, 7, 7]"));
  CHECK(contains(refusal(state, {.prefix = "encoder_q"}),
                 "0 of 102 names match under the prefix 'encoder_q.'"));
  CHECK(contains(refusal({}), "0 of 102 names match"));
  CHECK(contains(refusal({}, {.allow_missing = {"*"}}), "0 of 102 names match"));  // nothing filled
  auto integers = state;
  integers["fc.bias"] = Tensor::zeros({3}, DType::i64);
  CHECK(contains(refusal(integers), "fc.bias: file [3] i64"));
}

TEST_CASE("patterns allow names to be missing, unexpected, or both") {
  ResNet source = tiny(1, 2, 5), target = tiny(2, 2, 3);
  std::map<std::string, Tensor> state;
  store_state(source, "", state);
  state["queue"] = Tensor::zeros({4});
  LoadOptions options{.allow_missing = {"fc.*"}, .allow_unexpected = {"fc.*", "q*e"}};
  LoadReport report = load_state(target, state, options);
  CHECK(report.matched == 100);
  CHECK(report.mismatched.size() == 2);
  CHECK(report.unexpected == std::vector<std::string>{"queue"});
  CHECK_CLOSE(target.state()[0].second.value(), source.state()[0].second.value(), 0);
  CHECK_THROWS_AS(load_state(target, state, {.allow_missing = {"fc.*"}, .allow_unexpected = {"queue"}}),
                  InputError);
  CHECK_THROWS_AS(load_state(target, state, {.allow_missing = {"fc."}, .allow_unexpected = {"*"}}),
                  InputError);
}

TEST_CASE("a ResNet-18 that PyTorch saved gives PyTorch's features and logits") {
  auto folder = bundle("weights/formats");
  if (folder.empty()) {
    MESSAGE("skipped: no weights/formats in the test data (PLUMAGE_TEST_DATA)");
    return;
  }
  Values forward{read_safetensors(folder / "tiny-resnet18-forward.safetensors").tensors};
  for (DType type : {DType::f32, DType::f64}) {
    Init init{.dtype = type};
    ResNet net({.arch = "resnet18", .width = 4, .classes = 10}, init);
    load_state(net, read_safetensors(folder / "tiny-resnet18.safetensors").tensors);
    Var v = net.features(Var(ops::cast(forward("x"), type)), Pass::eval());
    Var logits = net.logits(v, Pass::eval());
    CHECK_CLOSE(v.value(), forward(type == DType::f64 ? "features_f64" : "features"),
                type == DType::f64 ? 1e-12 : 1e-5);
    CHECK_CLOSE(logits.value(), forward(type == DType::f64 ? "logits_f64" : "logits"),
                type == DType::f64 ? 1e-12 : 1e-5);
  }
}

TEST_CASE("ResNet-50 with weights by recipe gives PyTorch's features of real pictures") {
  for (const Values& values : peers("resnet50_recipe_features.safetensors")) {
    Init init;
    ResNet net({.arch = "resnet50", .classes = 1000}, init);
    fill_by_recipe(net);
    Tensor stem = recipe_tensor("conv1.weight", {64, 3, 7, 7}),
           last = recipe_tensor("layer4.2.conv3.weight", {2048, 512, 1, 1});
    CHECK_CLOSE(stem.reshape({-1}).slice(0, 8), values("probe.conv1.weight.first8"), 0);
    CHECK_CLOSE(recipe_tensor("layer3.5.bn3.running_var", {1024}).slice(0, 8),
                values("probe.layer3.5.bn3.running_var.first8"), 0);
    CHECK_CLOSE(last.reshape({-1}).slice(last.count() - 8, 8), values("probe.layer4.2.conv3.weight.last8"),
                0);

    NoGrad off;
    Tensor x = normalised(values.file_layout("images_u8_nhwc"));  // [10, 224, 224, 3]
    Var v = net.features(Var(x), Pass::eval());
    CHECK_CLOSE(v.value(), values("features_f64_as_f32"), 1e-4);
    CHECK_CLOSE(net.logits(v, Pass::eval()).value(), values("logits_f64_as_f32"), 1e-4);
    Pass bf16 = Pass::eval();
    bf16.compute = DType::bf16;
    CHECK_CLOSE(net.features(Var(x.slice(3, 3)), bf16).value(), values("features_f64_as_f32").slice(3, 3),
                2e-2);
  }
}
