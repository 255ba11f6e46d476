// Synthetic fine-grained birds: the class is in small marks, and everything large (pose, colours, background,
// light) is nuisance, drawn independently of the class. Every factor is known and can be drawn anew alone,
// and masks of bird and marks come with each picture, so what a method claims to learn can be measured. Next
// in the walk: data/synthetic_set.h, which makes whole sets of them.
#pragma once
#include <array>
#include <string>

#include "data/image.h"
#include "data/species.h"

namespace plumage {

struct Range {
  double low = 0, high = 0;
};

/// The dials: how large and how varied each nuisance is. Lengths are in half widths of the picture.
struct SyntheticWorld {
  double mark_scale = 1.8;                                 ///< size of the marks
  Range scale{0.95, 1.15};                                 ///< size of the bird
  double angle = 0.4;                                      ///< radians, -x .. x
  double shift = 0.15;                                     ///< of the bird from the middle, -x .. x each way
  Range body_value{0.5, 0.6}, body_saturation{0.35, 0.5};  ///< any hue
  double wing = 0.7;                                       ///< brightness of the wing by that of the body
  bool textures = false;               ///< clouds, stripes or blotches of two colours, or one flat colour
  double contrast = 0.6;               ///< between the two colours
  Range background_value{0.45, 0.65};  ///< any hue
  int branches = 0;                    ///< at most, behind the bird
  double light = 0;                    ///< how much darker the far side of the picture may be
  Range gain{1, 1};                    ///< brightness of the whole picture
  Range noise{0.02, 0.02};             ///< standard deviation of the sensor's noise

  /// Few nuisances: a small network learns it with labels in half a minute.
  static SyntheticWorld simple() { return {}; }
  /// All nuisances: pixels, colours and histograms alone are at chance.
  static SyntheticWorld strict();
  /// "simple" or "strict"; InputError for anything else.
  static SyntheticWorld named(const std::string& name);
};

enum class Backdrop { flat, clouds, stripes, blotches };

using Rgb = std::array<float, 3>;

/// Hue in turns of the colour circle; all in [0, 1].
Rgb from_hsv(double hue, double saturation, double value);

struct Branch {
  double angle = 0;      ///< radians
  double offset = 0;     ///< of the second one below the middle; the first is under the bird's feet
  double thickness = 0;  ///< half of it
  Rgb colour{};
};

/// Everything that is drawn for one picture.
struct BirdFactors {
  Species species;
  double angle = 0, scale = 1, x = 0, y = 0;
  bool mirror = false;  ///< facing left
  double body_hue = 0, body_saturation = 0, body_value = 0.5, wing = 0.7;
  double mark_scale = 1;
  bool light_marks = true;  ///< or dark ones
  Backdrop backdrop = Backdrop::flat;
  Rgb background{}, background_second{};
  double texture_frequency = 0, texture_angle = 0;
  uint64_t texture_seed = 0;
  int branches = 0;
  std::array<Branch, 2> branch;
  double light = 0, light_angle = 0, gain = 1, noise = 0;
  uint64_t noise_seed = 0;
};

/// What can be drawn alone, to ask what a feature depends on.
enum class Factor {
  angle,
  scale,
  position,
  mirror,
  body_colour,
  mark_tone,
  background,
  branches,
  light,
  gain,
  noise
};
constexpr int kFactors = 11;
const char* name(Factor factor);

/// The factors of picture `index`. The nuisances do not look at the species: the same index with another
/// species is the same picture with other marks.
BirdFactors draw_factors(const SyntheticWorld& world, const Species& species, uint64_t seed, uint64_t index);

/// Draws one factor anew, as picture `index` has it.
void redraw(BirdFactors& factors, Factor factor, const SyntheticWorld& world, uint64_t seed, uint64_t index);

struct Rendered {
  Image image;  ///< px x px
  std::vector<uint8_t> object,
      marks;  ///< [px, px]: coverage by the bird and by what of its marks is seen, 0 .. 255
};

/// InputError unless 8 <= px <= 1024.
Rendered render(const BirdFactors& factors, int64_t px);

}  // namespace plumage
