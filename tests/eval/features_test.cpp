// Extraction: every way in gives the same rows, for any batch size; attention maps on encoders small enough
// to know.
#include "eval/features.h"

#include <doctest/doctest.h>

#include "autograd/functions.h"
#include "eval/attention.h"
#include "nn/resnet.h"
#include "tests/data/bundle.h"
#include "tests/eval/feature_cases.h"

using namespace plumage;

namespace {

ResNet small_encoder(int64_t classes = 0) {
  Init init{3};
  return ResNet({.arch = "resnet18", .stem = Stem::small, .width = 4, .classes = classes}, init);
}

std::vector<Image> pictures(int64_t count, int64_t width, int64_t height) {
  std::vector<Image> list;
  for (int64_t i = 0; i < count; ++i) {
    Image image(width, height);
    for (size_t p = 0; p < image.rgb.size(); ++p) {
      image.rgb[p] = uint8_t(philox({uint64_t(i), Purpose::test}, p)[0]);
    }
    list.push_back(image);
  }
  return list;
}

std::string ppm(const Image& image) {
  std::string text = "P6\n" + std::to_string(image.width) + " " + std::to_string(image.height) + "\n255\n";
  return text.append(reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size());
}

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double most = 0;
  std::vector<double> x = a.to_vector(), y = b.to_vector();
  for (size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

}  // namespace

TEST_CASE("features: pictures in memory, from files, and in batches of any size agree") {
  ResNet encoder = small_encoder();
  std::vector<Image> list = pictures(7, 20, 16);
  FeatureOptions options{.size = 16, .batch = 3};
  int64_t last = 0;
  options.progress = [&](int64_t done, int64_t total) {
    CHECK(done > last);
    CHECK(total == 7);
    last = done;
  };
  Features memory = extract_features(encoder, list, {0, 1, 2, 0, 1, 2, 0}, options);
  CHECK(last == 7);
  CHECK(memory.v.shape() == Shape{7, encoder.feature_count()});
  CHECK(memory.label(4) == 1);

  options.progress = {};
  options.batch = 7;
  CHECK_FALSE(largest_difference(extract_features(encoder, list, {}, options).v, memory.v) > 1e-5);
  CHECK(extract_features(encoder, list, {}, options).label(0) == -1);

  test::ScratchFolder folder;
  Dataset dataset;
  for (size_t i = 0; i < list.size(); ++i) {
    dataset.samples.push_back(
        {folder.write(std::to_string(i) + ".ppm", ppm(list[i])), int64_t(i % 3), {}, i ? "" : "g"});
  }
  options.batch = 4;
  options.threads = 2;
  Features files = extract_features(encoder, dataset, options);
  CHECK_FALSE(largest_difference(files.v, memory.v) > 1e-5);
  CHECK(files.labels.to_vector() == memory.labels.to_vector());
  CHECK(files.group(0) == "g");
  CHECK(files.paths[3] == (folder / "3.ppm").string());
}

TEST_CASE("features: running statistics are used and nothing is changed") {
  ResNet encoder = small_encoder();
  std::vector<Image> list = pictures(4, 16, 16);
  Features all = extract_features(encoder, list, {}, {.size = 16});
  Features alone =
      extract_features(encoder, {list[2]}, {}, {.size = 16});  // no neighbour in the batch matters
  CHECK_FALSE(largest_difference(alone.v, all.v.slice(2, 1)) > 1e-5);
}

TEST_CASE("features: subsets keep what belongs together") {
  Features f = test::features({1, 2, 3, 4}, 1, {5, 6, 7, 8}, {"a", "b", "c", "d"});
  f.paths = {"p", "q", "r", "s"};
  Features part = subset(f, {3, 1});
  CHECK(part.v.to_vector() == std::vector<double>{4, 2});
  CHECK(part.label(1) == 6);
  CHECK(part.group(0) == "d");
  CHECK(part.name(1) == "q");
  CHECK(part.class_count() == 9);
  CHECK_THROWS_AS(subset(f, {4}), InputError);
  CHECK_THROWS_AS(subset(f, {-1}), InputError);
}

TEST_CASE("features: options out of range are named") {
  ResNet encoder = small_encoder();
  std::vector<Image> list = pictures(1, 8, 8);
  CHECK_THROWS_AS(extract_features(encoder, list, {}, {.size = 0}), InputError);
  CHECK_THROWS_AS(extract_features(encoder, list, {}, {.size = 1000000000}), InputError);
  CHECK_THROWS_AS(extract_features(encoder, list, {}, {.size = 8, .short_side = 4}), InputError);
  CHECK_THROWS_AS(extract_features(encoder, list, {}, {.size = 8, .batch = 0}), InputError);
  CHECK_THROWS_AS(extract_features(encoder, list, {1, 2}, {.size = 8}), ShapeError);
}

TEST_CASE("attention: for a linear score the map is that mix of channels, rectified and scaled") {
  ResNet encoder = small_encoder();
  Tensor x = ops::normal({2, 32, 32, 3}, {1, Purpose::test, 9});
  Tensor map = encoder.feature_map(Var(x), Pass::eval()).value();  // map: [2, 4, 4, n]
  int64_t n = map.size(3), cells = map.size(1) * map.size(2);
  std::vector<float> weight(size_t(2 * n));
  for (int64_t c = 0; c < n; ++c) weight[size_t(n + c)] = c % 3 == 0 ? 1.f : -0.5f;
  Tensor cam = grad_cam(encoder, x, class_logit(Tensor::from(weight, {2, n}), 1));
  CHECK(cam.shape() == Shape{2, map.size(1), map.size(2)});
  for (int64_t i = 0; i < 2; ++i) {
    std::vector<double> mix(size_t(cells), 0.0);
    for (int64_t p = 0; p < cells; ++p) {
      for (int64_t c = 0; c < n; ++c) {
        mix[size_t(p)] += double(weight[size_t(n + c)]) * double(map.data<float>()[(i * cells + p) * n + c]);
      }
      mix[size_t(p)] = std::max(mix[size_t(p)], 0.0);
    }
    double most = *std::max_element(mix.begin(), mix.end());
    for (int64_t p = 0; p < cells; ++p) {
      CHECK(double(cam.data<float>()[i * cells + p]) ==
            doctest::Approx(most > 0 ? mix[size_t(p)] / most : 0).epsilon(1e-4));
    }
  }
}

TEST_CASE("attention: norm and similarity give maps of 0 to 1 and touch no parameter's gradient") {
  ResNet encoder = small_encoder();
  encoder.set_needs_grad(true);
  Tensor x = ops::normal({1, 32, 32, 3}, {1, Purpose::test, 9});
  Tensor v = encoder.features(Var(x), Pass::eval()).value();
  for (const Score& score : {feature_norm(), similarity_to(v)}) {
    Tensor cam = grad_cam(encoder, x, score);
    for (double value : cam.to_vector()) CHECK((value >= 0 && value <= 1));
  }
  for (auto& [name, parameter] : encoder.parameters()) CHECK_FALSE(parameter.grad().defined());
  CHECK_THROWS_AS(grad_cam(encoder, x, [](const Var& u) { return sum(u); }), ShapeError);
  CHECK_THROWS_AS(class_logit(Tensor::zeros({2, 3}), 2), ShapeError);
}

TEST_CASE("attention: upsampling is bilinear between cell centres, the overlay follows the map") {
  // Two cells, four pixels: centres at 1/2 and 2 1/2 of them; the pixels between are a quarter and three
  // quarters on.
  CHECK(upsample_map(Tensor::from(std::vector<float>{0, 1}, {1, 2}), 1, 4).to_vector() ==
        std::vector<double>{0, 0.25, 0.75, 1});
  Image grey(2, 1);
  grey.rgb.assign(6, 100);
  Image shown = overlay(grey, Tensor::from(std::vector<float>{0, 1}, {1, 2}), 1);
  CHECK(shown.rgb[0] == 100);  // nothing where the map is 0
  CHECK(shown.rgb[3] == 252);  // the warmest colour where it is 1
  CHECK(overlay(grey, Tensor::from(std::vector<float>{NAN}, {1, 1})).rgb == grey.rgb);
}
