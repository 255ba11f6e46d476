// Seeded parts of a data set.
#include "data/split.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "tensor/errors.h"
#include "tensor/philox.h"

namespace plumage {
namespace {

enum Draw : uint64_t { kLabels = 0, kValidation = 1 };  // tells the two kinds of parts of one seed apart

// Shuffles by sorting: each item's place depends on its own number alone.
std::vector<int64_t> shuffled(std::vector<int64_t> items, uint64_t seed, Draw draw) {
  auto place = [&](int64_t item) {
    auto words = philox({seed, Purpose::split, draw}, uint64_t(item));
    return std::pair(uint64_t(words[0]) << 32 | words[1], item);
  };
  std::sort(items.begin(), items.end(), [&](int64_t a, int64_t b) { return place(a) < place(b); });
  return items;
}

std::map<int64_t, std::vector<int64_t>> positions_by_label(const std::vector<int64_t>& labels) {
  std::map<int64_t, std::vector<int64_t>> positions;
  for (size_t i = 0; i < labels.size(); ++i) positions[labels[i]].push_back(int64_t(i));
  return positions;
}

// The samples of one class as groups, each named by its first sample; samples without a group stand alone.
std::map<int64_t, std::vector<int64_t>> grouped(const Dataset& dataset,
                                                const std::vector<int64_t>& positions) {
  std::map<std::string, int64_t> first_of;
  std::map<int64_t, std::vector<int64_t>> groups;
  for (int64_t i : positions) {
    const std::string& name = dataset.samples[size_t(i)].group;
    int64_t first = name.empty() ? i : first_of.emplace(name, i).first->second;
    groups[first].push_back(i);
  }
  return groups;
}

}  // namespace

std::vector<int64_t> label_fraction(const std::vector<int64_t>& labels, double fraction, uint64_t seed) {
  if (!(fraction > 0 && fraction <= 1)) {
    throw InputError(message("label fraction ", fraction, ": wanted more than 0 and at most 1"));
  }
  std::vector<int64_t> part;
  for (const auto& [label, positions] : positions_by_label(labels)) {
    if (label < 0) continue;
    int64_t count = std::max<int64_t>(1, std::llround(fraction * double(positions.size())));
    std::vector<int64_t> order = shuffled(positions, seed, kLabels);
    part.insert(part.end(), order.begin(), order.begin() + count);
  }
  std::sort(part.begin(), part.end());
  return part;
}

ValidationSplit validation_split(const Dataset& dataset, double share, uint64_t seed) {
  if (!(share >= 0 && share < 1)) {
    throw InputError(message("validation share ", share, ": wanted at least 0 and less than 1"));
  }
  ValidationSplit split;
  for (const auto& [label, positions] : positions_by_label(labels_of(dataset))) {
    std::map<int64_t, std::vector<int64_t>> groups = grouped(dataset, positions);
    std::vector<int64_t> names;
    for (const auto& [name, members] : groups) names.push_back(name);
    double wanted = share * double(positions.size());
    int64_t taken = 0;
    size_t left = names.size();
    for (int64_t name : shuffled(names, seed, kValidation)) {
      const std::vector<int64_t>& members = groups[name];
      // A group goes where it brings the share closer; the last one always trains.
      bool validates = left > 1 && double(taken) + double(members.size()) / 2 < wanted;
      std::vector<int64_t>& side = validates ? split.validation : split.train;
      side.insert(side.end(), members.begin(), members.end());
      if (validates) {
        taken += int64_t(members.size());
        --left;
      }
    }
  }
  std::sort(split.train.begin(), split.train.end());
  std::sort(split.validation.begin(), split.validation.end());
  return split;
}

std::vector<int64_t> labels_of(const Dataset& dataset) {
  std::vector<int64_t> labels;
  labels.reserve(dataset.samples.size());
  for (const Sample& sample : dataset.samples) labels.push_back(sample.label);
  return labels;
}

}  // namespace plumage
