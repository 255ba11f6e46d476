#include "cli/decoder_phase.h"

namespace plumage {

namespace {

std::unique_ptr<DecoderPretraining> build(const Config& config, ResNet& encoder) {
  Init init{.seed = config.seed, .device = encoder.device()};
  auto copy = std::make_unique<ResNet>(encoder.options(), init);
  copy_state(encoder, *copy);
  return std::make_unique<DecoderPretraining>(std::move(copy), build_decoder(config, encoder.feature_count(), encoder.device()),
                                              config.decoder.pretrain_frozen, config.base.compute);
}

}  // namespace

DecoderPhase::DecoderPhase(const Config& config, ResNet& encoder)
    : method(build(config, encoder)), optimizers(build_optimizers(config, *method)) {}

Ended DecoderPhase::run(TrainingRun& run) {
  if (run.checkpoint && run.state.phase == "decoder")
    restore_checkpoint(*run.checkpoint, run.folder.checkpoint().string(), *method, optimizers);
  else
    run.state = {run.state.command, "decoder", 0, 0, 0};
  Phase phase{"decoder", "decoder", run.config.decoder.pretrain_epochs, method.get(), &optimizers, true, clean_views(run.config)};
  return run_phase(run.config, *run.cache, phase, run.state, &run.folder, run.limits);
}

}  // namespace plumage
