#include "data/resize.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "expected_values.h"
#include "tensor/errors.h"

using namespace plumage;

namespace {

/// How many grey levels the worst pixel is off; a wrong number of pixels counts as 256.
int worst_difference(const Image& image, const std::string& name) {
  const auto& wanted = expected(name);
  if (image.rgb.size() != wanted.size()) return 256;
  int worst = 0;
  for (size_t i = 0; i < wanted.size(); ++i)
    worst = std::max(worst, std::abs(int(image.rgb[i]) - int(wanted[i])));
  return worst;
}

}  // namespace

TEST_CASE("a crop after one of another size has its own size") {  // the weights of both begin alike
  Image image(80, 64);
  CHECK(resize_center_crop(image, 64, 64).width == 64);
  CHECK(resize_center_crop(image, 64, 63).height == 63);
}

TEST_CASE("resize gives Pillow's grey levels") {
  Image image = pattern(23, 17), small = pattern(5, 4);
  CHECK(worst_difference(resize(view(image), 10, 7), "shrink_10x7") == 0);
  CHECK(worst_difference(resize(view(small), 12, 9), "enlarge_12x9") == 0);
  CHECK(worst_difference(resize(view(image), 5, 20), "mixed_5x20") == 0);
  CHECK(worst_difference(resize(view(image), 1, 1), "one_pixel") == 0);
  CHECK(worst_difference(resize(view(image), 9, 6, {3.25, 2.5, 19.75, 15}), "box_9x6") == 0);
}

TEST_CASE("a crop hides what is beside it, as torchvision's resized_crop") {
  Image image = pattern(23, 17);
  CHECK(worst_difference(resize(crop(image, 6, 4, 14, 11), 8, 8), "crop_then_8x8") == 0);
}

TEST_CASE("short side and centre crop round as torchvision's Resize and CenterCrop") {
  CHECK(worst_difference(resize_center_crop(pattern(31, 22), 12, 11), "center_31x22_12_11") == 0);
  // here Pillow 13 went down before across, and rounded differently in between
  CHECK(worst_difference(resize_center_crop(pattern(13, 30), 8, 5), "center_13x30_8_5") <= 1);
}

TEST_CASE("a resize to the same size changes nothing") {
  Image image = pattern(9, 7);
  CHECK(resize(view(image), 9, 7).rgb == image.rgb);
}

TEST_CASE("white stays white under any shrinking") {
  Image image(4099, 3);
  std::fill(image.rgb.begin(), image.rgb.end(), uint8_t(255));
  for (int64_t width : {1, 2, 7, 1000})
    for (uint8_t value : resize(view(image), width, 2).rgb) REQUIRE(value == 255);
}

TEST_CASE("a picture one pixel thin and very long has a plain view") {
  Image view_of_line = resize_center_crop(pattern(60000, 1), 224, 224);
  CHECK(view_of_line.width == 224);
  CHECK(view_of_line.height == 224);
}

TEST_CASE("sizes and boxes that cannot be are named") {
  Image image = pattern(8, 8);
  CHECK_THROWS_AS(resize(view(image), 0, 4), InputError);
  CHECK_THROWS_AS(resize(view(image), 4, -1), InputError);
  CHECK_THROWS_AS(resize(view(image), 1000000000, 4), InputError);
  CHECK_THROWS_AS(resize(view(image), 4, 4, {2, 2, 9, 4}), InputError);
  CHECK_THROWS_AS(resize(view(image), 4, 4, {2, 2, 2, 4}), InputError);
  CHECK_THROWS_AS(crop(image, 1, 0, 8, 8), InputError);
  CHECK_THROWS_AS(crop(image, INT64_MAX, 0, 8, 8), InputError);
  CHECK_THROWS_AS(view(Image()), InputError);
  CHECK_THROWS_AS(resize_center_crop(image, 4, 5), InputError);
}
