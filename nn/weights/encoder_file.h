// The encoder in somebody's file: which of its names are a ResNet's, under whatever a training program put
// before them. Next: nn/weights/state.h, which fills the network.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "nn/resnet.h"
#include "nn/weights/state.h"
#include "nn/weights/weights_file.h"

namespace plumage {

struct EncoderInFile {
  std::string prefix;                                  ///< "module.encoder_q."; "" where the names are bare
  std::map<std::string, const StoredTensor*> tensors;  ///< under torchvision's names
  std::vector<std::string> passed_over;                ///< other networks, heads' queues, optimiser states
  ResNetOptions options;                               ///< read off names and shapes; classes is 0
};

/// Finds the one ResNet under `prefix`, or, if that is "", under any: `module.`, `encoder_q.`, `backbone.`,
/// `model.` and the like in any combination, also as lightly's numbered nn.Sequential. Of several, a
/// momentum, target, key or student copy gives way. Throws InputError naming the file if there is none, or
/// more than one that could be meant.
EncoderInFile find_encoder(const WeightsIndex& index, const std::string& file,
                           const std::string& prefix = "");

/// Fills `encoder` from the file, strictly: everything that it wants must be there, and nothing else may
/// stand under the prefix but heads (`fc`, projectors, predictors, prototypes), queues and counts of batches.
/// Throws InputError with counts and the first few names; also for a number that is not finite.
LoadReport load_encoder_state(Module& encoder, const WeightsFile& file, const EncoderInFile& found,
                              LoadOptions options = {});

/// "FILE: zip, 100 matched under module.encoder_q., 0 missing, ..": what was done, for the log.
std::string describe(const WeightsFile& file, const EncoderInFile& found, const LoadReport& report);

}  // namespace plumage
