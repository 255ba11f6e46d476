// An encoder from a file, its architecture read off the names and shapes in it.
#pragma once
#include <memory>
#include <string>

#include "nn/decoder.h"
#include "nn/resnet.h"
#include "nn/weights/safetensors.h"

namespace plumage {

struct LoadedEncoder {
  ResNetOptions options;
  std::unique_ptr<ResNet> encoder;
};

/// FILE: a checkpoint of plumage or any safetensors file with torchvision's names, bare or under "encoder.".
/// `untrained:ARCH[:WIDTH[:STEM[:SEED]]]` gives random weights, to compare with. Throws InputError naming the file if it holds
/// no ResNet-18, 34 or 50.
LoadedEncoder load_encoder(const std::string& file);

/// The decoder that a run's checkpoint holds beside its encoder, and the size of its pictures. Throws InputError if the
/// file has none.
struct LoadedDecoder {
  std::unique_ptr<Decoder> decoder;
  int64_t size = 0;  ///< pixels a side
};
LoadedDecoder load_decoder(const std::string& file);

/// What architecture the tensors under `prefix` are of.
ResNetOptions recognise_resnet(const std::map<std::string, Tensor>& tensors, const std::string& prefix, const std::string& file);

}  // namespace plumage
