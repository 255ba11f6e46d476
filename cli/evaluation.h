// Options and features that linear, retrieve and knn share.
#pragma once
#include <optional>
#include <string>

#include "cli/device.h"
#include "cli/load_encoder.h"
#include "data/dataset.h"
#include "eval/features.h"

namespace CLI {
class App;
}

namespace plumage {

enum class Labels { needed, wanted };

struct EvaluationArguments {
  WeightsArguments weights;
  DeviceArguments where;
  std::string data, dataset = "folder", classes, split = "test", train_split = "train", level, cache;
  int64_t size = 224, short_side = 0, batch = 64;
  int threads = 0;
  std::string crop = "auto";
  bool json = false, allow_corrupt = false, reconstructed = false;

  void add_to(CLI::App& command);
  DatasetOptions dataset_options() const;
  /// Says on standard error where and in which type it computes, what a release's copy holds, and with `two_splits` if they
  /// share pictures.
  void report(bool two_splits) const;
  /// Features of a split by the encoder in `weights`. Throws InputError where labels are needed and missing.
  Features features(const std::string& split, Labels labels = Labels::needed) const;
};

/// Percent with all digits that a float has.
inline double percent(double share) { return 100 * share; }

}  // namespace plumage
