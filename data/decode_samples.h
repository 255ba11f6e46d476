// The threads that decode a data set's pictures, whoever keeps them.
#pragma once
#include <functional>
#include <string>

#include "data/dataset.h"

namespace plumage {

struct DecodeOptions {
  int64_t short_side = 0;  ///< pixels; larger pictures are reduced (antialiased) until their short side is this. 0: not
  int threads = 0;         ///< 0: one a core
  /// Called now and then from the calling thread; may be empty.
  std::function<void(int64_t done, int64_t total)> progress;
};

/// Calls `keep(i, image, problem)` for every sample, from several threads at once and in no order: `problem` is "" or
/// says why sample i cannot be read (`image` is then empty). Anything that `keep` throws, or that is not the picture's
/// fault, ends the work and is thrown here.
void decode_samples(const Dataset& dataset, const DecodeOptions& options,
                    const std::function<void(int64_t i, Image&& image, const std::string& problem)>& keep);

/// `wanted` if it is more than 0, else PLUMAGE_THREADS, else one a core.
int worker_threads(int wanted);

}  // namespace plumage
