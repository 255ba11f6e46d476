// Label fractions and validation parts.
#include "data/split.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "tensor/errors.h"

namespace plumage {
namespace {

// 100 of class 0, 10 of class 1, 1 of class 2, 5 without a label.
std::vector<int64_t> uneven_labels() {
  std::vector<int64_t> labels(100, 0);
  labels.insert(labels.end(), 10, 1);
  labels.insert(labels.end(), 1, 2);
  labels.insert(labels.end(), 5, -1);
  return labels;
}

Dataset dataset_of(const std::vector<int64_t>& labels) {
  Dataset dataset{"test", "", {"a", "b", "c"}, {}};
  for (size_t i = 0; i < labels.size(); ++i)
    dataset.samples.push_back({std::to_string(i) + ".ppm", labels[i], {}, ""});
  return dataset;
}

}  // namespace

TEST_CASE("split: a label fraction takes its share of each class, one at least, and never the unlabelled") {
  std::vector<int64_t> labels = uneven_labels();
  std::map<int64_t, int> count;
  for (int64_t i : label_fraction(labels, 0.2, 5)) ++count[labels[size_t(i)]];
  CHECK(count == std::map<int64_t, int>{{0, 20}, {1, 2}, {2, 1}});
  count.clear();
  for (int64_t i : label_fraction(labels, 0.001, 5)) ++count[labels[size_t(i)]];
  CHECK(count == std::map<int64_t, int>{{0, 1}, {1, 1}, {2, 1}});
  CHECK(label_fraction(std::vector<int64_t>(8, 0), 0.2, 5).size() == 2);  // 1.6, rounded
  CHECK(label_fraction(labels, 1, 5).size() == 111);
  for (double bad : {0.0, -0.5, 1.01, double(NAN)})
    CHECK_THROWS_AS(label_fraction(labels, bad, 5), InputError);
}

TEST_CASE("split: fractions of one seed are nested, those of another differ") {
  std::vector<int64_t> labels = uneven_labels(), smaller;
  for (double fraction : {0.01, 0.1, 0.2, 0.5, 0.55, 1.0}) {
    std::vector<int64_t> part = label_fraction(labels, fraction, 5);
    CHECK(std::is_sorted(part.begin(), part.end()));
    CHECK(std::includes(part.begin(), part.end(), smaller.begin(), smaller.end()));
    smaller = part;
  }
  CHECK(label_fraction(labels, 0.2, 5) == label_fraction(labels, 0.2, 5));
  CHECK(label_fraction(labels, 0.2, 5) != label_fraction(labels, 0.2, 6));
}

TEST_CASE("split: validation takes its share, leaves a class with one picture alone, keeps groups together") {
  Dataset dataset = dataset_of(uneven_labels());
  ValidationSplit split = validation_split(dataset, 0.2, 5);
  std::map<int64_t, int> count;
  for (int64_t i : split.validation) ++count[dataset.samples[size_t(i)].label];
  CHECK(count == std::map<int64_t, int>{{-1, 1}, {0, 20}, {1, 2}});
  CHECK(split.train.size() + split.validation.size() == 116);
  std::set<int64_t> all(split.train.begin(), split.train.end());
  all.insert(split.validation.begin(), split.validation.end());
  CHECK(all.size() == 116);
  CHECK(validation_split(dataset, 0, 5).validation.empty());
  CHECK(validation_split(dataset_of({2}), 0.9, 5).train == std::vector<int64_t>{0});
  CHECK_THROWS_AS(validation_split(dataset, 1, 5), InputError);

  for (size_t i = 0; i < 100; ++i) dataset.samples[i].group = "track " + std::to_string(i / 7);
  ValidationSplit grouped = validation_split(dataset, 0.2, 5);
  std::set<std::string> training_tracks;
  for (int64_t i : grouped.train) training_tracks.insert(dataset.samples[size_t(i)].group);
  int of_class_0 = 0;
  for (int64_t i : grouped.validation) {
    const Sample& sample = dataset.samples[size_t(i)];
    if (sample.label != 0) continue;
    ++of_class_0;
    CHECK(training_tracks.count(sample.group) == 0);
  }
  CHECK(of_class_0 >= 14);
  CHECK(of_class_0 <= 28);
}

}  // namespace plumage
