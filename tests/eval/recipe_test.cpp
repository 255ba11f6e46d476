// From the picture file to the feature: decoding, antialiased resize and crop against what PIL made of the
// same files.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/decode.h"
#include "data/resize.h"
#include "eval/features.h"
#include "nn/weights/safetensors.h"
#include "tensor/philox.h"
#include "tests/data/bundle.h"
#include "tests/nn/recipe.h"

using namespace plumage;
using namespace plumage::test;

namespace {

#ifdef PLUMAGE_HAS_JPEG

// Largest difference, relative to b's largest value.
double relative(const Tensor& a, const Tensor& b) {
  double worst = 0, size = 0;
  auto x = a.span<float>(), y = b.span<float>();
  for (size_t i = 0; i < x.size(); ++i) {
    worst = std::isfinite(x[i]) ? std::max(worst, std::abs(double(x[i]) - y[i])) : INFINITY;
    size = std::max(size, std::abs(double(y[i])));
  }
  return worst / size;
}

// Each number up, down or left by one grey level, as rounding at another place would do.
Tensor one_level_off(const Tensor& pictures) {
  Tensor off = pictures.clone();
  for (int64_t i = 0; i < off.count(); ++i) {
    int level = off.data<uint8_t>()[i] + int(philox({7, Purpose::test}, uint64_t(i))[0] % 3) - 1;
    off.data<uint8_t>()[i] = uint8_t(std::clamp(level, 0, 255));
  }
  return off;
}

#endif  // PLUMAGE_HAS_JPEG

}  // namespace

TEST_CASE(
    "features of picture files differ from PIL's and PyTorch's by no more than one grey level explains") {
  std::filesystem::path expected = bundle("peers/expected");
  if (!std::filesystem::exists(expected / "resnet50_recipe_features.json")) {
    MESSAGE("skipped: no peers/expected/resnet50_recipe_features in the test data (PLUMAGE_TEST_DATA)");
    return;
  }
#ifndef PLUMAGE_HAS_JPEG
  MESSAGE("skipped: built without JPEG");
#else
  auto tensors = read_safetensors(expected / "resnet50_recipe_features.safetensors").tensors;
  std::ifstream file(expected / "resnet50_recipe_features.json");
  auto names = nlohmann::json::parse(file)["images"].get<std::vector<std::string> >();
  const Tensor &crops = tensors.at("images_u8_nhwc"),
               &wanted = tensors.at("features_f64_as_f32");  // [10, 224, 224, 3], [10, 2048]
  Init init;
  ResNet net({.arch = "resnet50"}, init);
  fill_by_recipe(net);

  std::vector<Image> pictures;
  int64_t off = 0, most = 0;
  for (size_t n = 0; n < names.size(); ++n) {
    pictures.push_back(decode_image(bundle("") / names[n]));
    std::vector<float> view(224 * 224 * 3);
    plain_view(pictures.back(), 224, view.data(), {}, 256);
    Tensor stored = normalised(crops.slice(int64_t(n), 1));
    for (size_t i = 0; i < view.size(); ++i) {
      double levels = std::abs(double(view[i]) - stored.data<float>()[i]) * 255 * 0.225;
      off += levels > 0.5;
      most = std::max(most, int64_t(std::lround(levels)));
    }
  }
  CHECK(most <= 1);
  Features features = extract_features(net, pictures, {}, {.size = 224, .short_side = 256, .batch = 10});
  NoGrad none;
  double explained =
      relative(net.features(Var(normalised(one_level_off(crops.slice(0, 4)))), Pass::eval()).value(),
               wanted.slice(0, 4));
  double found = relative(features.v, wanted);
  MESSAGE("pixels one grey level off: " << off << " of " << crops.count() << "; features differ by " << found
                                        << ", one grey level everywhere makes " << explained);
  CHECK_FALSE(!(found <= explained));
  CHECK_FALSE(!(found <= 1e-2));
#endif
}
