// A frozen encoder over a set of pictures. Next in the walk: eval/features.cpp.
#include <algorithm>
#include <cstring>
#include <exception>

#include "data/loader.h"
#include "eval/features.h"
#include "nn/resnet.h"
#include "tensor/context.h"

namespace plumage {
namespace {

void check_options(const FeatureOptions& options) {
  constexpr int64_t kMostPixels = 8192;
  if (options.size < 1 || options.size > kMostPixels) {
    throw InputError(message("features: size must be 1 to ", kMostPixels, " pixels, got ", options.size));
  }
  if (options.short_side != 0 && (options.short_side < options.size || options.short_side > kMostPixels)) {
    throw InputError(message("features: short_side must be 0 or ", options.size, " to ", kMostPixels,
                             ", got ", options.short_side));
  }
  if (options.batch < 1 || options.batch > 65536) {
    throw InputError(message("features: batch must be 1 to 65536, got ", options.batch));
  }
}

/// Rows of v, filled batch by batch.
class Extraction {
 public:
  Extraction(const ResNet& encoder, int64_t total, const FeatureOptions& options)
      : encoder_(encoder), options_(options), v_(Tensor::empty({total, encoder.feature_count()})) {}

  void add(const Tensor& view) {  // view: [B, size, size, 3]
    NoGrad no_grad;
    Pass pass = Pass::eval();
    pass.compute = options_.compute;
    pass.folded = &folded_;
    Tensor v = ops::cast(encoder_.features(Var(view.to(encoder_.device())), pass).value(), DType::f32);  // v: [B, n]
    v_.slice(done_, v.size(0)).copy_from(v);
    done_ += v.size(0);
    if (options_.progress) options_.progress(done_, v_.size(0));
  }
  /// Without labels and names.
  Features features() const {
    Features features;
    features.v = v_;
    features.device = encoder_.device();
    return features;
  }

 private:
  const ResNet& encoder_;
  const FeatureOptions& options_;
  FoldedNorms folded_;
  Tensor v_;
  int64_t done_ = 0;
};

/// Plain views of pictures first .. first+count-1, [count, size, size, 3].
Tensor plain_views(const std::vector<Image>& pictures, int64_t first, int64_t count,
                   const FeatureOptions& options) {
  Tensor view = Tensor::empty({count, options.size, options.size, 3});
  float* out = view.data<float>();
  std::exception_ptr failure;
#pragma omp parallel for num_threads(Context::cpu().threads())
  for (int64_t i = 0; i < count; ++i) {
    try {
      plain_view(pictures[size_t(first + i)], options.size, out + i * options.size * options.size * 3,
                 options.normalization, options.short_side);
    } catch (...) {  // an exception must not leave a parallel region
#pragma omp critical(plumage_plain_views)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  return view;
}

}  // namespace

Features extract_features(const ResNet& encoder, const ImageCache& pictures, const FeatureOptions& options) {
  check_options(options);
  View plain{"plain", options.size, options.size, [&](const Image& image, const ViewKey&, float* out) {
               plain_view(image, options.size, out, options.normalization, options.short_side);
             }};
  LoaderOptions loading;
  loading.batch = options.batch;
  loading.threads = options.threads;
  loading.evaluation = true;
  Loader loader(pictures, {plain}, loading);
  Extraction extraction(encoder, pictures.size(), options);
  while (loader.has_next()) extraction.add(loader.next().views[0]);

  Features features = extraction.features();
  std::vector<int64_t> labels;
  bool grouped = false;
  for (const Sample& sample : pictures.dataset().samples) {
    labels.push_back(sample.label);
    features.paths.push_back(sample.path.string());
    features.groups.push_back(sample.group);
    grouped |= !sample.group.empty();
  }
  if (!grouped) features.groups.clear();
  features.labels = Tensor::from(labels, {int64_t(labels.size())});
  return features;
}

Features extract_features(const ResNet& encoder, const Dataset& dataset, const FeatureOptions& options) {
  check_options(options);
  CacheOptions caching;
  caching.short_side = options.short_side ? options.short_side : options.size;
  caching.threads = options.threads;
  return extract_features(encoder, ImageCache(dataset, caching), options);
}

Features extract_features(const ResNet& encoder, const std::vector<Image>& pictures,
                          const std::vector<int64_t>& labels, const FeatureOptions& options) {
  check_options(options);
  int64_t total = int64_t(pictures.size());
  if (!labels.empty() && int64_t(labels.size()) != total) {
    throw ShapeError(message("features: ", labels.size(), " labels for ", total, " pictures"));
  }
  Extraction extraction(encoder, total, options);
  for (int64_t first = 0; first < total; first += options.batch) {
    extraction.add(plain_views(pictures, first, std::min(options.batch, total - first), options));
  }
  Features features = extraction.features();
  features.labels = labels.empty() ? Tensor::full({total}, -1, DType::i64) : Tensor::from(labels, {total});
  return features;
}

}  // namespace plumage
