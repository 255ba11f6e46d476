// Ranks and average precision against cases worked out by hand, and against a plain full sort.
#include "eval/retrieval.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/eval/feature_cases.h"

using namespace plumage;
using test::features;

namespace {

const RetrievalOptions kDot{.normalize = false};
const Features kOneQuery = features({1}, 1, {0});

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

/// The definition, by sorting everything.
RetrievalScores by_full_sort(const Features& f) {
  Tensor v = ops::l2_normalize(f.v).first;
  Tensor s = ops::matmul(v, v, false, true);
  RetrievalScores scores;
  int64_t n = f.size();
  for (int64_t q = 0; q < n; ++q) {
    std::vector<int64_t> order;
    for (int64_t i = 0; i < n; ++i)
      if (i != q) order.push_back(i);
    const float* row = s.data<float>() + q * n;
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return row[a] > row[b]; });
    int64_t hits = 0, first = 0;
    double sum = 0;
    for (size_t r = 0; r < order.size(); ++r) {
      if (f.label(order[r]) != f.label(q)) continue;
      if (++hits == 1) first = int64_t(r) + 1;
      sum += double(hits) / double(r + 1);
    }
    ++scores.queries;
    scores.rank1 += first == 1;
    scores.rank5 += first <= 5;
    scores.map += sum / double(hits);
  }
  for (double* x : {&scores.rank1, &scores.rank5, &scores.map}) *x /= double(n);
  return scores;
}

}  // namespace

TEST_CASE("retrieval: ranks 2 and 4 give an average precision of (1/2 + 2/4) / 2") {
  RetrievalScores s = retrieve(kOneQuery, features({.9f, .8f, .7f, .1f}, 1, {1, 0, 1, 0}), kDot);
  CHECK(s.rank1 == 0);
  CHECK(s.rank5 == 1);
  CHECK(s.map == doctest::Approx(0.5));
  CHECK(s.queries == 1);
}

TEST_CASE("retrieval: equal similarities are ranked by index") {
  // Similarities .9 .8 .8 .1: items 1 and 2 tie, item 1 comes first whatever its label.
  CHECK(retrieve(kOneQuery, features({.9f, .8f, .8f, .1f}, 1, {1, 0, 1, 0}), kDot).map ==
        doctest::Approx(0.5));
  // Relevant at ranks 3 and 4: (1/3 + 2/4) / 2.
  CHECK(retrieve(kOneQuery, features({.9f, .8f, .8f, .1f}, 1, {1, 1, 0, 0}), kDot).map ==
        doctest::Approx(5.0 / 12));
  // All equal, relevant last of six: rank 6 is outside the best five.
  RetrievalScores s = retrieve(kOneQuery, features({1, 1, 1, 1, 1, 1}, 1, {1, 1, 1, 1, 1, 0}), kDot);
  CHECK(s.rank5 == 0);
  CHECK(s.map == doctest::Approx(1.0 / 6));
}

TEST_CASE("retrieval: each picture against the rest, never itself") {
  // 0 and 1 lie on one axis, 2 and 3 on the other; the labels alternate. Rankings without the query:
  //   0 (label 0): 1, 2, 3 -> hit at 2      1 (label 1): 0, 2, 3 -> hit at 3
  //   2 (label 0): 3, 0, 1 -> hit at 2      3 (label 1): 2, 0, 1 -> hit at 3
  RetrievalScores s = retrieve(features({1, 0, 1, 0, 0, 1, 0, 1}, 2, {0, 1, 0, 1}));
  CHECK(s.rank1 == 0);
  CHECK(s.rank5 == 1);
  CHECK(s.map == doctest::Approx((1.0 / 2 + 1.0 / 3 + 1.0 / 2 + 1.0 / 3) / 4));
  CHECK(retrieve(features({1, 0, 1, 0, 0, 1, 0, 1}, 2, {0, 0, 1, 1})).map == 1);
}

