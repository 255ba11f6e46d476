// The decoder h: an image from a feature vector. Next: ssl/loss.h.
#pragma once
#include <memory>

#include "nn/resnet.h"

namespace plumage {

struct DecoderOptions {
  std::string arch = "light";  ///< "resnet": the encoder mirrored; "light": a few upsample-convolution stages
  int64_t latent = 512;        ///< width of the bottleneck behind v ("resnet"); 0: none
  std::vector<int64_t> widths; ///< "light": channels after each x2 stage; empty: chosen from the encoder's width
};

class Decoder : public Module {
 public:
  /// x_hat [N, px, px, 3] in normalised colours, no output activation. v: [N, features]
  virtual Var forward(const Var& v, const Pass& pass) const = 0;
};

/// A decoder for images of px pixels from `features` numbers, mirroring `encoder` if arch is "resnet".
/// Throws InputError for an unknown arch or where px is not a multiple of what the stages upsample.
std::unique_ptr<Decoder> make_decoder(const DecoderOptions& options, const ResNetOptions& encoder, int64_t features,
                                      int64_t px, Init& init);

}  // namespace plumage
