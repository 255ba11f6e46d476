#include "cli/load_encoder.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <sstream>

#include "cli/build_method.h"
#include "cli/checkpoint.h"
#include "nn/weights/state.h"

namespace plumage {

void WeightsArguments::add_to(CLI::App& command, bool required) {
  auto* option = command.add_option(
      "--weights", file,
      "encoder: a plumage checkpoint, safetensors, or PyTorch's .pth, .pt, .th, .tar; untrained:resnet18:32");
  if (required) option->required();
  add_reading_options(command);
}

void WeightsArguments::add_reading_options(CLI::App& command) {
  command.add_option("--prefix", prefix,
                     "what stands before the encoder's names in the file; default: found");
  command.add_option("--arch", arch, "resnet18, resnet34 or resnet50; default: read off the file's shapes")
      ->check(CLI::IsMember({"resnet18", "resnet34", "resnet50"}));
  command.add_option("--width", width, "channels of the encoder's first stage; default: read off")
      ->check(CLI::Range(1, 4096));
  command.add_option("--stem", stem, "imagenet (7x7, pooling) or small (3x3); default: read off")
      ->check(CLI::IsMember({"imagenet", "small"}));
  command.add_option("--allow-missing", allow_missing, "names, with *, that the file need not have; once for each")
      ->allow_extra_args(false);
  command
      .add_option("--allow-unexpected", allow_unexpected,
                  "names, with *, in the file that are not the encoder's; once for each")
      ->allow_extra_args(false);
}

namespace {

LoadedEncoder untrained(const std::string& text, Device device) {
  std::istringstream words(text.substr(text.find(':') + 1));
  ResNetOptions options;
  std::string arch, width, stem, seed;
  std::getline(words, arch, ':');
  std::getline(words, width, ':');
  std::getline(words, stem, ':');
  std::getline(words, seed, ':');
  auto number = [&](const std::string& word, int64_t otherwise) {
    if (word.empty()) return otherwise;
    if (word.size() > 9 || word.find_first_not_of("0123456789") != std::string::npos)
      throw InputError("--weights " + text +
                       ": wanted untrained:ARCH:WIDTH:STEM:SEED with numbers for WIDTH and SEED");
    return int64_t(std::stoll(word));
  };
  options.arch = arch;
  options.width = number(width, 64);
  if (!stem.empty() && stem != "imagenet" && stem != "small")
    throw InputError("--weights " + text + ": the stem is imagenet or small");
  options.stem = stem == "small" ? Stem::small : Stem::imagenet;
  Init init{.seed = uint64_t(number(seed, 0)), .device = device};
  return {options, std::make_unique<ResNet>(options, init)};
}

}  // namespace

LoadedEncoder load_encoder(const WeightsArguments& weights, Device device) {
  if (weights.file.rfind("untrained:", 0) == 0) return untrained(weights.file, device);
  WeightsFile file{weights.file};
  EncoderInFile found = find_encoder(file.index(), file.name(), weights.prefix);
  ResNetOptions options = found.options;
  if (!weights.arch.empty()) options.arch = weights.arch;
  if (weights.width > 0) options.width = weights.width;
  if (!weights.stem.empty()) options.stem = weights.stem == "small" ? Stem::small : Stem::imagenet;
  Init init{.device = device};
  LoadedEncoder loaded{options, std::make_unique<ResNet>(options, init)};
  LoadOptions loading{.allow_missing = weights.allow_missing, .allow_unexpected = weights.allow_unexpected};
  LoadReport report = load_encoder_state(*loaded.encoder, file, found, loading);
  std::cerr << "weights: " << describe(file, found, report) << '\n';
  return loaded;
}

LoadedDecoder load_decoder(const std::string& name, Device device) {
  InputFile input{std::filesystem::path(name)};
  if (index_weights(input).container != "safetensors")
    throw InputError(name + ": holds no decoder; only plumage's checkpoints do");
  TensorFile content = read_safetensors(name);
  auto first = content.tensors.lower_bound("decoder.");
  if (first == content.tensors.end() || first->first.rfind("decoder.", 0) != 0)
    throw InputError(name + ": holds no decoder");
  Config config = read_checkpoint_config(content, name);
  config.encoder = find_encoder(index_weights(input), name, "encoder").options;
  Init init;
  auto decoder = build_decoder(config, ResNet(config.encoder, init).feature_count(), device);
  load_state(*decoder, content.tensors, {.prefix = "decoder.", .file_name = name});
  return {std::move(decoder), config.train.size};
}

}  // namespace plumage
