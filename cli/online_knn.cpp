#include "cli/online_knn.h"

#include "data/loader.h"
#include "eval/knn.h"

namespace plumage {

std::optional<double> online_knn(ResNet& encoder, const ImageCache& cache, const Config& config) {
  if (!cache.dataset().labelled()) return {};
  constexpr int64_t kMost = 2000;
  int64_t count = std::min(kMost, cache.size());
  std::vector<Image> pictures;
  std::vector<int64_t> labels;
  Image scratch;
  for (int64_t i = 0; i < count; ++i) {
    int64_t at = i * cache.size() / count;
    pictures.push_back(cache.get(at, scratch));
    labels.push_back(cache.dataset().samples[size_t(at)].label);
  }
  FeatureOptions options;
  options.size = config.train.size;
  options.compute = config.base.compute;
  options.short_side = usual_short_side(config.train.size);
  return 100 * knn_top1(extract_features(encoder, pictures, labels, options));
}

}  // namespace plumage
