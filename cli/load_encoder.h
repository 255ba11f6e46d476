// An encoder from a file, its architecture read off the names and shapes in it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "nn/decoder.h"
#include "nn/resnet.h"
#include "nn/weights/encoder_file.h"

namespace CLI {
class App;
}

namespace plumage {

/// --weights and how to read it; every command that takes an encoder has these.
struct WeightsArguments {
  std::string file, prefix, arch, stem;
  int64_t width = 0;
  std::vector<std::string> allow_missing, allow_unexpected;

  void add_to(CLI::App& command, bool required);
  void add_reading_options(CLI::App& command);  ///< all but --weights itself
};

struct LoadedEncoder {
  ResNetOptions options;
  std::unique_ptr<ResNet> encoder;
};

/// FILE: a checkpoint of plumage, a safetensors file or one of PyTorch's, an encoder under whatever names
/// nn/weights/encoder_file.h finds. `untrained:ARCH[:WIDTH[:STEM[:SEED]]]` gives random weights, to compare
/// with. Says on standard error what was loaded. Throws InputError naming the file if it holds no ResNet-18,
/// 34 or 50, or does not fit.
LoadedEncoder load_encoder(const WeightsArguments& weights, Device device = {});

/// The decoder that a run's checkpoint holds beside its encoder, and the size of its pictures. Throws
/// InputError if the file has none.
struct LoadedDecoder {
  std::unique_ptr<Decoder> decoder;
  int64_t size = 0;  ///< pixels a side
};
LoadedDecoder load_decoder(const std::string& file, Device device = {});

}  // namespace plumage
