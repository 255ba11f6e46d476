// Decoder pre-training as a phase of its own: in `pretrain-decoder`, and before the method in `pretrain`.
#pragma once
#include "cli/build_method.h"
#include "cli/train_arguments.h"

namespace plumage {

/// Trains a decoder for a copy of `encoder` over config.decoder.pretrain_epochs, from run.state on; run.checkpoint, if it
/// stands in this phase, is restored first. The results are `method->decoder()` and, as decoder.pretrain_encoder says,
/// the same encoder or one that learned along: `method->encoder()`.
struct DecoderPhase {
  DecoderPhase(const Config& config, ResNet& encoder);
  Ended run(TrainingRun& run);
  std::unique_ptr<DecoderPretraining> method;
  Optimizers optimizers;
};

}  // namespace plumage
