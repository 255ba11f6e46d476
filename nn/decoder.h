// The decoder h: an image from a feature vector. Next: ssl/loss.h.
#pragma once
#include <memory>

#include "nn/resnet.h"

namespace plumage {

struct DecoderOptions {
  std::string arch = "light";   ///< "resnet": the encoder mirrored; "residual", "light": a few x2 stages
  int64_t latent = 512;         ///< width of the bottleneck behind v ("resnet"); 0: none
  std::vector<int64_t> widths;  ///< channels after each x2 stage; empty: chosen from the encoder ("resnet": its own)
};

class Decoder : public Module {
 public:
  /// x_hat [N, px, px, 3] in normalised colours, no output activation. v: [N, features]
  virtual Var forward(const Var& v, const Pass& pass) const = 0;
};

/// A decoder for images of px pixels from `features` numbers, mirroring `encoder` if arch is "resnet".
/// All begin with a linear layer to a small map and end with a 3x3 convolution to 3 channels, with bias. Between:
///   "light": stages of upsample x2, 3x3, norm, ReLU;
///   "residual": one basic residual block a stage, whose first 3x3 sees the upsampled map;
///   "resnet": the encoder's blocks in reverse, first a linear layer to `latent`.
/// Throws InputError for an unknown arch or where px is not a multiple of what the stages upsample.
std::unique_ptr<Decoder> make_decoder(const DecoderOptions& options, const ResNetOptions& encoder, int64_t features,
                                      int64_t px, Init& init);

}  // namespace plumage
