#include "data/augment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "data/recolour.h"
#include "data/resize.h"
#include "expected_values.h"
#include "tensor/errors.h"

using namespace plumage;

namespace {

const Normalization kNone{{0, 0, 0}, {1, 1, 1}};
constexpr double kTolerance = 2e-5;  // half of it is the rounding of the committed values

AugmentParameters whole(const Image& image) {
  AugmentParameters p;
  p.width = image.width;
  p.height = image.height;
  return p;
}

std::vector<float> run(const Image& image, const AugmentParameters& p, int64_t size,
                       const Normalization& norm) {
  std::vector<float> out(size_t(size * size * 3));
  apply(image, p, size, out.data(), norm);
  return out;
}

double worst_difference(const std::vector<float>& got, const std::string& name) {
  const auto& wanted = expected(name);
  if (got.size() != wanted.size()) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < wanted.size(); ++i)
    if (!(std::abs(double(got[i]) - wanted[i]) <= worst)) worst = std::abs(double(got[i]) - wanted[i]);
  return worst;
}

template <class Change>
void check_step(const std::string& name, Change change) {
  Image image = pattern(8, 8);
  AugmentParameters p = whole(image);
  change(p);
  INFO(name);
  CHECK(worst_difference(run(image, p, 8, kNone), name) <= kTolerance);
}

std::vector<float> interleaved(const Planes& planes) {
  std::vector<float> out(size_t(planes.pixels() * 3));
  planes.store(out.data(), kNone);
  return out;
}

}  // namespace

TEST_CASE("each colour step alone is torchvision's") {
  auto jitter = [](auto member, float value) {
    return [=](AugmentParameters& p) { p.jitter = true, p.*member = value; };
  };
  check_step("brightness_1.3", jitter(&AugmentParameters::brightness, 1.3f));
  check_step("contrast_1.4", jitter(&AugmentParameters::contrast, 1.4f));
  check_step("contrast_0.6", jitter(&AugmentParameters::contrast, 0.6f));
  check_step("saturation_1.5", jitter(&AugmentParameters::saturation, 1.5f));
  check_step("saturation_0.6", jitter(&AugmentParameters::saturation, 0.6f));
  check_step("hue_0.3", jitter(&AugmentParameters::hue, 0.3f));
  check_step("hue_-0.1", jitter(&AugmentParameters::hue, -0.1f));
  check_step("grayscale", [](AugmentParameters& p) { p.grayscale = true; });
  check_step("flip", [](AugmentParameters& p) { p.flip = true; });
}

TEST_CASE("blur is torchvision's gaussian_blur") {
  Image image = pattern(12, 9);
  for (float sigma : {0.7f, 1.6f}) {
    Planes planes(9, 9);
    Planes source(image, false);
    for (int c = 0; c < 3; ++c)
      for (int64_t y = 0; y < 9; ++y) std::copy_n(source.plane(c) + y * 12, 9, planes.plane(c) + y * 9);
    blur(planes, sigma);
    // torchvision cuts the kernel at the size given to it, we at 4 sigma
    CHECK(worst_difference(interleaved(planes), sigma < 1 ? "blur_0.7" : "blur_1.6") <= 2e-4);
  }
}

TEST_CASE("rotation is torchvision's wherever no pixel comes from outside") {
  Planes planes(pattern(8, 8), false);
  rotate(planes, 0.3f);
  auto got = interleaved(planes);
  const auto& wanted = expected("rotate_0.3");
  int compared = 0;
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x)
      if ((x - 3.5) * (x - 3.5) + (y - 3.5) * (y - 3.5) <= 3.5 * 3.5)
        for (int c = 0; c < 3; ++c, ++compared)
          CHECK(std::abs(double(got[size_t((y * 8 + x) * 3 + c)]) - wanted[size_t((y * 8 + x) * 3 + c)]) <=
                1e-4);
  CHECK(compared == 3 * 32);
}

TEST_CASE("a view is turned as its parameters say") {
  AugmentParameters p = whole(pattern(8, 8));
  p.rotation = 0.3f;
  Planes planes(pattern(8, 8), false);
  rotate(planes, 0.3f);
  std::vector<float> wanted(8 * 8 * 3);
  planes.store(wanted.data(), {});
  CHECK(run(pattern(8, 8), p, 8, {}) == wanted);
}

TEST_CASE("a whole chain is torchvision's") {
  AugmentParameters p;
  p.left = 3, p.top = 1, p.width = 18, p.height = 15;
  p.flip = p.jitter = p.grayscale = true;
  p.order = {ColourStep::brightness, ColourStep::hue, ColourStep::contrast, ColourStep::saturation};
  p.brightness = 0.8f, p.contrast = 1.3f, p.saturation = 0.7f, p.hue = 0.07f;
  p.sigma = 0.9f;
  CHECK(worst_difference(run(pattern(23, 17), p, 8, {}), "chain") <=
        5e-4);  // divided by the std, blur cut at 4 sigma
}

TEST_CASE("the plain view is Resize, CenterCrop, ToTensor, Normalize") {
  std::vector<float> out(8 * 8 * 3);
  plain_view(pattern(31, 22), 8, out.data(), {}, 9);
  CHECK(worst_difference(out, "plain") <= kTolerance);
  CHECK(usual_short_side(224) == 256);
}

