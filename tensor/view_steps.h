// The arithmetic of a view, pixel by pixel: what data/recolour.cpp and data/resize.cpp do on the CPU and the kernels of
// tensor/backend/cuda/kernels/views.cu on a device. Next: tensor/picture_views.h.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "tensor/host_device.h"

namespace plumage::views {

// --- colours in [0, 1], as torchvision's adjust_* functions on float tensors

PLUMAGE_HOST_DEVICE inline float unit(float x) { return std::min(std::max(x, 0.0f), 1.0f); }
PLUMAGE_HOST_DEVICE inline float luminance(float r, float g, float b) { return 0.2989f * r + 0.587f * g + 0.114f * b; }

/// factor * colour + (1 - factor) * (the pixel's luminance), cut to [0, 1].
PLUMAGE_HOST_DEVICE inline void blend_luminance(float& r, float& g, float& b, float factor) {
  float rest = (1 - factor) * luminance(r, g, b);
  r = unit(factor * r + rest);
  g = unit(factor * g + rest);
  b = unit(factor * b + rest);
}

/// HSV's ramp: how much of the chroma is missing from the channel that peaks `sixths` after red's start.
PLUMAGE_HOST_DEVICE inline float ramp(float sixths) {
  float k = sixths - 6 * std::floor(sixths * (1 / 6.0f));
  return unit(std::min(k, 4 - k));
}

/// By `turn` of the colour circle.
PLUMAGE_HOST_DEVICE inline void turn_hue(float& r, float& g, float& b, float turn) {
  float top = std::max(r, std::max(g, b)), chroma = top - std::min(r, std::min(g, b));
  float inverse = 1 / (chroma == 0 ? 1 : chroma);
  float hue_r = (g - b) * inverse, hue_g = 2 + (b - r) * inverse, hue_b = 4 + (r - g) * inverse;
  float sixths = (top == r ? hue_r : top == g ? hue_g : hue_b) + 6 * turn;
  r = top - chroma * ramp(sixths + 5);
  g = top - chroma * ramp(sixths + 3);
  b = top - chroma * ramp(sixths + 1);
}

/// Which of the 4096 levels of the normal distribution value j (0..7) of a run of the generator is: 12 bits each.
PLUMAGE_HOST_DEVICE inline uint32_t normal_level(const std::array<uint32_t, 4>& words, int64_t j) {
  return words[size_t(j / 2)] >> (j % 2 ? 4 : 20) & 4095u;
}

// --- places

/// Index mirrored into 0 .. n-1, the edge itself not repeated.
PLUMAGE_HOST_DEVICE inline int64_t mirror(int64_t i, int64_t n) {
  if (n == 1) return 0;
  int64_t period = 2 * (n - 1);
  i = ((i % period) + period) % period;
  return std::min(i, period - i);
}

/// Coordinate mirrored into [-0.5, n - 0.5], the edge pixel's outer side.
PLUMAGE_HOST_DEVICE inline float mirror_coordinate(float x, int64_t n) {
  float period = 2 * float(n), from_edge = x + 0.5f;
  from_edge -= period * std::floor(from_edge / period);
  return std::min(from_edge, period - from_edge) - 0.5f;
}

// --- antialiased bilinear resize, in Pillow's arithmetic

/// Fraction bits of a weight: 8 bits of pixel and 2 of headroom remain in int32.
inline constexpr int kPrecision = 22;

/// A resize along one dimension of source pixels 0 .. size-1: output i is centred on low + (begin + i + 0.5) * scale.
struct Axis {
  int64_t size = 1, begin = 0;
  double low = 0, scale = 1;
  bool operator==(const Axis&) const = default;

  PLUMAGE_HOST_DEVICE double stretch() const { return std::max(scale, 1.0); }
  /// The most source pixels that an output has.
  PLUMAGE_HOST_DEVICE int64_t taps() const { return std::min(int64_t(std::ceil(stretch())) * 2 + 1, size); }
};

/// The source pixels first .. first+count-1 of one output.
struct Taps {
  int64_t first, count;
  double centre, shrink;

  PLUMAGE_HOST_DEVICE Taps(const Axis& axis, int64_t i) {
    double stretch = axis.stretch();
    shrink = 1 / stretch;
    centre = axis.low + (double(axis.begin + i) + 0.5) * axis.scale;
    first = within(int64_t(centre - stretch + 0.5), 0, axis.size - 1);
    count = std::min(within(int64_t(centre + stretch + 0.5), first + 1, axis.size) - first, axis.taps());
  }
  /// Not yet divided by the sum over all taps.
  PLUMAGE_HOST_DEVICE double weight(int64_t t) const {
    return std::max(0.0, 1 - std::abs((double(first + t) - centre + 0.5) * shrink));
  }
  PLUMAGE_HOST_DEVICE static int32_t fixed(double weight, double sum) {
    return int32_t(0.5 + weight / sum * (1 << kPrecision));
  }

 private:
  PLUMAGE_HOST_DEVICE static int64_t within(int64_t x, int64_t low, int64_t high) {
    return std::min(std::max(x, low), high);
  }
};

}  // namespace plumage::views
