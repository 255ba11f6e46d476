// Decoder pre-training as a phase of its own: in `pretrain-decoder`, and before the method in `pretrain`.
#pragma once
#include "cli/build_method.h"
#include "cli/train_arguments.h"

namespace plumage {

/// Trains a decoder for `encoder`, frozen, over config.decoder.pretrain_epochs, from run.state on; run.checkpoint, if
/// it stands in this phase, is restored first. The result is in `method.decoder()`.
struct DecoderPhase {
  DecoderPhase(const Config& config, ResNet& encoder);
  Ended run(TrainingRun& run);
  std::unique_ptr<DecoderPretraining> method;
  Optimizers optimizers;
};

}  // namespace plumage
