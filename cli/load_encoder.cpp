#include "cli/load_encoder.h"

#include <sstream>

#include "cli/build_method.h"
#include "cli/checkpoint.h"
#include "nn/weights/state.h"

namespace plumage {

namespace {

LoadedEncoder untrained(const std::string& text) {
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
      throw InputError("--weights " + text + ": wanted untrained:ARCH:WIDTH:STEM:SEED with numbers for WIDTH and SEED");
    return int64_t(std::stoll(word));
  };
  options.arch = arch;
  options.width = number(width, 64);
  if (!stem.empty() && stem != "imagenet" && stem != "small") throw InputError("--weights " + text + ": the stem is imagenet or small");
  options.stem = stem == "small" ? Stem::small : Stem::imagenet;
  Init init{uint64_t(number(seed, 0))};
  return {options, std::make_unique<ResNet>(options, init)};
}

bool has(const std::map<std::string, Tensor>& tensors, const std::string& name) { return tensors.count(name) > 0; }

}  // namespace

ResNetOptions recognise_resnet(const std::map<std::string, Tensor>& tensors, const std::string& prefix, const std::string& file) {
  auto stem = tensors.find(prefix + "conv1.weight");
  if (stem == tensors.end() || stem->second.rank() != 4 || !has(tensors, prefix + "layer4.0.conv1.weight"))
    throw InputError(file + ": holds no ResNet encoder (conv1.weight and layer4.0.conv1.weight, bare or under `encoder.`)");
  ResNetOptions options;
  options.width = stem->second.size(0);
  options.stem = stem->second.size(2) == 3 ? Stem::small : Stem::imagenet;
  if (has(tensors, prefix + "layer1.0.conv3.weight")) options.arch = "resnet50";
  else options.arch = has(tensors, prefix + "layer1.2.conv1.weight") ? "resnet34" : "resnet18";
  return options;
}

LoadedEncoder load_encoder(const std::string& file) {
  if (file.rfind("untrained:", 0) == 0) return untrained(file);
  TensorFile content = read_safetensors(file);
  std::string prefix = has(content.tensors, "encoder.conv1.weight") ? "encoder." : "";
  LoadedEncoder loaded{recognise_resnet(content.tensors, prefix, file), nullptr};
  Init init;
  loaded.encoder = std::make_unique<ResNet>(loaded.options, init);
  LoadOptions options{.prefix = prefix, .allow_unexpected = {"fc.*"}, .file_name = file};
  load_state(*loaded.encoder, content.tensors, options);
  return loaded;
}

LoadedDecoder load_decoder(const std::string& file) {
  TensorFile content = read_safetensors(file);
  auto first = content.tensors.lower_bound("decoder.");
  if (first == content.tensors.end() || first->first.rfind("decoder.", 0) != 0) throw InputError(file + ": holds no decoder");
  Config config = read_checkpoint_config(content, file);
  config.encoder = recognise_resnet(content.tensors, "encoder.", file);
  Init init;
  auto decoder = build_decoder(config, ResNet(config.encoder, init).feature_count());
  load_state(*decoder, content.tensors, {.prefix = "decoder.", .file_name = file});
  return {std::move(decoder), config.train.size};
}

}  // namespace plumage
