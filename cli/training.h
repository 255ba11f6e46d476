// The loop of every training command: batch, step, log, save. Next in the walk: ssl/train_step.h.
#pragma once
#include <memory>
#include <optional>

#include "cli/checkpoint.h"
#include "cli/run_folder.h"
#include "data/cache.h"
#include "data/loader.h"

namespace plumage {

/// What is known of a step when it is logged; the same numbers go to metrics.jsonl.
struct LoggedStep {
  std::string phase;
  int64_t step = 0;
  double seconds = 0;  ///< since the phase began in this call
  std::vector<std::pair<std::string, double>> values;  ///< "loss", "L_C", ..., by name
};

/// What one call of a command may do.
struct Limits {
  int64_t steps = -1;                              ///< optimiser steps of the method in this call; -1: to the end
  bool graph = true;                               ///< on a GPU steps are recorded and replayed
  std::optional<std::filesystem::path> dump_step;  ///< write every named quantity of the first step there
  std::function<void(const LoggedStep&)> on_log;   ///< told of every logged step, may be empty
  std::function<void(const Step&)> on_sample;      ///< given a step now and then, to draw its pairs; may be empty
};

/// One phase of a run: a method over a number of epochs.
struct Phase {
  std::string name;        ///< "decoder", "method" or "supervised"
  std::string title;       ///< for the progress line
  int64_t epochs = 0;
  Method* method = nullptr;
  Optimizers* optimizers = nullptr;
  bool decoder_only = false;  ///< the logged rate is the decoder's
  std::vector<View> views;  ///< in the order x', x'', x; only as many as the method looks at
};

/// The plans of views. "x1", "x2" are augmented, "x" is plain.
std::vector<View> pair_views(const Config& config);        ///< x', x''
std::vector<View> clean_and_pair_views(const Config& config);  ///< x', x'', x
std::vector<View> clean_views(const Config& config);       ///< x
std::vector<View> single_views(const Config& config);      ///< x'

enum class Ended { finished, step_limit, signal };

/// Runs the phase from `state` on, which is kept up to date; saves into the folder (nullptr: nothing is written).
/// Throws what loader, method and folder throw; the last checkpoint then stands.
Ended run_phase(const Config& config, const ImageCache& cache, const Phase& phase, RunState& state, const RunFolder* folder,
                const Limits& limits);

}  // namespace plumage