TEST_CASE("retrieval: a query without an answer is left out and counted") {
  RetrievalScores s = retrieve(features({1, 0, 1, 0, 0, 1, 1, 1}, 2, {0, 0, 1, -1}));
  CHECK(s.queries == 2);
  CHECK(s.without_answer == 2);  // the only one of class 1, and the one without a label
  CHECK(s.rank1 == 1);
  CHECK(error_of([] {
          retrieve(features({1, 2, 3}, 1, {0, 1, 2}));
        }).find("two pictures a class") != std::string::npos);
}

TEST_CASE("retrieval: pictures of the query's own group can be left out") {
  // 0 and 1 are two frames of track a; their class is also on track b, which looks like class 1.
  Features f = features({1, 0, 1, 0, 0, 1, 0, 1}, 2, {0, 0, 0, 1}, {"a", "a", "b", ""});
  // With own groups: 0 -> 1, 2 (ranks 1, 2); 1 -> 0, 2; 2 -> 3, 0, 1 (ranks 2, 3).
  CHECK(retrieve(f).rank1 == doctest::Approx(2.0 / 3));
  // Without: 0 -> 2, 3 tie at 0, rank 1 by index; 1 likewise; 2 (track b) as before: (1/2 + 2/3) / 2.
  RetrievalScores s = retrieve(f, {.leave_out_group = true});
  CHECK(s.rank1 == doctest::Approx(2.0 / 3));
  CHECK(s.map == doctest::Approx((1 + 1 + 7.0 / 12) / 3));
  CHECK(s.without_answer == 1);
  // "" is no group: pictures without one may find each other.
  CHECK(retrieve(features({1, 0, 1, 0, 0, 1, 0, 1}, 2, {0, 0, 1, 1}, {"", "", "", ""}),
                 {.leave_out_group = true})
            .map == 1);
}

TEST_CASE("retrieval: many blocks agree with a full sort, ties included") {
  // Small integers: similarities repeat often, and 1100 rows are more than two blocks of queries.
  std::vector<float> v;
  std::vector<int64_t> labels;
  PhiloxStream draw({7, Purpose::test, 1});
  for (int64_t i = 0; i < 1100; ++i) {
    labels.push_back(draw.integer(13));
    for (int j = 0; j < 5; ++j) v.push_back(float(draw.integer(3)) + 1);
  }
  Features f = features(v, 5, labels);
  RetrievalScores fast = retrieve(f), slow = by_full_sort(f);
  CHECK(fast.rank1 == doctest::Approx(slow.rank1).epsilon(1e-12));
  CHECK(fast.rank5 == doctest::Approx(slow.rank5).epsilon(1e-12));
  CHECK(fast.map == doctest::Approx(slow.map).epsilon(1e-12));
}

TEST_CASE("retrieval: the length of a feature vector does not matter") {
  Features f = test::formula_features(60, 7, 4);
  RetrievalScores plain = retrieve(f);
  for (int64_t i = 0; i < f.size(); ++i) {
    for (int64_t j = 0; j < 7; ++j) f.v.data<float>()[i * 7 + j] *= float(1 << (i % 5));  // exact in f32
  }
  RetrievalScores scaled = retrieve(f);
  CHECK(scaled.map == plain.map);
  CHECK(scaled.rank1 == plain.rank1);
  CHECK(retrieve(f, kDot).map != plain.map);
}

TEST_CASE("retrieval: f64 features and a collapsed encoder") {
  CHECK(retrieve(test::formula_features(20, 3, 2, DType::f64)).map ==
        doctest::Approx(retrieve(test::formula_features(20, 3, 2)).map));
  // All zeros: every similarity ties, so the ranking is by index. 0 -> 1, 2, 3: hit at 2; 1 -> 0, 2, 3: at 3;
  // 2 -> 0, 1, 3: at 1; 3 -> 0, 1, 2: at 2.
  RetrievalScores s = retrieve(features(std::vector<float>(8), 2, {0, 1, 0, 1}));
  CHECK(s.map == doctest::Approx((1.0 / 2 + 1.0 / 3 + 1 + 1.0 / 2) / 4));
}

