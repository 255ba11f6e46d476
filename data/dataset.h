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
};

struct Dataset {
  std::string name;  ///< its kind and split, for people: "gtsrb train"
  std::filesystem::path root;
  std::vector<std::string> class_names;
  std::vector<Sample> samples;

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
  /// Cut to the boxes that the data set states; not said: as is usual, GTSRB's region yes, CUB's bird no.
  std::optional<bool> crop;
};

/// Reads the list of `kind` under `root`: "folder", "synthetic" (what `plumage synth` writes), "gtsrb",
/// "cub", "isic" or "list" (a text file of `path label` lines). `split`: "train", "test" or "all". The order
/// is sorted by name, the same on every machine. Throws InputError naming the folder, file or line: absent,
/// empty, a split or class that is not there, a picture that is named but absent, a label out of range.
Dataset open_dataset(const std::string& kind, const std::filesystem::path& root, const std::string& split,
                     const DatasetOptions& options = {});

/// The kinds that open_dataset knows.
std::vector<std::string> dataset_kinds();

/// Decodes a sample and cuts it to its box. Throws InputError naming the file, also if the box leaves the
/// picture.
Image load_sample(const Sample& sample);

}  // namespace plumage
