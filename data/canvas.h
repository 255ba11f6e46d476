// Paints shapes given as signed distances: what data/render_bird.cpp draws on. Shapes are painted one over
// the other, each in a loop over the pixels of its bounds that the compiler vectorises.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "data/synthetic.h"

namespace plumage {

/// What a shape covers its pixels with: a colour, and whether that is bird and whether it is a mark.
struct Ink {
  float r = 0, g = 0, b = 0;
  float object = 0, mark = 0;
  float fade = 0;  ///< darkening per unit of the shape's v: round bodies are lighter above
};

/// Where a shape's own coordinates lie on the picture: p = centre + scale * rotation(angle) * (+-u, v), in
/// half widths.
struct Frame {
  float x = 0, y = 0, scale = 1, angle = 0;
  bool mirror = false;
};

/// The part of a shape's coordinates that may be covered: a disc.
struct Disc {
  float u = 0, v = 0, radius = 0;
};

class Canvas {
 public:
  explicit Canvas(int64_t side) : side_(side), values_(size_t(5 * side * side)) {}

  int64_t side() const { return side_; }
  /// 0, 1, 2: colours; 3: covered by the bird; 4: by its marks. [side, side]
  float* plane(int p) { return values_.data() + p * side_ * side_; }

  /// Paints where distance(u, v) < 0, with edges one pixel soft. `distance` takes and gives floats in the
  /// frame's units, inside negative, and has no branches.
  template <class Distance>
  void fill(const Frame& frame, const Disc& bounds, const Ink& ink, Distance distance) {
    float half = float(side_) / 2, cosine = std::cos(frame.angle), sine = std::sin(frame.angle);
    float sign = frame.mirror ? -1.0f : 1.0f, pixels = frame.scale * half;  // of one unit
    float middle_x = half * (1 + frame.x) + pixels * (cosine * sign * bounds.u - sine * bounds.v);
    float middle_y = half * (1 + frame.y) + pixels * (sine * sign * bounds.u + cosine * bounds.v);
    float reach = bounds.radius * pixels + 1;
    auto clip = [&](float at) { return std::clamp(int64_t(at), int64_t(0), side_); };
    int64_t left = clip(middle_x - reach), right = clip(middle_x + reach + 1);
    for (int64_t y = clip(middle_y - reach), end = clip(middle_y + reach + 1); y < end; ++y) {
      float dy = (float(y) + 0.5f) / half - 1 - frame.y, inverse = 1 / frame.scale;
      float *r = plane(0) + y * side_, *g = plane(1) + y * side_, *b = plane(2) + y * side_;
      float *object = plane(3) + y * side_, *mark = plane(4) + y * side_;
#pragma omp simd  // the planes do not overlap
      for (int64_t x = left; x < right; ++x) {
        float dx = (float(x) + 0.5f) / half - 1 - frame.x;
        float u = sign * inverse * (cosine * dx + sine * dy), v = inverse * (cosine * dy - sine * dx);
        float cover = std::min(std::max(0.5f - distance(u, v) * pixels, 0.0f), 1.0f),
              shade = 1 - ink.fade * v;
        r[x] += cover * (ink.r * shade - r[x]);
        g[x] += cover * (ink.g * shade - g[x]);
        b[x] += cover * (ink.b * shade - b[x]);
        object[x] += cover * (ink.object - object[x]);
        mark[x] += cover * (ink.mark - mark[x]);
      }
    }
  }

 private:
  int64_t side_;
  std::vector<float> values_;
};

// Signed distances.

inline float disc(float u, float v, float cu, float cv, float radius) {
  return std::sqrt((u - cu) * (u - cu) + (v - cv) * (v - cv)) - radius;
}

/// First order, exact on the edge; axes along u and v.
inline float ellipse(float u, float v, float ru, float rv) {
  float near = std::sqrt(u * u / (ru * ru) + v * v / (rv * rv)) + 1e-6f;
  float steep = std::sqrt(u * u / (ru * ru * ru * ru) + v * v / (rv * rv * rv * rv)) + 1e-6f;
  return near * (near - 1) / steep;
}

/// A line from a to b whose half width goes from `from` to `to`, round at both ends.
inline float tapered(float u, float v, float au, float av, float bu, float bv, float from, float to) {
  float du = bu - au, dv = bv - av, pu = u - au, pv = v - av;
  float along = std::min(std::max((pu * du + pv * dv) / (du * du + dv * dv), 0.0f), 1.0f);
  return disc(pu, pv, along * du, along * dv, from + (to - from) * along);
}

/// Union of two shapes, rounded where they meet within `reach`.
inline float smooth_union(float a, float b, float reach) {
  float overlap = std::max(reach - std::abs(a - b), 0.0f) / reach;
  return std::min(a, b) - overlap * overlap * reach / 4;
}

}  // namespace plumage
