// plumage supervised: an encoder from labels, for bases and upper bounds.
#include <CLI/CLI.hpp>

#include "cli/build_method.h"
#include "cli/commands.h"
#include "cli/train_arguments.h"

namespace plumage {

namespace {

void run(const TrainArguments& arguments) {
  TrainingRun run = open_run(arguments, "supervised");
  const Dataset& dataset = run.cache->dataset();
  if (!dataset.labelled() || dataset.class_count() < 2)
    throw InputError(message(run.config.data.dir, ": supervised training needs labels of at least 2 classes, found ", dataset.class_count()));
  auto method = build_supervised(run.config, dataset.class_count(), run.device);
  if (!arguments.weights.file.empty()) load_weights(arguments.weights, *method, nullptr);
  Optimizers optimizers = build_optimizers(run.config, *method);
  if (run.checkpoint) restore_checkpoint(*run.checkpoint, run.folder.checkpoint().string(), *method, optimizers);
  Phase phase{"supervised", "supervised", run.config.train.epochs, method.get(), &optimizers, false, single_views(run.config)};
  close_run(run, "supervised", run_phase(run.config, *run.cache, phase, run.state, &run.folder, run.limits));
}

}  // namespace

void add_supervised(CLI::App& program) {
  auto* command = program.add_subcommand("supervised", "train an encoder with labels");
  command->footer("Example: plumage supervised --config configs/base.toml --data gtsrb --dataset gtsrb --classes 0-20 --out runs/base");
  auto arguments = std::make_shared<TrainArguments>();
  arguments->add_to(*command);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace plumage
