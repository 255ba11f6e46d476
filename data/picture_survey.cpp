#include "data/picture_survey.h"

#include "data/decode_samples.h"

namespace plumage {

std::vector<SurveyedPicture> survey_pictures(const Dataset& dataset, int threads,
                                             const std::function<void(int64_t done, int64_t total)>& progress) {
  std::vector<SurveyedPicture> pictures(dataset.samples.size());
  decode_samples(dataset, {.threads = threads, .progress = progress},
                 [&](int64_t i, Image&& image, const std::string& problem) {
                   pictures[size_t(i)] = {image.width, image.height, problem};
                 });
  return pictures;
}

}  // namespace plumage
