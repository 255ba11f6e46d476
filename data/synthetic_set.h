// Whole sets of synthetic birds, in memory (the demo's embedded set) or on disk as an image folder.
// Next in the walk: data/dataset.h, which lists what is on disk.
#pragma once
#include <filesystem>
#include <vector>

#include "data/synthetic.h"

namespace plumage {

struct SyntheticSet {
  SyntheticWorld world;
  std::vector<Species> species;  ///< class c is species[c]
  uint64_t seed = 0;
  int64_t px = 64;
};

enum class SyntheticSplit { train, test };

/// The factors of picture `i` of class `label`: the same however many pictures are made, and never the same
/// in both splits or for two classes.
BirdFactors set_factors(const SyntheticSet& set, SyntheticSplit split, int64_t label, int64_t i);

struct LabelledImages {
  std::vector<Image> images;  ///< class by class
  std::vector<int64_t> labels;
  std::vector<BirdFactors> factors;
};

/// `per_class` pictures of each species, rendered by all threads.
LabelledImages make_synthetic(const SyntheticSet& set, SyntheticSplit split, int64_t per_class);

/// The folder of class `label`, such as "007.one-bar.cap".
std::string class_folder(const SyntheticSet& set, int64_t label);

/// Writes DIR/train/CLASS/NNNNN.png (per_class of each species), DIR/test/CLASS/NNNNN.png (half as many, at
/// least one), DIR/masks/SPLIT/CLASS/NNNNN.png (red: the bird, green: its marks) and DIR/factors.csv.
/// InputError for sizes that make no sense or a folder that holds another set, MachineError naming the file
/// that could not be written.
void write_synthetic(const std::filesystem::path& dir, const SyntheticSet& set, int64_t per_class);

}  // namespace plumage
