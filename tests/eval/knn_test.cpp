// Votes of neighbours against cases worked out by hand.
#include "eval/knn.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/eval/feature_cases.h"

using namespace plumage;
using test::features;

namespace {

const Features kOneQuery = features({1}, 1, {0});

int64_t predict(const Features& gallery, KnnOptions options) {
  options.normalize = false;
  return knn_predict(kOneQuery, gallery, options).data<int64_t>()[0];
}

}  // namespace

TEST_CASE("knn: weights are exp(similarity / temperature)") {
  // Similarities .9 (class 0), .8, .8 (class 1). At t = .1 the votes are as 1 to 2 exp(-1) = .74: class 0.
  // At t = 1 they are as 1 to 2 exp(-.1) = 1.81: class 1. Without weights 1 to 2: class 1.
  Features gallery = features({.9f, .8f, .8f}, 1, {0, 1, 1});
  CHECK(predict(gallery, {.k = 3}) == 0);
  CHECK(predict(gallery, {.k = 3, .temperature = 1}) == 1);
  CHECK(predict(gallery, {.k = 3, .weighted = false}) == 1);
}

TEST_CASE("knn: equal similarities by index, equal votes to the lowest class") {
  CHECK(predict(features({.5f, .5f}, 1, {1, 0}), {.k = 1}) == 1);
  CHECK(predict(features({.5f, .5f}, 1, {0, 1}), {.k = 1}) == 0);
  CHECK(predict(features({.9f, .5f}, 1, {1, 0}), {.k = 2, .weighted = false}) == 0);
}

TEST_CASE("knn: k is capped, unlabelled pictures do not vote, nobody to ask gives -1") {
  CHECK(predict(features({.9f, .5f, .4f}, 1, {1, 0, 0}), {.k = 200, .weighted = false}) == 0);
  CHECK(predict(features({.9f, .5f}, 1, {-1, 3}), {.k = 1}) == 3);
  CHECK(predict(features({.9f}, 1, {-1}), {}) == -1);
}

TEST_CASE("knn: shares over k, and over a set's own pictures") {
  // Query of class 0; ranking: class 0, 1, 1, 0, 0. Plain votes (0, 1) after k: 1,0 1,1 1,2 2,2 3,2.
  Features gallery = features({.9f, .8f, .7f, .6f, .5f}, 1, {0, 1, 1, 0, 0});
  std::vector<double> curve = knn_curve(kOneQuery, gallery, 5, {.normalize = false});
  CHECK(curve == std::vector<double>{1, 1, 0, 1, 1});
  // Two pairs on two axes: the nearest other one is always of the same class.
  Features pairs = features({1, 0, 1, 0, 0, 1, 0, 1}, 2, {0, 0, 1, 1});
  CHECK(knn_top1(pairs, {.k = 1}) == 1);
  CHECK(knn_top1(pairs, pairs, {.k = 1}) == 1);
  // Without its own group nobody of the right class is left.
  pairs.groups = {"a", "a", "b", "b"};
  CHECK(knn_top1(pairs, {.k = 1, .leave_out_group = true}) == 0);
}

TEST_CASE("knn: huge similarities do not overflow, lengths do not matter when normalised") {
  CHECK(predict(features({9000, 8000, 8000}, 1, {0, 1, 1}), {.k = 3}) == 0);
  Features f = test::formula_features(40, 5, 3);
  double plain = knn_top1(f, {.k = 5});
  for (float& x : f.v.span<float>()) x *= 1024;
  CHECK(knn_top1(f, {.k = 5}) == plain);
}

TEST_CASE("knn: bad options are named") {
  CHECK_THROWS_AS(predict(kOneQuery, {.k = 0}), InputError);
  CHECK_THROWS_AS(predict(kOneQuery, {.temperature = 0}), InputError);
  CHECK_THROWS_AS(knn_curve(kOneQuery, kOneQuery, 0), InputError);
  CHECK_THROWS_AS(knn_top1(features({1}, 1, {-1}), kOneQuery), InputError);
}

TEST_CASE("knn: many queries, groups and unlabelled pictures agree with plain votes over a full sort") {
  // 700 pictures are two blocks of queries; small integers repeat, so that most similarities tie.
  PhiloxStream draw({9, Purpose::test, 3});
  std::vector<float> v;
  std::vector<int64_t> labels;
  std::vector<std::string> groups;
  for (int64_t i = 0; i < 700; ++i) {
    labels.push_back(draw.integer(5) - (i % 11 == 0));
    groups.push_back(i % 3 ? std::to_string(i / 9) : "");
    for (int j = 0; j < 3; ++j) v.push_back(float(draw.integer(4)));
  }
  Features f = features(v, 3, labels, groups);
  const int64_t k = 12;
  int64_t asked = 0, right = 0;
  for (int64_t q = 0; q < f.size(); ++q) {
    std::vector<Neighbour> found;
    for (int64_t i = 0; i < f.size(); ++i) {
      if (i == q || labels[size_t(i)] < 0) continue;
      if (!groups[size_t(q)].empty() && groups[size_t(q)] == groups[size_t(i)]) continue;
      float s = 0;
      for (size_t j = 0; j < 3; ++j) s += v[size_t(q) * 3 + j] * v[size_t(i) * 3 + j];
      found.push_back({i, s});
    }
    std::sort(found.begin(), found.end(), ahead);
    std::vector<int64_t> votes(5);
    for (size_t i = 0; i < size_t(k); ++i) ++votes[size_t(labels[size_t(found[i].index)])];
    if (labels[size_t(q)] < 0) continue;
    ++asked;
    right += std::max_element(votes.begin(), votes.end()) - votes.begin() == labels[size_t(q)];
  }
  KnnOptions options{.k = k, .weighted = false, .normalize = false, .leave_out_group = true};
  CHECK(knn_top1(f, options) == doctest::Approx(double(right) / double(asked)).epsilon(1e-12));
}
