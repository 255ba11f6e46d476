#include "cli/train_arguments.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>

#include "cli/commands.h"
#include "cli/dataset_report.h"
#include "cli/progress.h"
#include "cli/stop_signal.h"
#include "data/packed_file.h"
#include "tensor/context.h"
#include "tensor/env.h"

namespace plumage {

void TrainArguments::add_to(CLI::App& command) {
  command.add_option("--config", config, "TOML file; see configs/");
  command.add_option("--set", set, "key=value, after the file; keys: plumage info --keys")->allow_extra_args(false);
  command.add_option("--data", data, "folder of the data set (data.dir)");
  command.add_option("--dataset", dataset, "its kind: cub, cars, aircraft, gtsrb, isic2017, folder, list or synthetic (data.dataset)");
  command.add_option("--split", split, "part to learn from: train, validation, test or all (data.split)");
  command.add_option("--classes", classes, "classes to keep, as 0-20 (data.classes)");
  weights.add_to(command, false);
  command.add_option("--out", out, "folder of the run");
  command.add_option("--resume", resume, "continue the run in this folder");
  command.add_option("--steps", steps, "optimiser steps in this call, then save and stop")->check(CLI::NonNegativeNumber);
  command.add_option("--threads", threads, "of the kernels; default: one a core")->check(CLI::Range(1, 1024));
  where.add_to(command);
  command.add_flag("--no-graph", no_graph, "on a GPU: queue every op of every step anew instead of replaying a recorded step; the same numbers");
}

namespace {

Config configure(const TrainArguments& a) {
  Config config;
  if (!a.config.empty()) read_config(a.config, config);
  for (const std::string& assignment : a.set) set_config(assignment, config);
  if (!a.weights.arch.empty()) config.encoder.arch = a.weights.arch;
  if (a.weights.width > 0) config.encoder.width = a.weights.width;
  if (!a.weights.stem.empty()) config.encoder.stem = a.weights.stem == "small" ? Stem::small : Stem::imagenet;
  if (!a.data.empty()) config.data.dir = a.data;
  if (!a.dataset.empty()) config.data.dataset = a.dataset;
  if (!a.split.empty()) config.data.split = a.split;
  if (!a.classes.empty()) config.data.classes = a.classes;
  if (config.data.dir.empty()) throw InputError("no data: give --data DIR (or data.dir in the configuration)");
  return config;
}

// train.compute stays as it was asked for: auto may come to another type where the run is resumed.
Compute settle_compute(const TrainArguments& a, Config& config) {
  config.train.compute = compute_type(a.where, config.train.compute);
  Compute compute = choose_compute(a.where, config.train.compute);
  config.base.compute = compute.type;
  return compute;
}

}  // namespace

std::unique_ptr<ImageCache> open_cache(const Config& config, const RunFolder* folder) {
  DatasetOptions options;
  options.crop = config.data.crop;
  options.level = config.data.level;
  options.validation = config.data.validation;
  options.fraction = config.data.fraction;
  options.split_seed = config.data.split_seed;
  if (!config.data.classes.empty()) options.classes = parse_class_range(config.data.classes);
  Dataset dataset = open_dataset(config.data.dataset, config.data.dir, config.data.split, options);
  if (folder) {
    for (const std::string& line : dataset_report(config.data.dataset, config.data.dir, options, false)) folder->log(line);
  }
  CacheOptions caching;
  caching.short_side = config.data.short_side ? config.data.short_side : 2 * config.train.size;
  caching.memory_limit = int64_t(config.data.cache_gib * double(int64_t(1) << 30));
  caching.allow_corrupt = config.data.allow_corrupt;
  caching.threads = config.data.threads;
  caching.packed = config.data.cache;
  auto progress = std::make_shared<Progress>("decoding " + dataset.name, dataset.size());
  caching.progress = [progress](int64_t done, int64_t) { progress->update(done); };
  auto cache = std::make_unique<ImageCache>(dataset, caching);
  if (folder) {
    for (const std::string& line : cache->corrupt()) folder->log("warning: left out: " + line);
    folder->log(message(cache->dataset().name, ": ", cache->size(), " images, ", cache->dataset().class_count(), " classes, ",
                        cache->bytes() >> 20, " MiB decoded",
                        cache->packed() ? (cache->packed()->built() ? ", packed in " : ", found in ") + cache->packed()->path().string() : ""));
  }
  return cache;
}

TrainingRun open_run(const TrainArguments& a, const std::string& command) {
  if (a.threads > 0) Context::cpu().set_threads(a.threads);
  Limits limits;
  limits.steps = a.steps;
  limits.graph = !a.no_graph;
  if (!a.dump_step.empty()) limits.dump_step = a.dump_step;
  if (!a.resume.empty()) {
    if (!a.config.empty() || !a.set.empty() || !a.weights.file.empty() || !a.out.empty())
      throw InputError("--resume goes on with the run's own configuration: leave out --config, --set, --weights and --out");
    RunFolder folder = RunFolder::open(a.resume);
    std::string name = folder.checkpoint().string();
    auto file = std::make_unique<TensorFile>(read_safetensors(name));
    RunState state = read_run_state(*file, name);
    if (state.command != command)
      throw InputError(message(a.resume, ": a run of `plumage ", state.command, "`; continue it with that command"));
    Config config = read_checkpoint_config(*file, name);
    if (!a.data.empty()) config.data.dir = a.data;
    Compute compute = settle_compute(a, config);
    folder.cut_metrics(state.phase, state.step);
    watch_signals();
    folder.log("goes on " + compute.str());
    auto cache = open_cache(config, &folder);
    return {config, folder, state, std::move(cache), std::move(file), limits, compute.device};
  }
  if (a.out.empty()) throw InputError("no run folder: give --out DIR (or --resume DIR)");
  Config config = configure(a);
  Compute compute = settle_compute(a, config);
  RunFolder folder = RunFolder::create(a.out);
  watch_signals();
  folder.write("config.toml", "# begun " + compute.str() + "\n" + config_text(config));
  folder.log("computes " + compute.str());
  if (std::string env = environment_summary(); !env.empty()) folder.log("environment: " + env);
  auto cache = open_cache(config, &folder);
  return {config, folder, {command, command == "pretrain" ? "method" : command, 0, 0, 0}, std::move(cache), nullptr, limits, compute.device};
}

void close_run(const TrainingRun& run, const std::string& command, Ended ended) {
  std::string resume = "plumage " + command + " --resume " + run.folder.path().string();
  if (ended == Ended::finished) {
    run.folder.log(message("finished: ", run.folder.checkpoint().string()));
    return;
  }
  run.folder.log(message("saved at step ", run.state.step, "; continue with: ", resume));
  if (ended == Ended::signal) throw ExitWith{128 + stop_signal()};
}

bool load_weights(const WeightsArguments& weights, Method& method, Decoder* decoder) {
  WeightsFile file{weights.file};
  EncoderInFile found = find_encoder(file.index(), file.name(), weights.prefix);
  ResNet& encoder = method.encoder();
  LoadOptions options{.allow_missing = weights.allow_missing, .allow_unexpected = weights.allow_unexpected};
  if (encoder.options().classes > 0) options.allow_missing.push_back("fc.*");  // the labels may be others
  try {
    LoadReport report = load_encoder_state(encoder, file, found, options);
    std::cerr << "weights: " << describe(file, found, report) << '\n';
  } catch (const InputError& error) {
    const ResNetOptions &has = found.options, &wants = encoder.options();
    if (has.arch == wants.arch && has.width == wants.width && has.stem == wants.stem) throw;
    throw InputError(message(error.what(), "; the file seems to be for --arch ", has.arch, " --width ", has.width, " --stem ",
                             has.stem == Stem::small ? "small" : "imagenet"));
  }
  method.encoder_changed();
  if (!decoder) return false;
  std::map<std::string, Tensor> decoder_tensors;
  for (const StoredTensor& tensor : file.index().tensors)
    if (tensor.name.starts_with("decoder.")) decoder_tensors[tensor.name] = file.read(tensor);
  if (decoder_tensors.empty()) return false;
  load_state(*decoder, decoder_tensors, {.prefix = "decoder.", .file_name = file.name()});
  return true;
}

}  // namespace plumage
