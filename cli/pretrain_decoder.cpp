// plumage pretrain-decoder: a decoder for a frozen encoder, to look at what its features keep or to start `pretrain` with.
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/decoder_phase.h"

namespace plumage {

namespace {

void run(const TrainArguments& arguments) {
  TrainingRun run = open_run(arguments, "pretrain-decoder");
  Init init{.seed = run.config.seed, .device = run.device};
  Supervised holder(run.config.encoder, {}, init);  // a plain encoder to load into
  if (!arguments.weights.file.empty()) load_weights(arguments.weights, holder, nullptr);
  DecoderPhase phase(run.config, holder.encoder());
  if (run.checkpoint) run.state.phase = "decoder";
  close_run(run, "pretrain-decoder", phase.run(run));
}

}  // namespace

void add_pretrain_decoder(CLI::App& program) {
  auto* command = program.add_subcommand("pretrain-decoder", "train a decoder for a frozen encoder");
  command->footer("Example: plumage pretrain-decoder --config configs/moco-pairs.toml --weights base.safetensors --data photos --out runs/decoder");
  auto arguments = std::make_shared<TrainArguments>();
  arguments->add_to(*command);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace plumage
