// What a frozen encoder makes of a set of pictures, with what is known of each: the input of every measure in
// eval. Next in the walk: eval/linear_probe.h.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "data/augment.h"
#include "data/cache.h"
#include "tensor/tensor.h"

namespace plumage {

class ResNet;

struct Features {
  Tensor v;                         ///< [N, n], f32 (f64 is taken too), on the CPU
  Tensor labels;                    ///< i64 [N]; -1: not known
  std::vector<std::string> paths;   ///< of the pictures; empty or N
  std::vector<std::string> groups;  ///< pictures of one thing (a track); empty or N
  Device device;                    ///< where their encoder was; searches among them compute there

  int64_t size() const { return v.defined() ? v.size(0) : 0; }
  int64_t label(int64_t i) const { return labels.data<int64_t>()[i]; }
  const std::string& group(int64_t i) const;  ///< "" if there are none
  /// What to call picture i in a message: its path, or its number.
  std::string name(int64_t i) const;
  /// One more than the largest label; 0 without labels.
  int64_t class_count() const;
};

/// The rows at these positions, in this order (label fractions, validation parts). Throws InputError outside
/// 0..N-1.
Features subset(const Features& features, const std::vector<int64_t>& positions);

/// Throws InputError naming `what` if there are no rows or a value is not finite (naming the picture),
/// ShapeError if v is not [N, n] or labels, paths or groups are not N.
void check_features(const Features& features, const char* what);

struct FeatureOptions {
  int64_t size = 224;      ///< pixels of the plain view's sides
  int64_t short_side = 0;  ///< of the picture before the centre crop; 0: size
  int64_t batch = 64;
  int threads = 0;  ///< that decode and resize; 0: one a core
  Normalization normalization;
  DType compute = DType::f32;
  std::function<void(int64_t done, int64_t total)> progress;  ///< after each batch; may be empty
};

/// v of every picture's plain view (short side resized, centre cropped), by running statistics, without
/// recording. Rows are in the cache's order. Throws InputError for options out of range or a size that the
/// encoder cannot take.
Features extract_features(const ResNet& encoder, const ImageCache& pictures,
                          const FeatureOptions& options = {});

/// The same of a list of files, decoded into a cache of the size that the view needs; unreadable pictures are
/// left out (InputError if more than 1 %).
Features extract_features(const ResNet& encoder, const Dataset& dataset, const FeatureOptions& options = {});

/// The same of pictures in memory; labels are -1 unless given.
Features extract_features(const ResNet& encoder, const std::vector<Image>& pictures,
                          const std::vector<int64_t>& labels = {}, const FeatureOptions& options = {});

}  // namespace plumage
