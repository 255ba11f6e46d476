// A look at every picture of a data set: sizes, and what cannot be read.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace plumage {

struct SurveyedPicture {
  int64_t width = 0, height = 0;  ///< as decoded and cut to its box; 0 if it cannot be read
  std::string problem;            ///< what is wrong with which file, or ""
};

/// Decodes every sample by `threads` threads (0: one a core) and keeps nothing but this, in the samples' order.
/// MachineError if memory runs out.
std::vector<SurveyedPicture> survey_pictures(const Dataset& dataset, int threads = 0,
                                             const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace plumage
