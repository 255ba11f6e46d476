// What a data set's folder holds, against what its release had: the line that every command says of it.
#pragma once
#include <string>
#include <vector>

#include "data/dataset.h"

namespace plumage {

/// One split of a data set, under its name.
struct Split {
  std::string name;  ///< train, validation or test; "all" of a single list
  Dataset dataset;
};

/// Every split that is there. Throws InputError as open_dataset if there is none, or something is wrong with one.
/// With `options.validation` the part kept out of train is a split too.
std::vector<Split> open_splits(const std::string& kind, const std::filesystem::path& root,
                               const DatasetOptions& options = {});

/// True for kinds that have a release to be compared with.
bool has_release(const std::string& kind);

struct DatasetSummary {
  struct Count {
    std::string split;
    int64_t pictures = 0, absent = 0, released = 0;
    int64_t kept_out = 0;  ///< of train for a validation part that was drawn
  };
  std::string title;          ///< "CUB-200-2011"
  std::vector<Count> splits;  ///< those that are there, and those that only the release has
  int64_t classes = 0;        ///< that have pictures; 0: no labels
  int64_t released_classes = 0;
  bool labelled = false;  ///< every picture
  std::string first_absent, note;

  bool partial() const;  ///< less than the release
  /// "CUB-200-2011: 5994 train, 5794 test, 200 classes", and after a `;` what differs from the release.
  std::string line() const;
};

/// Counts the splits against the release's. Where `options` leave pictures out there is nothing to compare with, nor
/// with splits that are not among `splits`, unless these are `all` that are there.
DatasetSummary summarise(const std::string& kind, const std::vector<Split>& splits, const DatasetOptions& options = {}, bool all = true);

/// Picture `sample` of split `split`.
struct Place {
  size_t split = 0;
  int64_t sample = 0;
  bool operator==(const Place&) const = default;
};

/// Files with the same bytes, each group in order; groups in the order of their first file. Files that cannot be read
/// are passed over: decoding will name them.
std::vector<std::vector<Place>> find_duplicates(const std::vector<Split>& splits);

/// What is to be warned of: duplicates across splits, or in two classes of one. One line, or "" if there is nothing.
std::string duplicates_warning(const std::vector<Split>& splits, const std::vector<std::vector<Place>>& duplicates);

}  // namespace plumage
