#include "data/synthetic.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "data/synthetic_set.h"
#include "tensor/errors.h"

using namespace plumage;

namespace {

/// How many of `queries` have a nearest neighbour (squared distance of descriptors) of their own class.
template <class Describe>
double nearest_neighbour(const LabelledImages& gallery, const LabelledImages& queries, Describe describe) {
  std::vector<std::vector<float>> known;
  for (const Image& image : gallery.images) known.push_back(describe(image));
  int64_t right = 0;
  for (size_t q = 0; q < queries.images.size(); ++q) {
    std::vector<float> query = describe(queries.images[q]);
    float best = INFINITY;
    size_t at = 0;
    for (size_t k = 0; k < known.size(); ++k) {
      float distance = 0;
#pragma omp simd reduction(+ : distance)
      for (size_t i = 0; i < query.size(); ++i) {
        float d = query[i] - known[k][i];
        distance += d * d;
      }
      if (distance < best) best = distance, at = k;
    }
    right += gallery.labels[at] == queries.labels[q];
  }
  return double(right) / double(queries.images.size());
}

/// Means of 8 x 8 fields.
std::vector<float> coarse_pixels(const Image& image) {
  std::vector<float> out(8 * 8 * 3, 0);
  int64_t field = image.width / 8;
  for (int64_t y = 0; y < field * 8; ++y)
    for (int64_t x = 0; x < field * 8; ++x)
      for (int64_t c = 0; c < 3; ++c)
        out[size_t((y / field * 8 + x / field) * 3 + c)] +=
            float(image.row(y)[3 * x + c]) / float(255 * field * field);
  return out;
}

/// Every second pixel of every second row.
std::vector<float> pixels(const Image& image) {
  std::vector<float> out;
  for (int64_t y = 0; y < image.height; y += 2)
    for (int64_t x = 0; x < image.width; x += 2)
      out.insert(out.end(), image.row(y) + 3 * x, image.row(y) + 3 * x + 3);
  return out;
}

/// 4 x 4 x 4 colours.
std::vector<float> histogram(const Image& image) {
  std::vector<float> out(64, 0);
  for (size_t i = 0; i < image.rgb.size(); i += 3)
    out[size_t(image.rgb[i] / 64 * 16 + image.rgb[i + 1] / 64 * 4 + image.rgb[i + 2] / 64)] += 1;
  for (float& count : out) count = std::sqrt(count);
  return out;
}

int64_t changed(const Image& a, const Image& b) {
  int64_t count = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) count += a.rgb[i] != b.rgb[i];
  return count;
}

}  // namespace

TEST_CASE("72 species, named apart") {
  std::set<std::string> names;
  for (const Species& species : all_species()) names.insert(species.name());
  CHECK(names.size() == 72);
  CHECK(Species{}.name() == "unmarked");
  CHECK(Species{2, true, Breast::spots, true, true}.name() == "two-bars.eye-line.spots.tail-tip.cap");
}

TEST_CASE("chosen species keep their distance and avoid those taken") {
  auto target = choose_species(16, 1, 9);
  auto base = choose_species(24, 1, 3, target);
  CHECK(target.size() == 16);
  CHECK(base.size() == 24);
  for (const Species& species : base) CHECK(std::find(target.begin(), target.end(), species) == target.end());
  auto apart = choose_species(8, 2, 7);
  for (size_t i = 0; i < apart.size(); ++i)
    for (size_t j = 0; j < i; ++j) CHECK(hamming(apart[i], apart[j]) >= 2);
  CHECK(choose_species(8, 2, 7) == apart);
  CHECK_FALSE(choose_species(8, 2, 8) == apart);
  CHECK_THROWS_AS(choose_species(0, 1, 1), InputError);
  CHECK_THROWS_AS(choose_species(73, 1, 1), InputError);
  CHECK_THROWS_AS(choose_species(60, 1, 1, target), InputError);
  CHECK_THROWS_AS(choose_species(40, 2, 1), InputError);  // no code of distance 2 has more than 36 words
}

TEST_CASE("a picture is a function of world, species, seed and index") {
  auto world = SyntheticWorld::strict();
  Image first = render(draw_factors(world, {1, true}, 5, 77), 32).image;
  CHECK(render(draw_factors(world, {1, true}, 5, 77), 32).image.rgb == first.rgb);
  CHECK(changed(first, render(draw_factors(world, {1, true}, 6, 77), 32).image) > 1000);
  CHECK(changed(first, render(draw_factors(world, {1, true}, 5, 78), 32).image) > 1000);
}

