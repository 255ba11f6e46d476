// The steps of an augmentation, each on three planes of floats: what data/augment.cpp runs after crop and
// resize.
#pragma once
#include <memory>

#include "data/augment.h"

namespace plumage {

/// A square or other small picture as three planes of colours in [0, 1].
class Planes {
 public:
  Planes(const Image& image, bool flip);
  Planes(int64_t width, int64_t height);  ///< all 0

  int64_t width() const { return width_; }
  int64_t height() const { return height_; }
  int64_t pixels() const { return width_ * height_; }
  float* plane(int c) { return values_.get() + c * pixels(); }
  const float* plane(int c) const { return values_.get() + c * pixels(); }
  /// out: [height, width, 3]
  void store(float* out, const Normalization& normalization) const;

 private:
  int64_t width_, height_;
  std::unique_ptr<float[]> values_;  // [3, height, width]; not a vector, which would clear it first
};

/// Counter-clockwise about the centre, bilinear; what comes from outside is mirrored at the edge.
void rotate(Planes& planes, float radians);

/// Jitter in the given order and grayscale, as torchvision's adjust_* functions on float tensors.
void recolour(Planes& planes, const AugmentParameters& parameters);

/// Gaussian, standard deviation `sigma` pixels, cut at 4 sigma; mirrored at the edge without repeating it.
void blur(Planes& planes, float sigma);

/// 4096 equally likely levels of the standard normal, scaled to variance one: 12 random bits make a number
/// without a logarithm.
const std::array<float, 4096>& normal_levels();

/// Gaussian noise of standard deviation `std`, each number by Philox from (seed, its position).
void add_noise(Planes& planes, float std, uint64_t seed);

}  // namespace plumage
