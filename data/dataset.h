// What there is to learn from: a list of picture files with what is known of each. Labels are optional
// everywhere but in evaluation. Next in the walk: data/cache.h, which decodes the list.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/image.h"

namespace plumage {

/// A rectangle of pixels: columns x .. x+width-1, rows y .. y+height-1.
struct Region {
  int64_t x = 0, y = 0, width = 0, height = 0;
  bool operator==(const Region&) const = default;
};

struct Sample {
  std::filesystem::path path;
  int64_t label = -1;         ///< index into Dataset::class_names; -1: not known
  std::optional<Region> box;  ///< what to cut out after decoding
  std::string group;          ///< pictures of one thing, such as GTSRB's frames of one sign; may be empty
  /// Size of the picture that `box` speaks of, where that is stated: a copy of another size has its box scaled.
  int64_t stated_width = 0, stated_height = 0;
};

struct Dataset {
  std::string name;  ///< its kind and split, for people: "gtsrb train"
  std::filesystem::path root;
  std::vector<std::string> class_names;
  std::vector<Sample> samples;
  /// Named by the tables of a release, but not there: a partial copy.
  std::vector<std::filesystem::path> absent;
  std::string note;  ///< what else is to be said of how it was read, or ""

  int64_t size() const { return int64_t(samples.size()); }
  int64_t class_count() const { return int64_t(class_names.size()); }
  bool labelled() const;  ///< every sample has a label
  /// The samples at these positions, in this order. Throws InputError for a position outside.
  Dataset subset(const std::vector<int64_t>& positions) const;
};

/// Classes first .. last, both included, counted from 0.
struct ClassRange {
  int64_t first = 0, last = 0;
};

/// "21-42" or "7". Throws InputError for anything else.
ClassRange parse_class_range(const std::string& text);

struct DatasetOptions {
  /// Keep these, renumbered from 0 under their own names.
  std::optional<ClassRange> classes;
  /// Cut to the boxes that the data set states; not said: as is usual, GTSRB's region yes, a bird or a car no.
  std::optional<bool> crop;
  /// Which of FGVC-Aircraft's labels: variant (also if empty), family or manufacturer.
  std::string level;
  /// More than 0: this share of each class of `train` is kept out of it and is the split `validation`, whole groups
  /// (GTSRB's tracks) at a time.
  double validation = 0;
  double fraction = 1;      ///< but of `test` and `validation`, keep this share of each class, one picture at least; parts of a seed are nested
  uint64_t split_seed = 0;  ///< of both draws
};

/// Reads the list of `kind` under `root`: "cub", "cars", "aircraft", "gtsrb", "isic2017" in their official layouts,
/// "folder", "synthetic" (what `plumage synth` writes), or "list" (a text file of `path label` lines, or a folder of
/// them named train.txt, test.txt, ...). `split`: "train", "test", "all" or "validation" where there is one,
/// "trainval" of aircraft. Sorted by the tables' order, else by name: the same on every machine.
/// A release that lacks some of the pictures that it names is usable: they are in `absent`. Throws InputError naming
/// the folder, file or line: absent, empty, a split or class that is not there, all pictures absent, a picture absent
/// that a list names or that is named twice, a row that makes no sense, a label out of range.
Dataset open_dataset(const std::string& kind, const std::filesystem::path& root, const std::string& split,
                     const DatasetOptions& options = {});

/// The kinds that open_dataset knows.
std::vector<std::string> dataset_kinds();

/// Decodes a sample and cuts it to its box, scaled where the picture has another size than is stated; what a box's rounding puts beside the picture, up to 2 pixels, is cut off.
/// Throws InputError naming the file, also if the box leaves the picture by more.
Image load_sample(const Sample& sample);

}  // namespace plumage
