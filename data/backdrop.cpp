// Textures from smooth noise on a small lattice. Next in the walk: data/render_bird.cpp.
#include "data/backdrop.h"

#include <array>

#include "tensor/philox.h"

namespace plumage {
namespace {

constexpr int64_t kLattice = 16;  // periodic, a power of two

/// Smooth noise in [0, 1], one bump a unit.
class SmoothNoise {
 public:
  explicit SmoothNoise(uint64_t seed) {
    PhiloxKey key{seed, Purpose::synthetic, 1 << 20};
    for (int64_t i = 0; i < kLattice * kLattice; i += 4) {
      auto words = philox(key, uint64_t(i / 4));
      for (int64_t j = 0; j < 4; ++j) values_[size_t(i + j)] = float(uniform01(words[size_t(j)]));
    }
  }

  float operator()(float x, float y) const {
    float fx = std::floor(x), fy = std::floor(y), rx = ease(x - fx), ry = ease(y - fy);
    float upper = between(at(fx, fy), at(fx + 1, fy), rx),
          lower = between(at(fx, fy + 1), at(fx + 1, fy + 1), rx);
    return between(upper, lower, ry);
  }

  /// Two octaves, a bit finer structure.
  float clouds(float x, float y) const {
    return 0.67f * (*this)(x, y) + 0.33f * (*this)(2.1f * x + 5, 2.1f * y + 3);
  }

 private:
  static float ease(float t) { return t * t * (3 - 2 * t); }
  static float between(float a, float b, float t) { return a + (b - a) * t; }
  float at(float x, float y) const {
    return values_[size_t((int64_t(y) & (kLattice - 1)) * kLattice + (int64_t(x) & (kLattice - 1)))];
  }

  std::array<float, kLattice * kLattice> values_{};
};

/// Share of the second colour at (x, y), half widths.
float second_share(const BirdFactors& factors, const SmoothNoise& noise, float x, float y) {
  float frequency = float(factors.texture_frequency), angle = float(factors.texture_angle);
  float along = std::cos(angle) * x + std::sin(angle) * y, across = std::cos(angle) * y - std::sin(angle) * x;
  float n = noise.clouds(frequency * along + 4, frequency * across + 4);
  if (factors.backdrop == Backdrop::clouds) return std::clamp((n - 0.5f) * 1.8f + 0.5f, 0.0f, 1.0f);
  if (factors.backdrop == Backdrop::stripes)
    return 0.5f + 0.5f * std::sin(6.2832f * (1.3f * frequency * along + n));
  float edge = std::clamp((n - 0.5f) * 8 + 0.5f, 0.0f, 1.0f);
  return edge * edge * (3 - 2 * edge);
}

}  // namespace

void paint_backdrop(Canvas& canvas, const BirdFactors& factors) {
  int64_t side = canvas.side();
  const Rgb &first = factors.background, &second = factors.background_second;
  if (factors.backdrop == Backdrop::flat) {
    for (int c = 0; c < 3; ++c) std::fill_n(canvas.plane(c), side * side, first[size_t(c)]);
    return;
  }
  SmoothNoise noise(factors.texture_seed);
  for (int64_t y = 0; y < side;
       y += 2)  // textures are smooth: every second pixel of the supersampled canvas will do
    for (int64_t x = 0; x < side; x += 2) {
      float half = float(side) / 2;
      float share = second_share(factors, noise, (float(x) + 1) / half - 1, (float(y) + 1) / half - 1);
      for (int c = 0; c < 3; ++c) {
        float colour = first[size_t(c)] + (second[size_t(c)] - first[size_t(c)]) * share;
        float* corner = canvas.plane(c) + y * side + x;
        corner[0] = corner[1] = corner[side] = corner[side + 1] = colour;
      }
    }
}

void paint_branches(Canvas& canvas, const BirdFactors& factors, const Frame& bird) {
  for (int i = 0; i < factors.branches; ++i) {
    const Branch& branch = factors.branch[size_t(i)];
    Frame frame{0, float(branch.offset), 1, float(branch.angle), false};
    if (i == 0) {  // under the feet
      float u = 0.02f, v = 0.47f + float(branch.thickness), sign = bird.mirror ? -1.0f : 1.0f;
      frame.x = bird.x + bird.scale * (std::cos(bird.angle) * sign * u - std::sin(bird.angle) * v);
      frame.y = bird.y + bird.scale * (std::sin(bird.angle) * sign * u + std::cos(bird.angle) * v);
    }
    float thickness = float(branch.thickness);
    Ink ink{branch.colour[0], branch.colour[1], branch.colour[2], 0, 0, 6};
    canvas.fill(frame, {0, 0, 3}, ink, [=](float u, float v) {
      return std::abs(v + 0.05f * u * u * u) - thickness * (1 - 0.15f * u);
    });
  }
}

}  // namespace plumage
