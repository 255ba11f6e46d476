// plumage pretrain: the main job. Unlabelled pictures in, an encoder out. Next in the walk: cli/training.cpp.
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/decoder_phase.h"
#include "cli/run_report.h"

namespace plumage {

namespace {

Decoder* decoder_of(Method& method) {
  auto* pairs = dynamic_cast<DiscriminativePairs*>(&method);
  return pairs ? &pairs->decoder() : nullptr;
}

void run(const TrainArguments& arguments) {
  TrainingRun run = open_run(arguments, "pretrain");
  auto method = build_method(run.config, run.cache->size(), run.device);
  Decoder* decoder = decoder_of(*method);
  const std::string checkpoint = run.folder.checkpoint().string();
  bool has_decoder = false;
  if (run.checkpoint && run.state.phase == "decoder") load_weights({.file = checkpoint}, *method, nullptr);
  else if (!arguments.weights.file.empty()) has_decoder = load_weights(arguments.weights, *method, decoder);

  // Phase 1, where there is a decoder that nobody has trained yet.
  bool resumed_method = run.checkpoint && run.state.phase == "method";
  if (decoder && !has_decoder && !resumed_method && run.config.decoder.pretrain_epochs > 0) {
    DecoderPhase phase(run.config, method->encoder());
    Limits limits = std::exchange(run.limits, {});  // --steps counts the method's steps
    Ended ended = phase.run(run);
    if (ended != Ended::finished) return close_run(run, "pretrain", ended);
    copy_state(phase.method->decoder(), *decoder);
    copy_state(phase.method->encoder(), method->encoder());
    method->encoder_changed();
    run.limits = limits;
    run.state = {"pretrain", "method", 0, 0, 0};
  }

  // Phase 2, the method.
  Optimizers optimizers = build_optimizers(run.config, *method);
  if (resumed_method) restore_checkpoint(*run.checkpoint, checkpoint, *method, optimizers);
  run.checkpoint.reset();
  Phase phase{"method", run.config.method + (decoder ? " + pairs" : ""), run.config.train.epochs, method.get(), &optimizers, false,
              decoder ? clean_and_pair_views(run.config) : pair_views(run.config)};
  Ended ended = run_phase(run.config, *run.cache, phase, run.state, &run.folder, run.limits);
  write_run_report(run.folder.path());
  close_run(run, "pretrain", ended);
}

}  // namespace

void add_pretrain(CLI::App& program) {
  auto* command = program.add_subcommand("pretrain", "learn an encoder from unlabelled pictures");
  command->footer(
      "Example: plumage pretrain --config configs/moco-pairs.toml --data photos --dataset folder --out runs/birds\n"
      "         plumage pretrain --resume runs/birds");
  auto arguments = std::make_shared<TrainArguments>();
  arguments->add_to(*command);
  command->add_option("--dump-step", arguments->dump_step, "write every quantity of the first step to this safetensors file");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace plumage
