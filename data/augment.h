// The views that contrastive learning compares: MoCo v2's random crops and colours, and the plain view. What
// a view looks like is a function of (seed, epoch, image, view) alone, so any thread or device makes the same
// one. Next in the walk: data/loader.h, which fills batches with them.
#pragma once
#include <array>

#include "data/image.h"
#include "tensor/picture_views.h"

namespace plumage {

/// What is subtracted from and divided out of colours in [0, 1]; ImageNet's by default.
struct Normalization {
  std::array<float, 3> mean{0.485f, 0.456f, 0.406f}, std{0.229f, 0.224f, 0.225f};
};

/// How likely and how strong each step is. The defaults are MoCo v2's; 0 switches a step off.
struct AugmentOptions {
  double min_scale = 0.2, max_scale = 1;            ///< share of the picture's area that the crop keeps
  double min_ratio = 3.0 / 4, max_ratio = 4.0 / 3;  ///< its width by its height
  double flip = 0.5;                                ///< chance of mirroring left and right
  double jitter = 0.8;                              ///< chance of the next four, in random order
  double brightness = 0.4, contrast = 0.4, saturation = 0.4;  ///< factors drawn from 1 - x .. 1 + x
  double hue = 0.1;                       ///< turn of the colour circle, -x .. x, at most 0.5
  double grayscale = 0.2;                 ///< chance
  double blur = 0.5;                      ///< chance
  double min_sigma = 0.1, max_sigma = 2;  ///< of the blur, pixels of the view
  double rotation = 0;                    ///< radians, -x .. x
  double noise = 0;                       ///< standard deviation of Gaussian noise, colours in [0, 1]
};

/// For pictures of few pixels whose class is in small marks: milder crops, any hue, slight turns, no blur.
AugmentOptions small_picture_options();

/// InputError naming the option that is out of range.
void check(const AugmentOptions& options);

/// One view's numbers. The default leaves everything but the crop (which must be set) as it is.
struct AugmentParameters {
  int64_t left = 0, top = 0, width = 0, height = 0;  ///< the crop, source pixels
  bool flip = false;
  float rotation = 0;  ///< radians, counter-clockwise
  bool jitter = false;
  std::array<ColourStep, 4> order{ColourStep::brightness, ColourStep::contrast, ColourStep::saturation,
                                  ColourStep::hue};
  float brightness = 1, contrast = 1, saturation = 1, hue = 0;
  bool grayscale = false;
  float sigma = 0;  ///< of the blur; 0: none
  float noise = 0;  ///< standard deviation; 0: none
  uint64_t noise_seed = 0;
};

/// Which view: the same four numbers give the same parameters everywhere. 0 <= view < 16.
struct ViewKey {
  uint64_t seed = 0, epoch = 0, index = 0, view = 0;
};

/// The parameters of one view of a picture of width x height pixels (crop as torchvision's
/// RandomResizedCrop).
AugmentParameters draw(const AugmentOptions& options, const ViewKey& key, int64_t width, int64_t height);

/// out: [size, size, 3], normalised. Crop and resize, flip, rotation, jitter, grayscale, blur, noise,
/// normalise: 8 bits up to the resize, floats after it, colours as torchvision's on tensors.
void apply(const Image& image, const AugmentParameters& parameters, int64_t size, float* out,
           const Normalization& normalization = {});

/// out: [size, size, 3], normalised: the short side to `resize_to` (default: size), then the centre.
void plain_view(const Image& image, int64_t size, float* out, const Normalization& normalization = {},
                int64_t resize_to = 0);

/// The same two views for a device that makes them (tensor/picture_views.h), of a picture of width x height pixels whose
/// bytes begin at 0.
ViewSlot view_slot(const AugmentParameters& parameters, int64_t width, int64_t height, int64_t size);
ViewSlot plain_slot(int64_t width, int64_t height, int64_t size, int64_t resize_to = 0);

/// The usual short side for a centre crop of `size`: 256 for 224, in proportion for others.
inline int64_t usual_short_side(int64_t size) { return size * 256 / 224; }

}  // namespace plumage
