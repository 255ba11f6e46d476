// Options that all training commands share.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/checkpoint.h"
#include "cli/device.h"
#include "cli/load_encoder.h"
#include "cli/run_folder.h"
#include "cli/training.h"
#include "data/cache.h"

namespace CLI {
class App;
}

namespace plumage {

struct TrainArguments {
  WeightsArguments weights;
  DeviceArguments where;
  std::string config, data, dataset, split, classes, out, resume, dump_step;
  std::vector<std::string> set;
  int64_t steps = -1;
  int threads = 0;
  bool no_graph = false;

  void add_to(CLI::App& command);
};

/// A run about to start or to go on.
struct TrainingRun {
  Config config;
  RunFolder folder;
  RunState state;
  std::unique_ptr<ImageCache> cache;
  std::unique_ptr<TensorFile> checkpoint;  ///< when resumed
  Limits limits;
  Device device;  ///< where it computes; not part of the run, which may go on elsewhere
};

/// Reads the configuration, or the checkpoint to resume, makes or opens the run folder, decodes the data.
TrainingRun open_run(const TrainArguments& arguments, const std::string& command);
/// Decodes the data set that config names; tells the log what was left out.
std::unique_ptr<ImageCache> open_cache(const Config& config, const RunFolder* folder);
/// Saves nothing more: says how the run ended and throws ExitWith after a signal.
void close_run(const TrainingRun& run, const std::string& command, Ended ended);

/// Fills the method's encoder (and decoder, if the file has one and `decoder` is given) from a weights file. Returns
/// whether the decoder was filled. MoCo's key encoder follows.
bool load_weights(const WeightsArguments& weights, Method& method, Decoder* decoder);

}  // namespace plumage