TEST_CASE("another species at the same index changes pixels only where its marks are") {
  auto world = SyntheticWorld::strict();
  for (uint64_t index = 0; index < 20; ++index) {
    Rendered plain = render(draw_factors(world, {}, 1, index), 64);
    Rendered marked = render(draw_factors(world, {2, true, Breast::spots, true, true}, 1, index), 64);
    int64_t inside = 0, outside = 0;
    for (size_t i = 0; i < marked.marks.size(); ++i)
      for (size_t c = 0; c < 3; ++c) {
        int difference = std::abs(int(plain.image.rgb[3 * i + c]) - int(marked.image.rgb[3 * i + c]));
        (marked.marks[i] ? inside : outside) +=
            difference > 1;  // less than half a step of coverage shows as 0
      }
    CHECK(outside == 0);
    CHECK(inside > 150);
    CHECK(std::all_of(plain.marks.begin(), plain.marks.end(), [](uint8_t v) { return v == 0; }));
    for (size_t i = 0; i < marked.marks.size(); ++i) REQUIRE(marked.marks[i] <= marked.object[i]);
  }
}

TEST_CASE("each mark is visible at 64 pixels in every pose") {
  for (auto world : {SyntheticWorld::simple(), SyntheticWorld::strict()})
    for (uint64_t index = 0; index < 60; ++index)
      for (Species species :
           {Species{1}, Species{0, true}, Species{0, false, Breast::band}, Species{0, false, Breast::spots},
            Species{0, false, Breast::plain, true}, Species{0, false, Breast::plain, false, true}}) {
        Rendered rendered = render(draw_factors(world, species, 2, index), 64);
        double area = 0;
        for (uint8_t value : rendered.marks) area += value / 255.0;
        INFO(species.name() << " at index " << index);
        CHECK(area >= 4);  // pixels
      }
}

TEST_CASE("redrawing one factor leaves all others") {
  auto world = SyntheticWorld::strict();
  BirdFactors factors = draw_factors(world, {1}, 1, 10);
  for (int f = 0; f < kFactors; ++f) {
    BirdFactors other = factors;
    bool differs = false;
    for (uint64_t index = 11; index < 18; ++index) {  // some draws fall together: two sides, few branches
      redraw(other, Factor(f), world, 1, index);
      differs |= changed(render(factors, 64).image, render(other, 64).image) > 0;
    }
    INFO(name(Factor(f)));
    CHECK(differs);
    redraw(other, Factor(f), world, 1, 10);
    CHECK(render(other, 64).image.rgb == render(factors, 64).image.rgb);
  }
}

TEST_CASE("a bird facing left is the mirror image of one facing right") {
  auto world = SyntheticWorld::simple();
  BirdFactors right = draw_factors(world, {1, true}, 1, 3);
  right.noise = 0, right.mirror = false;
  BirdFactors left = right;
  left.mirror = true, left.x = -right.x, left.angle = -right.angle;
  Rendered a = render(right, 48), b = render(left, 48);
  for (int64_t y = 0; y < 48; ++y)
    for (int64_t x = 0; x < 48; ++x)
      for (int64_t c = 0; c < 3; ++c)
        REQUIRE(std::abs(int(a.image.row(y)[3 * x + c]) - int(b.image.row(y)[3 * (47 - x) + c])) <= 1);
}

TEST_CASE("in the strict world pixels and colours tell nothing of the class") {
  SyntheticSet set{SyntheticWorld::strict(), choose_species(16, 1, 9), 1, 64};
  auto train = make_synthetic(set, SyntheticSplit::train, 40),
       test = make_synthetic(set, SyntheticSplit::test, 20);
  // chance .0625; three standard deviations of 320 queries are .041
  CHECK(nearest_neighbour(train, test, pixels) < 0.11);
  CHECK(nearest_neighbour(train, test, coarse_pixels) < 0.11);
  CHECK(nearest_neighbour(train, test, histogram) < 0.11);
}

TEST_CASE("worlds and sizes that cannot be are named") {
  CHECK_THROWS_WITH_AS(SyntheticWorld::named("moon"),
                       "synthetic: world \"moon\" is not known; choose simple or strict", InputError);
  auto factors = draw_factors(SyntheticWorld::simple(), {}, 1, 1);
  CHECK_THROWS_AS(render(factors, 0), InputError);
  CHECK_THROWS_AS(render(factors, 1000000000), InputError);
  SyntheticWorld world;
  world.branches = 3;
  CHECK_THROWS_AS(draw_factors(world, {}, 1, 1), InputError);
}
