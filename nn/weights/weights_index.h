// What a file of weights holds, found and checked before any memory is taken for its numbers. The file's
// first bytes say which container it is; nothing here knows tensors, so that the parsers can be fuzzed alone.
// Next: nn/weights/weights_file.h.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "nn/weights/stored_tensor.h"

namespace plumage {

/// What a file holds, without its numbers.
struct WeightsIndex {
  std::string container;  ///< "safetensors", "zip" (PyTorch) or "legacy" (PyTorch before 1.6)
  std::string state;      ///< where in the file its state dictionary was: "state_dict"; "" at the top
  std::vector<StoredTensor>
      tensors;  ///< of the state dictionary, under their names in it, in the file's order
  std::vector<StoredTensor>
      others;  ///< the rest (optimiser, ..), under their path in the file: "optimizer.state.0.exp_avg"
  std::map<std::string, std::string> metadata;  ///< of a safetensors file
};

/// The readers of containers. Throw InputError naming the file for whatever is not in order.
WeightsIndex index_safetensors(const InputFile& file);
WeightsIndex index_pytorch_zip(const InputFile& file);
WeightsIndex index_pytorch_legacy(const InputFile& file);
/// Whichever of them the file's first bytes ask for. Also refuses tensors that together are far larger than
/// the file.
WeightsIndex index_weights(const InputFile& file);

}  // namespace plumage
