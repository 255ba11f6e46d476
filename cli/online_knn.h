// How good is the encoder right now? Leave-one-out kNN on frozen features of the training pictures, where labels are known.
#pragma once
#include <optional>

#include "cli/config.h"
#include "data/cache.h"
#include "nn/resnet.h"

namespace plumage {

/// Top-1 in percent over at most 2,000 pictures, evenly taken; nothing without labels.
std::optional<double> online_knn(ResNet& encoder, const ImageCache& cache, const Config& config);

}  // namespace plumage