TEST_CASE("noise has the variance asked for, is the same twice and another with another seed") {
  Planes planes(64, 64), again(64, 64), other(64, 64);
  add_noise(planes, 0.5f, 7);
  add_noise(again, 0.5f, 7);
  add_noise(other, 0.5f, 8);
  double sum = 0, squares = 0, fourth = 0, product = 0;
  int64_t count = 3 * 64 * 64;
  for (int64_t i = 0; i < count; ++i) {
    double v = planes.plane(0)[i] / 0.5, w = other.plane(0)[i] / 0.5;
    REQUIRE(planes.plane(0)[i] == again.plane(0)[i]);
    sum += v, squares += v * v, fourth += v * v * v * v, product += v * w;
  }
  CHECK(std::abs(sum / double(count)) < 0.03);
  CHECK(std::abs(squares / double(count) - 1) < 0.05);
  CHECK(std::abs(fourth / double(count) - 3) < 0.3);
  CHECK(std::abs(product / double(count)) < 0.03);
}

TEST_CASE("drawn parameters are a function of the key and stay in their ranges") {
  AugmentOptions options;
  options.rotation = 0.4;
  int flips = 0, jitters = 0, grays = 0, blurs = 0;
  double area = 0, turn = 0, mean_ratio = 0;
  std::set<std::array<ColourStep, 4>> orders;
  const int n = 4000;
  for (int i = 0; i < n; ++i) {
    ViewKey key{3, uint64_t(i % 5), uint64_t(i), uint64_t(i % 3)};
    AugmentParameters p = draw(options, key, 500, 375), same = draw(options, key, 500, 375);
    REQUIRE((p.left == same.left && p.width == same.width && p.hue == same.hue &&
             p.noise_seed == same.noise_seed));
    REQUIRE((p.left >= 0 && p.top >= 0 && p.left + p.width <= 500 && p.top + p.height <= 375));
    double share = double(p.width * p.height) / (500 * 375), ratio = double(p.width) / double(p.height);
    REQUIRE((share > 0.19 && share <= 1 && ratio > 0.74 && ratio < 1.35));
    REQUIRE((p.brightness >= 0.6f && p.brightness <= 1.4f && std::abs(p.hue) <= 0.1f &&
             std::abs(p.rotation) <= 0.4f));
    REQUIRE((p.sigma == 0 || (p.sigma >= 0.1f && p.sigma <= 2)));
    flips += p.flip, jitters += p.jitter, grays += p.grayscale, blurs += p.sigma > 0;
    area += share / n, mean_ratio += ratio / n, turn += double(p.rotation) / n;
    if (p.jitter) orders.insert(p.order);
  }
  CHECK(std::abs(flips - 0.5 * n) < 130);
  CHECK(std::abs(jitters - 0.8 * n) < 110);
  CHECK(std::abs(grays - 0.2 * n) < 110);
  CHECK(std::abs(blurs - 0.5 * n) < 130);
  CHECK(std::abs(area - 0.494) < 0.015);  // 6000 draws of torchvision's get_params: area .494, ratio 1.054
  CHECK(std::abs(mean_ratio - 1.054) < 0.015);
  CHECK(std::abs(turn) < 0.02);
  CHECK(orders.size() == 24);
}

TEST_CASE("neighbouring views, pictures and epochs differ") {
  std::set<uint64_t> seeds;
  for (uint64_t epoch = 0; epoch < 4; ++epoch)
    for (uint64_t index = 0; index < 50; ++index)
      for (uint64_t view = 0; view < 3; ++view)
        seeds.insert(draw({}, {1, epoch, index, view}, 64, 64).noise_seed);
  CHECK(seeds.size() == 600);
}

TEST_CASE("a picture too long for any allowed ratio is cropped in the middle") {
  AugmentParameters p = draw({}, {}, 1000, 10);
  CHECK(p.height == 10);
  CHECK(p.width == 13);
  CHECK(p.left == 493);
  AugmentParameters pixel = draw({}, {}, 1, 1);
  CHECK(pixel.width == 1);
  CHECK(run(pattern(1, 1), pixel, 4, {}).size() == 48);
}

TEST_CASE("every step survives a view of one pixel") {
  Image image = pattern(5, 3);
  AugmentParameters p = whole(image);
  p.flip = p.jitter = p.grayscale = true;
  p.rotation = 1, p.sigma = 2, p.noise = 0.1f, p.hue = 0.5f;
  for (float value : run(image, p, 1, {})) CHECK(std::isfinite(value));
}

TEST_CASE("options out of range are named") {
  AugmentOptions options;
  options.hue = 0.6;
  CHECK_THROWS_WITH_AS(check(options), "augment: hue = 0.6; it must be 0 to 0.5", InputError);
  options = {};
  options.min_scale = NAN;
  CHECK_THROWS_AS(draw(options, {}, 8, 8), InputError);
  CHECK_THROWS_AS(draw({}, {}, 0, 8), InputError);
  std::vector<float> out(3);
  CHECK_THROWS_AS(plain_view(pattern(4, 4), 0, out.data()), InputError);
  CHECK_THROWS_AS(plain_view(pattern(4, 4), 1000000000, out.data()), InputError);
}
