// Which samples a run may use: label fractions and a validation part. Lists of them in text files: data/list_file.h.
// All draws are Philox with Purpose::split: the same seed gives the same parts on every machine.
#pragma once
#include <vector>

#include "data/dataset.h"

namespace plumage {

/// Positions, ascending, of round(fraction * n) samples of each class of n, at least one. Parts of one seed
/// are nested: a smaller fraction's part lies within a larger one's. Unlabelled samples (-1) are never drawn.
/// Throws InputError unless 0 < fraction <= 1.
std::vector<int64_t> label_fraction(const std::vector<int64_t>& labels, double fraction, uint64_t seed);

struct ValidationSplit {
  std::vector<int64_t> train, validation;  ///< positions, ascending
};

/// About `share` of each class, but never all of a class, is kept for validation. Samples of one group stay
/// together. Unlabelled samples count as one class. Throws InputError unless 0 <= share < 1.
ValidationSplit validation_split(const Dataset& dataset, double share, uint64_t seed);

/// Labels of all samples, in order.
std::vector<int64_t> labels_of(const Dataset& dataset);

}  // namespace plumage
