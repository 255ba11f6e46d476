// Pictures of generated pairs in the run folder: original, reconstruction, perturbed, their difference.
#pragma once
#include "cli/run_folder.h"
#include "ssl/step.h"

namespace plumage {

/// samples/PHASE-STEP.png from the first images of a step; nothing where the step made no reconstructions.
void draw_samples(const RunFolder& folder, const std::string& phase, int64_t at, const Step& step);

}  // namespace plumage