TEST_CASE("retrieval: bad input is named") {
  Features broken = features({1, 2, NAN, 4}, 2, {0, 0});
  broken.paths = {"a.png", "b.png"};
  CHECK(error_of([&] { retrieve(broken); }).find("b.png") != std::string::npos);
  CHECK(error_of([] { retrieve(Features{}); }).find("no pictures") != std::string::npos);
  CHECK_THROWS_AS(retrieve(features({1, 2}, 1, {0, 0}), features({1, 2}, 2, {0})), ShapeError);
  CHECK_THROWS_AS(average_precision({{0, 1.f}}, {}), ShapeError);
}

TEST_CASE("average precision of a ranking") {
  CHECK(average_precision({{0, 3.f}, {1, 2.f}, {2, 1.f}}, {true, false, true}) ==
        doctest::Approx((1 + 2.0 / 3) / 2));
  CHECK(std::isnan(average_precision({{0, 1.f}}, {false})));
}

TEST_CASE("neighbours: the best first, ties by index, no more than there are") {
  Features gallery = features({.5f, .9f, .5f, .1f}, 1, {0, 0, 0, 0});
  auto found = nearest({kOneQuery, gallery, false, false, false}, 3)[0];
  REQUIRE(found.size() == 3);
  CHECK(found[0].index == 1);
  CHECK(found[1].index == 0);
  CHECK(found[2].index == 2);
  CHECK(nearest({kOneQuery, gallery}, 9)[0].size() == 4);
  CHECK(nearest({gallery, gallery, true}, 9)[0].size() == 3);
  CHECK_THROWS_AS(nearest({kOneQuery, gallery}, 0), InputError);
}

namespace {

/// Values that repeat.
std::vector<float> row_with_ties(int64_t count, int64_t levels, uint64_t seed) {
  PhiloxStream draw({seed, Purpose::test, 2});
  std::vector<float> row;
  for (int64_t i = 0; i < count; ++i) row.push_back(float(draw.integer(levels)) / 4);
  return row;
}

}  // namespace

TEST_CASE("neighbours: the best of a row are those of a full sort, whatever k and wherever ties lie") {
  for (int64_t count : {1, 15, 63, 64, 65, 130, 1000}) {
    std::vector<float> row = row_with_ties(count, 40, uint64_t(count));
    for (int64_t i = 5; i < count; i += 7) row[size_t(i)] = i % 2 ? NAN : -INFINITY;
    std::vector<Neighbour> sorted;
    for (int64_t i = 0; i < count; ++i)
      if (!std::isnan(row[size_t(i)])) sorted.push_back({i, row[size_t(i)]});
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const Neighbour& a, const Neighbour& b) { return a.similarity > b.similarity; });
    for (int64_t k : {int64_t(1), int64_t(2), int64_t(31), int64_t(64), int64_t(500), count, INT64_MAX}) {
      CAPTURE(count);
      CAPTURE(k);
      std::vector<Neighbour> best = best_of(row, k);
      REQUIRE(best.size() == std::min(size_t(k), sorted.size()));
      for (size_t i = 0; i < best.size(); ++i) {
        REQUIRE(best[i].index == sorted[i].index);
        REQUIRE(best[i].similarity == sorted[i].similarity);
      }
    }
  }
  CHECK(best_of(std::vector<float>(100, NAN), 3).empty());
  CHECK(best_of(std::vector<float>(300, 1), 2)[1].index == 1);
}

TEST_CASE(
    "retrieval: average precision is a full sort's for galleries of any size, ties across every border") {
  for (int64_t count = 1; count <= 100; ++count) {
    std::vector<float> row = row_with_ties(count, 3, uint64_t(count));
    std::vector<int64_t> labels;
    std::vector<Neighbour> candidates;
    std::vector<bool> relevant;
    for (int64_t i = 0; i < count; ++i) {
      labels.push_back(i == count - 1 ? 0 : i * 7 % 3);
      candidates.push_back({i, row[size_t(i)]});
      relevant.push_back(labels.back() == 0);
    }
    CAPTURE(count);
    REQUIRE(retrieve(kOneQuery, features(row, 1, labels), kDot).map ==
            doctest::Approx(average_precision(candidates, relevant)).epsilon(1e-12));
  }
}
