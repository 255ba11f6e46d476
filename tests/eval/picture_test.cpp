// Colours, sheets and letters, pixel by pixel.
#include "eval/picture.h"

#include <doctest/doctest.h>

#include <cmath>

#include "data/decode.h"
#include "data/write_png.h"
#include "eval/gallery.h"
#include "tests/data/bundle.h"
#include "tests/eval/feature_cases.h"

using namespace plumage;

namespace {

Image plain(int64_t width, int64_t height, Colour colour) {
  Image image(width, height);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = colour[i % 3];
  return image;
}

Colour pixel(const Image& image, int64_t x, int64_t y) {
  const uint8_t* p = image.row(y) + x * 3;
  return {p[0], p[1], p[2]};
}

int64_t pixels_of(const Image& image, Colour colour) {
  int64_t n = 0;
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) n += pixel(image, x, y) == colour;
  }
  return n;
}

}  // namespace

TEST_CASE("pictures: normalised colours come back, what cannot be shown is clipped") {
  Normalization n;
  Tensor x = Tensor::from(std::vector<float>{(0.f - n.mean[0]) / n.std[0], (1.f - n.mean[1]) / n.std[1],
                                             (100 / 255.f - n.mean[2]) / n.std[2], -1e9f, 1e9f, NAN},
                          {1, 1, 2, 3});
  Image image = to_image(x);
  CHECK(pixel(image, 0, 0) == Colour{0, 255, 100});
  CHECK(pixel(image, 1, 0) == Colour{0, 255, 255});
  CHECK(to_image(x.reshape({1, 2, 3})).rgb == image.rgb);
  CHECK_THROWS_AS(to_image(x, 1), ShapeError);
  CHECK_THROWS_AS(to_image(x.reshape({6})), ShapeError);
}

TEST_CASE("pictures: a view made of bytes gives the bytes back") {
  Image image(5, 4);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = uint8_t(i * 37);
  Tensor view = Tensor::empty({4, 4, 3});
  plain_view(image, 4, view.data<float>());
  Image back = to_image(view);
  for (int64_t y = 0; y < 4; ++y) {
    for (int64_t x = 0; x < 4; ++x) {
      bool left = pixel(back, x, y) == pixel(image, x, y),
           right = pixel(back, x, y) == pixel(image, x + 1, y);
      CHECK((left || right));  // the centre of five columns may begin at either
    }
  }
}

TEST_CASE("pictures: difference and enlargement") {
  Image d = difference(plain(1, 1, {10, 100, 0}), plain(1, 1, {13, 90, 255}), 4);
  CHECK(pixel(d, 0, 0) == Colour{12, 40, 255});
  CHECK_THROWS_AS(difference(plain(1, 1, {}), plain(2, 1, {})), ShapeError);
  Image two(2, 1);
  two.rgb = {1, 2, 3, 4, 5, 6};
  Image large = enlarge(two, 3);
  CHECK(large.width == 6);
  CHECK(pixel(large, 2, 2) == Colour{1, 2, 3});
  CHECK(pixel(large, 3, 0) == Colour{4, 5, 6});
}

TEST_CASE("pictures: letters of five by seven, cut at the edge, one box for a letter beyond ASCII") {
  CHECK(text_width("") == 0);
  CHECK(text_width("ab", 2) == 22);
  CHECK(text_width("\xC3\xA9") == 5);
  Image image = plain(12, 9, {255, 255, 255});
  draw_text(image, 1, 1, "L", {0, 0, 0});
  CHECK(pixels_of(image, {0, 0, 0}) == 11);  // seven down, four more along the foot
  CHECK(pixel(image, 1, 1) == Colour{0, 0, 0});
  CHECK(pixel(image, 5, 7) == Colour{0, 0, 0});
  Image boxes = plain(12, 9, {255, 255, 255});
  draw_text(boxes, 0, 0, "\xC3\xA9", {0, 0, 0});
  CHECK(pixels_of(boxes, {0, 0, 0}) == 20);            // the rim of 5 x 7
  draw_text(image, -3, -3, "WWWWWWWW", {9, 9, 9}, 5);  // must not write outside
  draw_text(image, 100, 100, "x", {9, 9, 9});
}

TEST_CASE("pictures: a sheet keeps its pictures apart, framed and named") {
  SheetOptions options;
  options.cell = 8;
  options.gap = 2;
  options.columns = {"a", "b"};
  Colour red{200, 0, 0}, blue{0, 0, 200};
  Image sheet = contact_sheet(
      {{{plain(4, 4, red), "one"}, {plain(8, 8, blue), "", Verdict::wrong}}, {{plain(8, 8, red), ""}}},
      options);
  CHECK(pixels_of(sheet, red) == 2 * 64);  // 4 x 4 is shown twice as large
  CHECK(pixels_of(sheet, blue) == 64);
  CHECK(pixels_of(sheet, {200, 62, 50}) == 14 * 14 - 64);  // the frame of what is wrong
  CHECK(contact_sheet({}, options).height > 0);
  test::ScratchFolder folder;
  write_png(folder / "sheet.png", sheet);
  CHECK(decode_image(folder / "sheet.png").rgb == sheet.rgb);
  options.cell = 1 << 20;
  CHECK_THROWS_AS(contact_sheet({{{plain(1, 1, red), ""}}}, options), InputError);
}

TEST_CASE("galleries: pairs in order, neighbours without the query itself") {
  Tensor x = Tensor::zeros({2, 4, 4, 3}), y = Tensor::full({2, 4, 4, 3}, 0.1);
  Gallery pairs = pair_gallery(x, x, y);
  REQUIRE(pairs.rows.size() == 2);
  CHECK(pairs.rows[0].size() == pairs.columns.size());
  CHECK(pairs.rows[0][3].image.rgb == difference(pairs.rows[0][1].image, pairs.rows[0][2].image, 4).rgb);
  CHECK_THROWS_AS(pair_gallery(x, x, Tensor::zeros({2, 4, 4, 1})), ShapeError);

  Features f = test::features({1, 0, 1, 0, 0, 1, 0, 1}, 2, {0, 0, 1, 0});
  Gallery near = neighbour_gallery(f,
                                   [](int64_t i) {
                                     return plain(1, 1, {uint8_t(i), 0, 0});
                                   },
                                   {1, 2}, 2, {"black_bird", "gull"});
  REQUIRE(near.rows.size() == 2);
  REQUIRE(near.rows[0].size() == 3);
  CHECK(near.rows[0][0].image.rgb[0] == 1);
  CHECK(near.rows[0][0].caption == "black bird");
  CHECK(near.rows[0][1].image.rgb[0] == 0);  // its twin, then the first of those at a right angle
  CHECK(near.rows[0][1].verdict == Verdict::right);
  CHECK(near.rows[0][2].image.rgb[0] == 2);
  CHECK(near.rows[0][2].verdict == Verdict::wrong);
  CHECK(near.rows[1][1].image.rgb[0] == 3);
  CHECK(near.rows[1][1].verdict == Verdict::wrong);
}
